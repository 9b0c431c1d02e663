"""What producers, consumers and admins are configured with alike.

Must never know: how a cluster is found and asked.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from client.connection import REQUEST_TIMEOUT_S
from client.environment import Environment
from protocol.frame_reader import FRAME_BYTES_MAX

METADATA_MAX_AGE_S: Final = 300.0


class ClusterOptions(Struct, frozen=True):
    """What producers, consumers and admins have in common.

    `client_id` names the client in the brokers' logs, `request_timeout_s` bounds one request,
    `create_topics` lets brokers create topics that are needed and unknown (never one that has only
    been in use), and after `metadata_max_age_s` metadata are refreshed although nobody asked.
    """

    client_id: str = "ottla"
    request_timeout_s: float = REQUEST_TIMEOUT_S
    frame_bytes_max: int = FRAME_BYTES_MAX
    create_topics: bool = False
    metadata_max_age_s: float = METADATA_MAX_AGE_S
    environment: Environment = field(default_factory=Environment.real)
