"""SaslHandshake (17): the mechanism a client wants. Must never know: who authenticates.

Source: KIP-43, KIP-152.
"""

from __future__ import annotations

from protocol.message import VERSION_MAX, Int16, String, request, response, wire


@request(key=17, versions=(0, 1), flexible_since=VERSION_MAX)
class SaslHandshakeRequest:
    """The mechanism, such as PLAIN."""

    mechanism: String = ""


@response(key=17, versions=(0, 1), flexible_since=VERSION_MAX)
class SaslHandshakeResponse:
    """Whether it may go on, and the mechanisms that there are."""

    error_code: Int16 = 0
    mechanisms: list[String] = wire()
