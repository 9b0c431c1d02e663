"""Default values: whether a reader could put them in, and what they are in a normal form.

The public registry looks at defaults only if it is told to. Here a default that no reader could
make a value of is refused: it would be found out when the first record without the field is read.
So strings for bytes and fixed have characters up to U+00FF only, those for a fixed as many as it
has bytes, those for an enum are symbols of it, integers fit, and a record's default names every
field that has no default itself. A union's default may be one of any branch, as Avro 1.12 says.
Must never know: how a text was read, other schemas, payloads.
Source: Apache Avro 1.12 specification, "Records", table "field default values".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from schemas.avro.model import (
    ABSENT,
    INT_MAX,
    INT_MIN,
    LONG_MAX,
    LONG_MIN,
    SHOWN_MAX,
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    listed,
)
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.avro.model import Field, Model, NamedType, Node

_BYTE_MAX: Final = "\u00ff"
_SHOWN_CHARACTERS_MAX: Final = 60
_WANTED: Final = {
    "null": "null",
    "boolean": "true or false",
    "int": "an integer of 32 bits",
    "long": "an integer of 64 bits",
    "float": "a number",
    "double": "a number",
    "string": "a string",
    "bytes": "a string of characters up to U+00FF, one for each byte",
    "array": "an array",
    "map": "an object",
}


class _Mismatch(Exception):
    """A value is no default of a type; says what would be."""


def check_defaults(model: Model, own: Iterable[NamedType]) -> None:
    """Check the defaults of all fields of the types in `own`. Raises: InvalidSchema."""
    defaults = Defaults(model)
    for record in own:
        if isinstance(record, Record):
            for field in record.fields:
                defaults.check(record, field)


class Defaults:
    """Reads defaults; remembers what it has found out about types."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._symbols: dict[str, frozenset[str]] = {}
        self._fields: dict[str, dict[str, Field]] = {}
        self._required: dict[str, tuple[str, ...]] = {}
        self._tried: dict[tuple[str, int], Any] = {}

    def check(self, record: Record, field: Field) -> None:
        """Check the default of a field, if it has one. Raises: InvalidSchema."""
        try:
            self.canonical(field)
        except _Mismatch as wrong:
            shown = json.dumps(field.default)
            if len(shown) > _SHOWN_CHARACTERS_MAX:
                shown = shown[:_SHOWN_CHARACTERS_MAX] + "..."
            hint = ""
            if field.default is None:
                hint = '; for a field that may be null, let its type be ["null", ...]'
            raise InvalidSchema(
                f'field "{field.name}" of record "{record.name}": the default {shown} does not '
                f"fit its type, {self._model.describe(field.type)}: {wrong}{hint}"
            ) from None

    def canonical(self, field: Field) -> Any:
        """Spell a field's default as all do that mean the same; ABSENT for none."""
        return ABSENT if field.default is ABSENT else self._value(field.type, field.default)

    def _value(self, node: Node, value: Any) -> Any:
        found = self._model.resolve(node)
        canonical = value
        match found:
            case Primitive():
                canonical = _primitive(found.kind, value)
            case Enum():
                self._check_symbol(found, value)
            case Fixed():
                _check_fixed(found, value)
            case Array():
                _demand(isinstance(value, list), "array")
                canonical = [self._value(found.items, each) for each in value]
            case Map():
                _demand(isinstance(value, dict), "map")
                canonical = {key: self._value(found.values, each) for key, each in value.items()}
            case Union():
                canonical = self._branch(found, value)
            case Record():
                canonical = self._once(found, value)
        return canonical

    def _branch(self, union: Union, value: Any) -> Any:
        """Read a value as the first branch that takes it."""
        reasons = []
        for branch in union.branches:
            try:
                return self._value(branch, value)
            except _Mismatch as wrong:
                reasons.append(str(wrong))
        reasons = list(dict.fromkeys(reasons))
        raise _Mismatch(
            f"no branch takes it ({listed(reasons)})" if reasons else "it has no branch"
        )

    def _once(self, record: Record, value: Any) -> Any:
        """Read a value as a record, and remember: unions in unions would try it ever again."""
        key = (record.name, id(value))
        if key not in self._tried:
            try:
                self._tried[key] = self._record(record, value)
            except _Mismatch as wrong:
                self._tried[key] = wrong
        found = self._tried[key]
        if isinstance(found, _Mismatch):
            raise _Mismatch(str(found))
        return found

    def _record(self, record: Record, value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Mismatch(f'record "{record.name}" needs an object')
        if record.name not in self._fields:
            self._fields[record.name] = {field.name: field for field in record.fields}
            self._required[record.name] = tuple(
                field.name for field in record.fields if field.default is ABSENT
            )
        for name in self._required[record.name]:
            if name not in value:
                raise _Mismatch(f'record "{record.name}" needs "{name}" too')
        fields = self._fields[record.name]
        return {
            key: self._value(fields[key].type, each) if key in fields else each
            for key, each in value.items()
        }

    def _check_symbol(self, enum: Enum, value: Any) -> None:
        if enum.name not in self._symbols:
            self._symbols[enum.name] = frozenset(enum.symbols)
        if not isinstance(value, str) or value not in self._symbols[enum.name]:
            shown = listed(
                [f'"{symbol}"' for symbol in enum.symbols[:SHOWN_MAX]],
                left_out=max(0, len(enum.symbols) - SHOWN_MAX),
            )
            raise _Mismatch(f'enum "{enum.name}" takes {shown} only')


def _demand(fits: bool, kind: str) -> None:
    if not fits:
        raise _Mismatch(f"{kind} needs {_WANTED[kind]}")


def _check_fixed(fixed: Fixed, value: Any) -> None:
    if not isinstance(value, str) or len(value) != fixed.size or max(value, default="") > _BYTE_MAX:
        raise _Mismatch(
            f'fixed "{fixed.name}" needs a string of {fixed.size} characters up to U+00FF'
        )


def _primitive(kind: str, value: Any) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case "null":
            _demand(value is None, kind)
        case "boolean":
            _demand(isinstance(value, bool), kind)
        case "int":
            _demand(is_integer and INT_MIN <= value <= INT_MAX, kind)
        case "long":
            _demand(is_integer and LONG_MIN <= value <= LONG_MAX, kind)
        case "string":
            _demand(isinstance(value, str), kind)
        case "bytes":
            _demand(isinstance(value, str) and max(value, default="") <= _BYTE_MAX, kind)
        case _:
            return _number(kind, value)
    return value


def _number(kind: str, value: Any) -> Any:
    """Read a number of a float or double; what JSON has no number for is written as a string."""
    if value in ("NaN", "Infinity", "-Infinity"):
        return value
    _demand(isinstance(value, int | float) and not isinstance(value, bool), kind)
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch(f"{kind} needs a smaller number") from None
