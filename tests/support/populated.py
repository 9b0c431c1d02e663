"""Messages that are full, whatever their declarations: for tests of all APIs and versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.message import Array, Blob, Fixed, Nested, Text, layout_of

if TYPE_CHECKING:
    from protocol.message import WireType


def populated(message: type, version: int) -> Any:
    """Make a message whose lists all have an element, and nothing else is left out."""
    built = message()
    for field in layout_of(message).fields:
        if field.tag is None and field.exists_in(version):
            setattr(built, field.name, some_value(field.type, version))
    return built


def some_value(wire_type: WireType, version: int) -> Any:
    match wire_type:
        case Fixed(code="?"):
            return True
        case Fixed(code="16s"):
            return bytes(range(16))
        case Fixed():
            return 1
        case Text():
            return "topic"
        case Blob():
            return b"\0" * 70
        case Array():
            return [some_value(wire_type.element, version)]
        case Nested():
            return populated(wire_type.struct, version)
    raise AssertionError(wire_type)
