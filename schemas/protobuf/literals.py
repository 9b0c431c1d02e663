"""Values in Protobuf's own spelling: strings, bytes and floats, each in one way.

Must never know: descriptors.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from google.protobuf.text_encoding import CEscape, CUnescape

from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_text(message: Any) -> None:
    """Refuse a message with a string that is no UTF-8, which protoc lets pass in proto2.

    Raises: InvalidSchema. Maps within it, as options of one's own may have, are messages, too.
    """
    try:
        for field, value in message.ListFields():
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                entries = field.message_type.fields_by_name
                _check_each(entries["key"], value.keys())
                _check_each(entries["value"], value.values())
            elif field.is_repeated:
                _check_each(field, value)
            else:
                _check_each(field, (value,))
    except UnicodeDecodeError as error:
        raise InvalidSchema(f"a string of the schema is no UTF-8: {error.object[:100]!a}") from None


def _check_each(field: Any, values: Iterable[Any]) -> None:
    for value in values:
        if field.message_type is not None:
            check_text(value)
        elif field.type == field.TYPE_STRING and isinstance(value, bytes):
            raise InvalidSchema(f"a string of the schema is no UTF-8: {value[:100]!a}")


def quoted(text: str | bytes) -> str:
    """Give a string as a literal of .proto source, letters beyond ASCII as they are.

    Raises: InvalidSchema for bytes, which is what the library makes of text that is no UTF-8.
    """
    if isinstance(text, bytes):
        raise InvalidSchema(f"the descriptor has text that is no UTF-8: {text[:100]!a}")
    return f'"{CEscape(text, as_utf8=True)}"'


def escaped(text: str | bytes) -> str:
    """Escape the default of a bytes field in one way; it came as its compiler escapes.

    Raises: InvalidSchema where it is not escaped at all.
    """
    quoted(text)
    try:
        return str(CEscape(CUnescape(text), as_utf8=False))
    except ValueError:
        raise InvalidSchema(
            f"the default {text[:100]!a} is not escaped: write bytes in octal"
        ) from None


def float_text(text: str, *, single: bool) -> str:
    """Write the default of a float in one way; it came as its compiler writes numbers.

    Raises: InvalidSchema where it is no decimal number.
    """
    try:
        number = float(text)
    except ValueError:
        raise InvalidSchema(f"the default {text[:100]!a} is no decimal number") from None
    if not single:
        return repr(number)
    try:
        (number,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        number = float("inf") if number > 0 else float("-inf")
    return f"{number:.9g}"
