"""SaslHandshake: there is nobody to authenticate to, which a client is told in so many words.

As Kafka does on a listener without SASL; a closed connection would leave it to guess.
Must never know: who is connected. Source: KIP-43.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from protocol.api.sasl_handshake import SaslHandshakeResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from protocol.api.sasl_handshake import SaslHandshakeRequest

log_events = structlog.get_logger()


def handle_sasl_handshake(
    request: SaslHandshakeRequest, context: RequestContext
) -> SaslHandshakeResponse:
    """Refuse: ILLEGAL_SASL_STATE, and no mechanisms."""
    log_events.warning(
        "client_wants_sasl",
        peer=context.peer,
        client_id=context.client_id,
        mechanism=request.mechanism[:32],
        hint="listeners are PLAINTEXT: set the client's security.protocol to that",
    )
    return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE)


def refuse(_request: Any, code: ErrorCode, _message: str) -> SaslHandshakeResponse:
    """Answer with an error."""
    return SaslHandshakeResponse(error_code=code)
