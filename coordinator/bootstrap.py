"""The first znodes of a cluster, made by whichever broker comes first.

Must never know: what brokers do with them.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from coordinator import paths, records
from coordinator.retry import until_answered
from coordinator.store import NodeExists

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.store import Store

NO_EPOCH: Final = 0
"""The controller epoch before the first controller."""

FIRST_PRODUCER_ID: Final = 0


def new_cluster_id(random_bytes: Callable[[int], bytes]) -> str:
    """Make a cluster id as Kafka's are: 16 random bytes in 22 characters of base64url.

    It never begins with a dash, which tools would take for an option.
    """
    while True:
        cluster_id = urlsafe_b64encode(random_bytes(16)).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


async def prepare(store: Store, *, new_cluster_id: Callable[[], str]) -> str:
    """Make what is missing of the znodes that everything else stands on.

    Returns: the cluster's id, the new one only if there was none.
    """
    for newest in (paths.CLUSTER, paths.GROUPS):  # a tree of an earlier release may lack the latter
        if await until_answered(partial(store.exists, newest)) is None:
            await _create_all(store, cluster_id=new_cluster_id())
    value, _ = await until_answered(partial(store.get, paths.CLUSTER))
    return records.decode_texts(paths.CLUSTER, value)["cluster_id"]


async def _create_all(store: Store, *, cluster_id: str) -> None:
    """Create parents before children and the cluster's id at the very end."""
    znodes = (
        (paths.ROOT, b""),
        (paths.CONFIG, records.encode_config({}, {})),
        (paths.CONTROLLER_EPOCH, records.encode_counter(NO_EPOCH)),
        (paths.BROKERS, b""),
        (paths.BROKER_IDS, b""),
        (paths.BROKER_EPOCHS, b""),
        (paths.ACKNOWLEDGED, records.encode_acknowledged({})),
        (paths.TOPICS, b""),
        (paths.DELETED, b""),
        (paths.PRODUCER_IDS, records.encode_counter(FIRST_PRODUCER_ID)),
        (paths.GROUPS, b""),
        (paths.CLUSTER, records.encode_texts({"cluster_id": cluster_id})),
    )
    for path, value in znodes:
        with suppress(NodeExists):
            await until_answered(partial(store.create, path, value))
