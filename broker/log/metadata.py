"""`partition.metadata`: whose log this is, by topic id, in Kafka's text format.

Must never know: topics' names, the disk.
Source: KIP-516.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

METADATA_FILE: Final = "partition.metadata"
TOPIC_ID_BYTES: Final = 16


def encode_topic_id(topic_id: bytes) -> bytes:
    """Lay the file out for a topic id of 16 bytes."""
    text = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
    return f"version: 0\ntopic_id: {text}\n".encode()


def parse_topic_id(data: bytes) -> bytes | None:
    """Read the topic id; None where the file is damaged."""
    try:
        lines = dict(line.split(": ", 1) for line in data.decode("ascii").splitlines())
        topic_id = base64.urlsafe_b64decode(lines["topic_id"] + "==")
    except (ValueError, KeyError, binascii.Error):
        return None
    return topic_id if lines.get("version") == "0" and len(topic_id) == TOPIC_ID_BYTES else None
