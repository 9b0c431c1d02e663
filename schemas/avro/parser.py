"""From the JSON of an Avro schema to its model, with all that the specification demands.

What Apache Avro for Java lets pass although a reader somewhere stumbles over it is refused: names
with other letters than ASCII's, names that are used before they are defined, a type defined twice,
an alias that two fields claim. What Java takes and every reader understands is taken: the name of a
type in the null namespace from inside another namespace, null for an attribute that is not there,
`order` in capitals, a number in quotes as the default of a float or double.
Must never know: texts of dependencies (it is given their types), payloads, other schemas.
Source: Apache Avro 1.12 specification, "Schema Declaration", "Complex Types" and "Names".
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from schemas.avro.model import (
    ABSENT,
    INT_MAX,
    PRIMITIVES,
    Array,
    Enum,
    Field,
    Fixed,
    Map,
    Model,
    Primitive,
    Record,
    Reference,
    Union,
    kind_of,
    namespace_of,
    simple_name,
)
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from schemas.avro.model import NamedType, Node, Properties

NESTING_MAX: Final = 200
"""How deep JSON may be nested: a record in a record takes three levels, an optional one four.
What walks through a model may recurse so often, and Python's own limit is not far above it."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_ORDERS: Final = ("ascending", "descending", "ignore")
_RESERVED: Final = frozenset(
    ("type", "name", "namespace", "doc", "aliases", "fields", "symbols", "size", "items", "values")
)
"""Attributes that are no properties, whether the type at hand has them or not; as in Java."""
_RESERVED_IN_ENUM: Final = _RESERVED | {"default"}
_RESERVED_IN_FIELD: Final = frozenset(("type", "name", "doc", "default", "order", "aliases"))
_SHOWN_CHARACTERS_MAX: Final = 60


def load(text: str) -> Any:
    """Read JSON that is nested no deeper than NESTING_MAX.

    Raises: InvalidSchema, also for numbers that JSON has no form for.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_refuse_constant)
    except ValueError as error:
        word = text.strip()
        if _FULL_NAME.fullmatch(word):
            raise InvalidSchema(
                f"{_shown(word)} without quotes is no JSON; write {_shown(json.dumps(word))}"
            ) from None
        raise InvalidSchema(f"the schema is no JSON: {error}; an Avro schema is JSON") from None
    except RecursionError:
        raise _nested_too_deep() from None
    level, depth = [value], 0
    while level := [
        child
        for each in level
        if isinstance(each, dict | list)
        for child in (each.values() if isinstance(each, dict) else each)
    ]:
        depth += 1
        if depth > NESTING_MAX:
            raise _nested_too_deep()
    return value


def read(text: str, known: Mapping[str, NamedType]) -> tuple[Model, tuple[NamedType, ...]]:
    """Make a model of a text that may use the types of `known`.

    Returns: the model, and the types that the text itself defines. Defaults are not looked at.
    Raises: InvalidSchema.
    """
    parser = _Parser(known)
    root = parser.node(load(text), "", "")
    own = tuple(parser.own.values())
    return Model(root, {**known, **parser.own}, frozenset(known)), own


def _refuse(path: str, what: str) -> NoReturn:
    raise InvalidSchema(f"at {path or '/'}: {what}")


def _nested_too_deep() -> InvalidSchema:
    return InvalidSchema(
        f"the schema is nested deeper than {NESTING_MAX} levels of JSON; "
        "define its inner records first and use them by name"
    )


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is too large a number")
    return number


def _shown(value: Any) -> str:
    """Cut what a text has at some place for a message."""
    shown = value if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS_MAX else shown[:_SHOWN_CHARACTERS_MAX] + "..."


class _Parser:
    """Reads one text. `path` is where it is, as a JSON pointer; `namespace` what holds there."""

    def __init__(self, known: Mapping[str, NamedType]) -> None:
        self._known = known
        self._defined: set[str] = set()  # names whose definition has begun
        self.own: dict[str, NamedType] = {}  # types whose definition is complete

    def node(self, value: Any, namespace: str, path: str) -> Node:
        """Read any schema."""
        if isinstance(value, str):
            return self._named(value, namespace, path)
        if isinstance(value, list):
            return self._union(value, namespace, path)
        if not isinstance(value, dict):
            _refuse(path, f"{_shown(value)} is no schema: that is a name, an object or an array")
        kind = value.get("type")
        if not isinstance(kind, str):
            _refuse(path, _no_type(kind))
        if kind in PRIMITIVES:
            return Primitive(kind, _properties(value))
        match kind:
            case "array":
                items = self._part(value, "items", namespace, path)
                return Array(items, _properties(value))
            case "map":
                values = self._part(value, "values", namespace, path)
                return Map(values, _properties(value))
            case "record" | "error" | "enum" | "fixed":
                return self._definition(kind, value, namespace, path)
        _refuse(
            path,
            f'"type": "{_shown(kind)}" is no kind of type; for a type defined before, write its '
            "name alone instead of the object",
        )

    def _named(self, name: str, namespace: str, path: str) -> Node:
        if name in PRIMITIVES:
            return Primitive(name, {})
        full_name = f"{namespace}.{name}" if namespace and "." not in name else name
        for candidate in (full_name, name):  # Java looks into the null namespace too
            if candidate in self._defined or candidate in self._known:
                return Reference(candidate)
        if name.lstrip()[:1] in ("{", "[", '"'):
            _refuse(path, "a JSON string that holds JSON again; the schema was encoded twice")
        _refuse(
            path,
            f'"{_shown(full_name)}" is defined neither before this place nor in a dependency; '
            "define it where it is used first, or refer to the schema that defines it",
        )

    def _part(self, value: dict[str, Any], key: str, namespace: str, path: str) -> Node:
        if key not in value:
            _refuse(path, f'"{key}" is missing: the type of what is in the {value["type"]}')
        return self.node(value[key], namespace, f"{path}/{key}")

    def _union(self, value: list[Any], namespace: str, path: str) -> Union:
        branches = tuple(self.node(each, namespace, f"{path}/{i}") for i, each in enumerate(value))
        seen: set[tuple[str, str]] = set()
        for index, branch in enumerate(branches):
            if isinstance(branch, Union):
                _refuse(
                    f"{path}/{index}", "a union in a union; put its branches into the outer one"
                )
            if isinstance(branch, Primitive | Array | Map):
                key = ("type", kind_of(branch))
            else:
                key = ("name", branch.name)
            if key in seen:
                _refuse(
                    f"{path}/{index}",
                    f'a second branch of {key[0]} "{_shown(key[1])}"; only records, enums '
                    "and fixed may come more than once in a union, under different names",
                )
            seen.add(key)
        return Union(branches)

    def _definition(self, kind: str, value: dict[str, Any], namespace: str, path: str) -> NamedType:
        name = self._new_name(kind, value, namespace, path)
        self._defined.add(name)
        doc = _optional_string(value, "doc", path)
        aliases = tuple(_qualified(a, namespace_of(name)) for a in _aliases(value, path))
        found: NamedType
        match kind:
            case "fixed":
                found = Fixed(name, _size(value, path), doc, aliases, _properties(value))
            case "enum":
                symbols = _symbols(value, path)
                default = _enum_default(value, symbols, path)
                properties = _properties(value, _RESERVED_IN_ENUM)
                found = Enum(name, symbols, default, doc, aliases, properties)
            case _:
                fields = self._fields(value, namespace_of(name), path)
                found = Record(name, fields, kind == "error", doc, aliases, _properties(value))
        self.own[name] = found
        return found

    def _new_name(self, kind: str, value: dict[str, Any], namespace: str, path: str) -> str:
        """Put the full name of a definition together."""
        name = value.get("name")
        if not isinstance(name, str):
            _refuse(path, f'the {kind} has no name; give it "name": "..."')
        if "." not in name:
            given = _optional_string(value, "namespace", path)
            namespace = namespace if given is None else given
            if namespace and not _FULL_NAME.fullmatch(namespace):
                _refuse(f"{path}/namespace", f'"{_shown(namespace)}" is no namespace; {_NAMES_ARE}')
            name = f"{namespace}.{name}" if namespace else name
        if not _FULL_NAME.fullmatch(name):
            _refuse(f"{path}/name", f'"{_shown(name)}" is no name; {_NAMES_ARE}')
        if simple_name(name) in PRIMITIVES:
            _refuse(
                f"{path}/name", f'"{_shown(name)}" is the name of a primitive type; take another'
            )
        if name in self._defined:
            _refuse(
                path,
                f'"{_shown(name)}" is defined a second time; use the name alone, or another one',
            )
        return name

    def _fields(self, value: dict[str, Any], namespace: str, path: str) -> tuple[Field, ...]:
        fields = value.get("fields")
        if not isinstance(fields, list):
            _refuse(path, 'the record has no "fields"; that is an array, [] for none')
        found = tuple(
            self._field(each, namespace, f"{path}/fields/{i}") for i, each in enumerate(fields)
        )
        _check_field_names(found, f"{path}/fields")
        return found

    def _field(self, value: Any, namespace: str, path: str) -> Field:
        if not isinstance(value, dict):
            _refuse(path, f'{_shown(value)} is no field; that is {{"name": ..., "type": ...}}')
        name = value.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            _refuse(path, f"{_shown(name)} is no name of a field; {_NAMES_ARE}")
        if "type" not in value:
            _refuse(path, f'field "{_shown(name)}" has no "type"')
        node = self.node(value["type"], namespace, f"{path}/type")
        order = value.get("order", "ascending")
        if not isinstance(order, str) or order.lower() not in _ORDERS:
            _refuse(f"{path}/order", f"{_shown(order)} is no order; there are {', '.join(_ORDERS)}")
        return Field(
            name,
            node,
            _optional_string(value, "doc", path),
            _default(value, node),
            order.lower(),
            _aliases(value, path),
            _properties(value, _RESERVED_IN_FIELD),
        )


_NAMES_ARE: Final = (
    "names are ASCII letters, digits and underscores and begin with no digit, namespaces are names "
    "with dots between them"
)


def _no_type(kind: Any) -> str:
    if kind is None:
        return 'the object has no "type", so it is no schema'
    return (
        f'"type" is {_shown(kind)} here, and must be a string; '
        "where a whole schema is meant, write it instead of the object around it"
    )


def _properties(value: dict[str, Any], reserved: frozenset[str] = _RESERVED) -> Properties:
    return {key: each for key, each in value.items() if key not in reserved}


def _optional_string(value: dict[str, Any], key: str, path: str) -> str | None:
    found = value.get(key)
    if found is None or isinstance(found, str):
        return found
    _refuse(f"{path}/{key}", f"{_shown(found)} is no string")


def _strings(value: Any, path: str, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        _refuse(path, f"{_shown(value)} are no {what}; they are an array of strings")
    return tuple(value)


def _aliases(value: dict[str, Any], path: str) -> tuple[str, ...]:
    found = value.get("aliases")
    if found is None:
        return ()
    return tuple(dict.fromkeys(_strings(found, f"{path}/aliases", "aliases")))


def _qualified(alias: str, namespace: str) -> str:
    """Make the full name of an alias; a leading dot means the null namespace."""
    if alias.startswith("."):
        return alias[1:]
    return f"{namespace}.{alias}" if namespace and "." not in alias else alias


def _size(value: dict[str, Any], path: str) -> int:
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= INT_MAX:
        _refuse(path, f'"size" of the fixed is {_shown(size)}; it is a number of bytes')
    return size


def _symbols(value: dict[str, Any], path: str) -> tuple[str, ...]:
    if "symbols" not in value:
        _refuse(path, 'the enum has no "symbols"; they are an array of strings')
    symbols = _strings(value["symbols"], f"{path}/symbols", "symbols")
    seen = set()
    for index, symbol in enumerate(symbols):
        if not _NAME.fullmatch(symbol):
            _refuse(f"{path}/symbols/{index}", f'"{_shown(symbol)}" is no symbol; {_NAMES_ARE}')
        if symbol in seen:
            _refuse(f"{path}/symbols/{index}", f'symbol "{_shown(symbol)}" is there twice')
        seen.add(symbol)
    return symbols


def _enum_default(value: dict[str, Any], symbols: Iterable[str], path: str) -> str | None:
    default = _optional_string(value, "default", path)
    if default is not None and default not in symbols:
        _refuse(
            f"{path}/default",
            f'"{_shown(default)}" is none of the symbols; the default must be one of them',
        )
    return default


def _default(value: dict[str, Any], node: Node) -> Any:
    """Take a field's default; what is a number in quotes becomes one, as in Java."""
    default = value.get("default", ABSENT)
    is_number = isinstance(node, Primitive) and node.kind in ("float", "double")
    if is_number and isinstance(default, str) and _NUMBER.fullmatch(default):
        number = float(default)
        return number if math.isfinite(number) else default
    return default


def _check_field_names(fields: tuple[Field, ...], path: str) -> None:
    """Refuse two fields that answer to one name: readers would have to choose."""
    owners: dict[str, int] = {}
    for index, field in enumerate(fields):
        if field.name in owners:
            _refuse(f"{path}/{index}", f'a second field "{_shown(field.name)}"; rename one of them')
        owners[field.name] = index
    for index, field in enumerate(fields):
        for alias in field.aliases:
            if owners.setdefault(alias, index) != index:
                _refuse(
                    f"{path}/{index}/aliases",
                    f'"{_shown(alias)}" is a name of field "{_shown(fields[owners[alias]].name)}" '
                    "too; take the alias away from one of them",
                )
