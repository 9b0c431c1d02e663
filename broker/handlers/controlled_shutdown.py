"""ControlledShutdown: a broker that stops has its leaderships handed over first. Never passed on.

Must never know: how leaders are elected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.api.controlled_shutdown import ControlledShutdownResponse, RemainingPartition

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.handlers.control import GetController
    from protocol.api.controlled_shutdown import ControlledShutdownRequest
    from protocol.errors import ErrorCode


class ControlledShutdownHandler:
    """Asks the controller of this broker, and no other."""

    def __init__(self, controller: GetController) -> None:
        self._controller = controller

    async def __call__(
        self, request: ControlledShutdownRequest, _context: RequestContext
    ) -> ControlledShutdownResponse:
        """Answer with the partitions that the broker still leads."""
        remaining = await self._controller().controlled_shutdown(
            request.broker_id, request.broker_epoch
        )
        return ControlledShutdownResponse(
            remaining_partitions=[RemainingPartition(topic, index) for topic, index in remaining]
        )


def refuse(_request: Any, code: ErrorCode, _message: str) -> ControlledShutdownResponse:
    """Answer with an error for the whole request."""
    return ControlledShutdownResponse(error_code=code)
