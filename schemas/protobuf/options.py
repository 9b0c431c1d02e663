"""Options of descriptors as .proto source, custom ones by their extensions' full names.

Must never know: what carries the options, in which brackets they are written.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pool, message_factory, text_format, unknown_fields
from google.protobuf.message import DecodeError

from schemas.protobuf.utf8 import check_text
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

_DERIVED: Final = frozenset({"map_entry"})
"""What no source says in words: `map<k, v>` does."""

_NO_TYPES: Final = descriptor_pool.DescriptorPool()
"""So that an Any within an option is written alike, whatever this process has loaded."""


class OptionsText:
    """Writes options with the extensions that a pool of descriptors declares."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool
        self._classes: dict[str, Any] = {}

    def of(self, options: Any) -> list[str]:
        """Give the options of a descriptor, each as `name = value`, by their numbers.

        Raises: InvalidSchema where one was declared by no file of the pool.
        """
        name = options.DESCRIPTOR.full_name
        if not options.ListFields() and not len(unknown_fields.UnknownFieldSet(options)):
            return []
        if name not in self._classes:
            described = self._pool.FindMessageTypeByName(name)
            self._classes[name] = message_factory.GetMessageClass(described)
        # Parsed anew: only classes of this pool know the extensions that its files declare.
        try:
            known = self._classes[name].FromString(options.SerializePartialToString())
        except DecodeError:
            raise InvalidSchema(
                f"{name} has a custom option that is damaged, or whose type is another one in the "
                "file that declares it: register the file it was compiled with"
            ) from None
        check_text(known)
        for unknown in unknown_fields.UnknownFieldSet(known):
            raise InvalidSchema(
                f"{name} has the option number {unknown.field_number}, which no imported file "
                "declares: register the file that extends it and name it as a reference"
            )
        return [text for field, value in known.ListFields() for text in _written(field, value)]


def _written(field: Any, value: Any) -> Iterator[str]:
    if field.name in _DERIVED and not field.is_extension:
        return
    name = f"(.{field.full_name})" if field.is_extension else field.name
    for element in value if field.is_repeated else (value,):
        yield f"{name} = {_value(field, element)}"


def _value(field: Any, value: Any) -> str:
    if field.message_type is not None:
        inner = text_format.MessageToString(
            value, as_utf8=True, as_one_line=True, descriptor_pool=_NO_TYPES
        )
        return f"{{ {inner} }}"
    out = StringIO()
    text_format.PrintFieldValue(field, value, out, as_utf8=True, as_one_line=True)
    return out.getvalue()
