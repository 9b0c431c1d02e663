"""Producer ids from the cluster, for idempotent producers.

Must never know: batches, partitions, sequence numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from client.errors import NoBrokerReachable, ProducerFenced, UnsupportedApi, refusal
from protocol.api.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from protocol.errors import RETRIABLE_CODES, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.cluster import Cluster

_NO_TRANSACTION_TIMEOUT_MS = 2**31 - 1


class ProducerIdentity(Struct, frozen=True, eq=False):
    """Producer id and epoch; sequence numbers count per identity and partition (KIP-98)."""

    producer_id: int
    epoch: int


class IdentitySource:
    """Holds the newest producer id and asks for another where that one is used up.

    `obtained` is called when there is a new one, `refused` when the cluster gives none. A `given`
    identity is the only one that is used: where it is used up, another holds it with a later epoch.
    """

    def __init__(
        self,
        cluster: Cluster,
        nursery: trio.Nursery,
        *,
        obtained: Callable[[], None],
        refused: Callable[[OttlaError], None],
        given: ProducerIdentity | None = None,
    ) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._obtained = obtained
        self._refused = refused
        self._given = self._newest = given
        self._asking = False

    def get_nowait(self, *, other_than: ProducerIdentity | None) -> ProducerIdentity | None:
        """Return the newest identity, or None while one that is not `other_than` is asked for."""
        if self._newest is not None and self._newest is not other_than:
            return self._newest
        if not self._asking:
            self._asking = True
            self._nursery.start_soon(self._ask)
        return None

    async def _ask(self) -> None:
        try:
            if self._given is not None:
                raise ProducerFenced(self._given.producer_id, self._given.epoch)
            self._newest = await new_identity(self._cluster)
        except OttlaError as error:
            self._refused(error)
        else:
            self._obtained()
        finally:
            self._asking = False


async def new_identity(cluster: Cluster) -> ProducerIdentity:
    """Ask for a producer id until there is one. Raises: NoBrokerReachable, RequestError.

    Source: KIP-98, InitProducerId without a transactional id.
    """
    request = InitProducerIdRequest(
        transactional_id=None, transaction_timeout_ms=_NO_TRANSACTION_TIMEOUT_MS
    )
    backoff = cluster.backoff()
    while True:
        try:
            return _identity_of(await cluster.call_any(request))
        except (NoBrokerReachable, RequestError) as error:
            if _is_final(error):
                raise
            cluster.last_error = error
            await trio.sleep(backoff.next_s())


def _identity_of(response: InitProducerIdResponse) -> ProducerIdentity:
    if response.error_code:
        raise refusal(response.error_code, "the cluster gives no producer id")
    return ProducerIdentity(response.producer_id, response.producer_epoch)


def _is_final(error: OttlaError) -> bool:
    if isinstance(error, NoBrokerReachable):
        return all(isinstance(cause, UnsupportedApi) for cause in error.causes)
    return isinstance(error, RequestError) and error.code not in RETRIABLE_CODES
