"""Producer ids: handed out in blocks, each id once in the life of a cluster.

Must never know: producers, the controller (a compare-and-set is all it takes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator import paths, records
from coordinator.retry import until_answered
from coordinator.store import BadVersion
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from coordinator.store import Store

BLOCK_SIZE: Final = 1_000
PRODUCER_ID_MAX: Final = 2**63 - 1


async def allocate_producer_ids(store: Store, *, count: int = BLOCK_SIZE) -> range:
    """Take a block of `count` producer ids that nobody else gets.

    A block whose allocation was not answered is given up: ids may be skipped, never shared.
    Raises: CoordinationError when there are no ids left.
    """
    return await until_answered(lambda: _allocate(store, count))


async def _allocate(store: Store, count: int) -> range:
    while True:
        value, stat = await store.get(paths.PRODUCER_IDS)
        first = records.decode_counter(paths.PRODUCER_IDS, value)
        if first + count > PRODUCER_ID_MAX:
            raise CoordinationError(f"producer ids have run out at {first}")
        try:
            taken = records.encode_counter(first + count)
            await store.set(paths.PRODUCER_IDS, taken, version=stat.version)
        except BadVersion:
            continue
        return range(first, first + count)
