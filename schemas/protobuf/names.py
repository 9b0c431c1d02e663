"""Names in Protobuf: the last part of a full one, a field's name in JSON.

Must never know: descriptors.
"""

from __future__ import annotations


def short_name(full_name: str) -> str:
    """Give the last part of a name with dots."""
    return full_name.rpartition(".")[2]


def json_name(name: str) -> str:
    """Give what a field is called in JSON unless its schema says otherwise: snake_case's camel."""
    head, *parts = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in parts)
