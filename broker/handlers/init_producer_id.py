"""InitProducerId: an id for an idempotent producer, out of a block that this broker owns.

Must never know: where blocks come from. Source: KIP-98, KIP-360.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import trio

from protocol.api.init_producer_id import InitProducerIdResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.dispatch import RequestContext
    from protocol.api.init_producer_id import InitProducerIdRequest

BLOCK_IDS = 1_000
"""Ids taken from the coordinator at a time; what is left of a block is lost at a restart."""


class AllocateProducerIds(Protocol):
    """Takes producer ids that nobody else will ever have."""

    async def __call__(self, count: int, /) -> range:
        """Give `count` ids. Raises: CoordinationError."""


class InitProducerIdHandler:
    """Hands out producer ids, each once."""

    def __init__(self, allocate: AllocateProducerIds) -> None:
        self._allocate = allocate
        self._allocating = trio.Lock()
        self._ids = iter(range(0))

    def __call__(
        self, request: InitProducerIdRequest, _context: RequestContext
    ) -> InitProducerIdResponse | Coroutine[Any, Any, InitProducerIdResponse]:
        """Give a new id with epoch 0; a producer that wants a new epoch gets a new id as well."""
        if request.transactional_id is not None:
            code = ErrorCode.UNSUPPORTED_VERSION if request.transactional_id else INVALID
            return refuse(request, code, "")
        producer_id = next(self._ids, None)
        if producer_id is None:
            return self._answer_from_new_block()
        return InitProducerIdResponse(producer_id=producer_id)

    async def _answer_from_new_block(self) -> InitProducerIdResponse:
        async with self._allocating:
            producer_id = next(self._ids, None)
            while producer_id is None:
                self._ids = iter(await self._allocate(BLOCK_IDS))
                producer_id = next(self._ids, None)
        return InitProducerIdResponse(producer_id=producer_id)


INVALID = ErrorCode.INVALID_REQUEST
"""An empty transactional id is none, and is not null either."""


def refuse(
    _request: InitProducerIdRequest, code: ErrorCode, _message: str
) -> InitProducerIdResponse:
    """Answer with an error; the response has no place for a message."""
    if code is ErrorCode.REQUEST_TIMED_OUT:
        # What every producer retries here, whatever its age.
        code = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    return InitProducerIdResponse(error_code=code, producer_epoch=-1)
