"""Avro schemas as text: as Apache Avro for Java prints them, and in a normal form.

The first keeps all that a schema says and drops only its layout: keys have a fixed order,
properties that of the text, primitive types without properties are mere names, a namespace that is
inherited is not repeated, and what a dependency defines is named only. The second also makes one
text of all spellings: full names, sorted properties and aliases, defaults spelled alike.
Must never know: how a text was read, payloads, other schemas.
Source: Apache Avro 1.12 for Java, what `Schema.toString()` gives.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from schemas.avro.default import Defaults
from schemas.avro.model import (
    ABSENT,
    PRIMITIVES,
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Reference,
    Union,
    namespace_of,
    simple_name,
)
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.avro.model import Field, Model, NamedType, Node, Properties

_KINDS: Final = PRIMITIVES | {"record", "enum", "array", "map", "union", "fixed"}
"""A type that is called like one of these is always named in full."""


def as_written(model: Model) -> str:
    """Print a schema with all that it says. Raises: InvalidSchema where that is no Unicode."""
    return _dumped(_Printer(model).node(model.root, ""))


def as_normal(model: Model) -> str:
    """Print a schema so that other spellings of it give the same text."""
    return _dumped(_NormalPrinter(model).node(model.root, ""))


def as_resolved(model: Model) -> str:
    """Print a schema that needs no other: what dependencies define stands where it is used first.

    Raises: RecursionError where they are nested too deep in one another.
    """
    return _dumped(_ResolvingPrinter(model).node(model.root, ""))


def definition(model: Model, named: NamedType) -> str:
    """Print one type in normal form, with nothing but the names of others."""
    return _dumped(_NormalPrinter(model, frozenset(model.types) - {named.name}).node(named, ""))


def _dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidSchema(
            f"the schema has half of a surrogate pair, {text[error.start]!a}, which is no character"
        ) from None
    return text


class _Printer:
    """Makes JSON of a model; `namespace` is what holds where a type stands."""

    def __init__(self, model: Model, named_only: frozenset[str] | None = None) -> None:
        self._model = model
        self._named_only = model.external if named_only is None else named_only

    def node(self, node: Node, namespace: str) -> Any:
        """Print any type."""
        match node:
            case Reference():
                return self._reference(node.name, namespace)
            case Primitive():
                properties = self._properties(node.properties)
                return {"type": node.kind, **properties} if properties else node.kind
            case Array():
                items = self.node(node.items, namespace)
                return {"type": "array", "items": items, **self._properties(node.properties)}
            case Map():
                values = self.node(node.values, namespace)
                return {"type": "map", "values": values, **self._properties(node.properties)}
            case Union():
                return [self.node(branch, namespace) for branch in node.branches]
            case _:
                return self._named(node, namespace)

    def _named(self, named: NamedType, namespace: str) -> Any:
        if named.name in self._named_only:
            return self._reference(named.name, namespace)
        head = self._name(named.name, namespace)
        if named.doc is not None:
            head["doc"] = named.doc
        aliases = self._aliases(named)
        tail = {**self._properties(named.properties), **({"aliases": aliases} if aliases else {})}
        match named:
            case Fixed():
                return {"type": "fixed", **head, "size": named.size, **tail}
            case Enum():
                default = {} if named.default is None else {"default": named.default}
                return {"type": "enum", **head, "symbols": list(named.symbols), **default, **tail}
            case Record():
                inside = namespace_of(named.name)
                fields = [self._field(field, inside) for field in named.fields]
                kind = "error" if named.is_error else "record"
                return {"type": kind, **head, "fields": fields, **tail}

    def _field(self, field: Field, namespace: str) -> dict[str, Any]:
        shown = {"name": field.name, "type": self.node(field.type, namespace)}
        if field.doc is not None:
            shown["doc"] = field.doc
        default = self._default(field)
        if default is not ABSENT:
            shown["default"] = default
        if field.order != "ascending":
            shown["order"] = field.order
        if field.aliases:
            shown["aliases"] = self._field_aliases(field)
        return {**shown, **self._properties(field.properties)}

    # What the normal form does otherwise.

    def _reference(self, name: str, namespace: str) -> str:
        simple = simple_name(name)
        inherited = namespace_of(name) == namespace and simple not in _KINDS
        return simple if inherited else name

    def _name(self, name: str, namespace: str) -> dict[str, Any]:
        given = namespace_of(name)
        head = {"name": simple_name(name)}
        return head if given == namespace else {**head, "namespace": given}

    def _aliases(self, named: NamedType) -> list[str]:
        own = namespace_of(named.name)
        return [_alias(alias, own) for alias in named.aliases]

    def _field_aliases(self, field: Field) -> list[str]:
        return list(field.aliases)

    def _default(self, field: Field) -> Any:
        return field.default

    def _properties(self, properties: Properties) -> Mapping[str, Any]:
        return properties


class _ResolvingPrinter(_Printer):
    """Prints each type once in full, whoever has defined it, and after that its name."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, frozenset())
        self._printed: set[str] = set()

    def node(self, node: Node, namespace: str) -> Any:
        if isinstance(node, Reference) and node.name not in self._printed:
            return self._named(self._model.types[node.name], namespace)
        return super().node(node, namespace)

    def _named(self, named: NamedType, namespace: str) -> Any:
        if named.name in self._printed:
            return self._reference(named.name, namespace)
        self._printed.add(named.name)
        return super()._named(named, namespace)


class _NormalPrinter(_Printer):
    """Prints in normal form."""

    def __init__(self, model: Model, named_only: frozenset[str] | None = None) -> None:
        super().__init__(model, named_only)
        self._defaults = Defaults(model)

    def _reference(self, name: str, namespace: str) -> str:  # noqa: ARG002 - never shortened
        return name

    def _name(self, name: str, namespace: str) -> dict[str, Any]:
        hides_namespace = namespace and not namespace_of(name)
        return {"name": name, **({"namespace": ""} if hides_namespace else {})}

    def _aliases(self, named: NamedType) -> list[str]:
        namespace = namespace_of(named.name)
        return sorted({"." + a if namespace and "." not in a else a for a in named.aliases})

    def _field_aliases(self, field: Field) -> list[str]:
        return sorted(field.aliases)

    def _default(self, field: Field) -> Any:
        return _sorted(self._defaults.canonical(field))

    def _properties(self, properties: Properties) -> Mapping[str, Any]:
        return {key: _sorted(properties[key]) for key in sorted(properties)}


def _alias(alias: str, namespace: str) -> str:
    """Shorten an alias in the type's own namespace; a dot in front says: in none."""
    if namespace_of(alias) == namespace:
        return simple_name(alias)
    return alias if "." in alias else f".{alias}"


def _sorted(value: Any) -> Any:
    """Sort the keys of objects, however deep."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
