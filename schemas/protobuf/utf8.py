"""Whether all text of a message is UTF-8: neither the library nor protoc demands it in proto2.

Must never know: what the text means, source text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_text(message: Any) -> None:
    """Refuse a message with a string that is no UTF-8, or with one within it that has one.

    Raises: InvalidSchema. Maps are looked through, too: options of one's own may have them.
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
