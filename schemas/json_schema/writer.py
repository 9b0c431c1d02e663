"""What a writer may have written at one place: all the schemas that held for it, put together.

Must never know: readers, which rules there are, how findings are told.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from schemas.json_schema.drafts import exact
from schemas.json_schema.nodes import Key, Node, lone
from schemas.json_schema.text import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction

    from schemas.json_schema.drafts import Draft

NUMBERS: Final = frozenset({"integer", "whole", "fraction"})
"""Kinds of numbers: 1 is an integer, 1.5 a fraction; 1.0 is whole: draft 4 takes it for no integer,
later drafts do."""

ALL_TYPES: Final = NUMBERS | {"null", "boolean", "string", "array", "object"}
VALUES_SPLIT_MAX: Final = 1000
"""How many values of an enum are looked at one by one."""

Opened = tuple[Key, str]
"""A keyword at a place, whose choice was made."""

WriterKey = tuple[frozenset[Key], frozenset[Key], bool]
"""Places that hold, places that do not, and whether the choices in them are left alone."""

Bound = tuple["Fraction | int", bool]
"""A number, and whether it is excluded itself."""


class Writer:
    """All of `nodes` held, none of `excluded` did. Made by `of`; never changed."""

    def __init__(
        self,
        nodes: tuple[Node, ...],
        excluded: tuple[Node, ...],
        opened: frozenset[Opened] | None,
        chosen: tuple[Node, int] | None,
    ) -> None:
        self.nodes = nodes
        self.excluded = excluded
        self.opened = opened
        self.chosen = chosen
        self.key: WriterKey = (
            frozenset(node.key for node in nodes),
            frozenset(node.key for node in excluded),
            opened is None,
        )

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Writer:
        """Put together schemas that held for the same value."""
        return cls((), (), frozenset(), None).narrowed(nodes)

    def narrowed(
        self,
        nodes: Iterable[Node],
        *,
        excluded: Iterable[Node] = (),
        opened: Opened | None = None,
        chosen: tuple[Node, int] | None = None,
    ) -> Writer:
        """Add schemas that held as well, and some that did not.

        `opened` is a keyword, at a place, whose choice is made by this; `chosen` is the choice and
        its number, as people are told of it.
        """
        found = {node.key: node for node in self.nodes}
        failed = {node.key: node for node in (*self.excluded, *excluded)}
        pending = list(nodes)[::-1]
        while pending:
            node = pending.pop()
            if node.key in found:
                continue
            found[node.key] = node
            pending += node.targets()
            pending += node.several("allOf")[::-1]
            refused = node.one("not")
            if refused:
                failed[refused.key] = refused
            described = _described(node)
            if described:
                pending.append(described)
        made = self.opened
        if opened is not None and made is not None:
            made |= {opened}
        return Writer(tuple(found.values()), tuple(failed.values()), made, chosen or self.chosen)

    def beside(self, node: Node) -> Writer:
        """Add a schema that held as well, and forget what did not hold and what is left open."""
        return Writer(self.narrowed([node]).nodes, (), None, None)

    def get(self, keyword: str) -> list[Any]:
        """Give all values that a keyword has."""
        return [value for node in self.nodes if (value := node.get(keyword)) is not None]

    @cached_property
    def types(self) -> frozenset[str]:
        """The types that a value may have; none where there can be no value at all."""
        types = ALL_TYPES
        for node in self.nodes:
            types &= types_of(node)
        for node in self.excluded:
            if isinstance(node.contents, dict) and node.contents.keys() == {"type"}:
                types -= types_of(node)
        impossible = {
            kind
            for kind, low, high in (
                ("string", "minLength", "maxLength"),
                ("array", "minItems", "maxItems"),
                ("object", "minProperties", "maxProperties"),
            )
            if (most := self.most(high)) is not None and most < self.least(low)
        }
        return types - impossible

    @cached_property
    def values(self) -> dict[str, Any] | None:
        """The only values that there can be, by their canonical texts; None where not listed."""
        lists = [
            {canonical(value): value for value in values}
            for node in self.nodes
            if (values := listed_values(node)) is not None
        ]
        if not lists:
            simple = self.types <= {"null", "boolean"}
            lists = [{canonical(value): value for value in (None, False, True)}] if simple else []
        if not lists:
            return None
        smallest = min(lists, key=len)
        return {
            text: value
            for text, value in smallest.items()
            if all(text in each for each in lists) and types_of_value(value) & self.types
        }

    @cached_property
    def is_empty(self) -> bool:
        """Whether it is plain that there can be no value."""
        if not self.types or self.values == {}:
            return True
        return self.types <= NUMBERS and self._crosses(self.lower, self.upper)

    @staticmethod
    def _crosses(lower: Bound | None, upper: Bound | None) -> bool:
        if lower is None or upper is None:
            return False
        return lower[0] > upper[0] or (lower[0] == upper[0] and (lower[1] or upper[1]))

    @property
    def shown(self) -> Any:
        """What people are shown as the writer's schema here: the choice made last, or all."""
        if self.chosen is not None:
            return self.chosen[0].contents
        contents = [node.contents for node in self.nodes if not node.targets()]
        return contents[0] if contents else True

    @property
    def is_open(self) -> bool:
        """Whether every value may have been written."""
        return not self.excluded and all(node.accepts_all for node in self.nodes)

    @cached_property
    def required(self) -> frozenset[str]:
        """The properties that every object has."""
        return frozenset(name for names in self.get("required") for name in names)

    def least(self, keyword: str) -> int:
        """Give the largest value of minLength, minItems or minProperties; 0 for none."""
        return max(map(int, self.get(keyword)), default=0)

    def most(self, keyword: str) -> int | None:
        """Give the smallest value of maxLength, maxItems or maxProperties."""
        return min(map(int, self.get(keyword)), default=None)

    @cached_property
    def lower(self) -> Bound | None:
        """The number that no smaller one was written than."""
        bounds = [bound for node in self.nodes for bound in bounds_of(node, "minimum")]
        if not bounds:
            return None
        number, excluded = max(bounds)
        if "fraction" in self.types:
            return number, excluded
        return (math.floor(number) + 1 if excluded else math.ceil(number)), False

    @cached_property
    def upper(self) -> Bound | None:
        """The number that no greater one was written than."""
        bounds = [bound for node in self.nodes for bound in bounds_of(node, "maximum")]
        if not bounds:
            return None
        number, excluded = min(bounds, key=lambda bound: (bound[0], not bound[1]))
        if "fraction" in self.types:
            return number, excluded
        return (math.ceil(number) - 1 if excluded else math.floor(number)), False

    @cached_property
    def choices(self) -> list[Writer]:
        """Take the first choice that the schemas leave open, each way; none where all are made.

        Every value is what one of the choices may have written.
        """
        if self.opened is None:
            return []
        for node in self.nodes:
            for keyword in ("anyOf", "oneOf"):
                branches = node.several(keyword)
                opened = (node.key, keyword)
                if branches and opened not in self.opened:
                    return [
                        self.narrowed(
                            [branch],
                            excluded=[
                                b for b in branches if b is not branch and keyword == "oneOf"
                            ],
                            opened=opened,
                            chosen=(branch, index),
                        )
                        for index, branch in enumerate(branches)
                    ]
            condition, opened = node.one("if"), (node.key, "if")
            then, otherwise = node.one("then"), node.one("else")
            if condition and (then or otherwise) and opened not in self.opened:
                yes = [condition, then] if then else [condition]
                no = [otherwise] if otherwise else []
                return [
                    self.narrowed(yes, opened=opened),
                    self.narrowed(no, excluded=[condition], opened=opened),
                ]
        return []

    def kinds(self) -> list[Writer]:
        """Take apart by the listed values, or by types, where several are left."""
        if not self.nodes:
            return []
        beside = self.nodes[0]
        if self.values is not None:
            if not 1 < len(self.values) <= VALUES_SPLIT_MAX:
                return []
            parts = [lone({"const": value}, beside) for value in self.values.values()]
        else:
            names = (self.types - NUMBERS) | ({"number"} if self.types & NUMBERS else set())
            if self.types == ALL_TYPES or len(names) < 2:
                return []
            parts = [lone({"type": name}, beside) for name in sorted(names)]
        return [self.narrowed([part], chosen=(part, at)) for at, part in enumerate(parts)]


def types_of(node: Node) -> frozenset[str]:
    """Give the types that values may have for a schema, and those that it is made of."""
    return node.remember("types", lambda: _types_of(node))


def _types_of(node: Node) -> frozenset[str]:
    if isinstance(node.contents, bool):
        return ALL_TYPES if node.contents else frozenset()
    types = ALL_TYPES
    named = node.get("type")
    if named is not None:
        types &= types_named(named, node.draft)
    values = listed_values(node)
    if values is not None:
        types &= frozenset().union(*map(types_of_value, values))
    for each in (*node.targets(), *node.several("allOf")):
        types &= types_of(each)
    for keyword in ("anyOf", "oneOf"):
        branches = node.several(keyword)
        if branches:
            types &= frozenset().union(*map(types_of, branches))
    return types


def types_named(names: str | list[str], draft: Draft) -> frozenset[str]:
    """Give the types that the keyword "type" names."""
    found: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        if name == "number":
            found |= NUMBERS
        elif name == "integer":
            found |= {"integer"} if draft.number == 4 else {"integer", "whole"}
        else:
            found.add(name)
    return frozenset(found)


def types_of_value(value: Any) -> frozenset[str]:
    """Give the types of a value, and of those that equal it: 1.0 equals 1."""
    if value is None:
        return frozenset({"null"})
    if isinstance(value, int | float) and not isinstance(value, bool):
        return frozenset({"integer", "whole"} if value == math.floor(value) else {"fraction"})
    names = {bool: "boolean", str: "string", list: "array", dict: "object"}
    return frozenset({names[type(value)]})


def listed_values(node: Node) -> list[Any] | None:
    """Give the values of "enum" or "const", both in one list; None where there is neither."""
    values = node.get("enum")
    if isinstance(node.contents, dict) and "const" in node.contents:
        hidden = node.draft.hides_siblings_of_ref and "$ref" in node.contents
        if "const" in node.draft.keywords and not hidden:
            const = node.contents["const"]
            alike = values is None or canonical(const) in map(canonical, values)
            return [const] if alike else []
    return values if isinstance(values, list) else None


def bounds_of(node: Node, keyword: str) -> list[Bound]:
    """Give the bounds that "minimum" or "maximum" and its exclusive form set."""
    exclusive = node.get("exclusive" + keyword.capitalize())
    number = node.get(keyword)
    found: list[Bound] = [] if number is None else [(exact(number), exclusive is True)]
    if exclusive is not None and not isinstance(exclusive, bool):
        found.append((exact(exclusive), True))
    return found


def _described(node: Node) -> Node | None:
    """Say by keywords what a lone constant object or array is, one level deep."""
    values = listed_values(node)
    if values is None or len(values) != 1:
        return None
    value = values[0]
    if isinstance(value, dict):
        return lone(
            {
                "properties": {name: {"const": each} for name, each in value.items()},
                "required": list(value),
                "additionalProperties": False,
            },
            node,
        )
    if isinstance(value, list):
        return lone(
            {
                "items": [{"const": each} for each in value],
                "additionalItems": False,
                "minItems": len(value),
                "maxItems": len(value),
            },
            node,
        )
    return None
