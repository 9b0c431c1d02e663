"""What a writer may have written as a property of an object, whether or not a schema names it.

Must never know: readers, which rules there are, how findings are told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schemas.json_schema.nodes import Node
from schemas.json_schema.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DYNAMIC: Final = ("anyOf", "oneOf", "if")
"""Keywords by which a property may count as evaluated in some objects only."""

Rest = tuple[Writer, list[list[tuple[str | None, Node | None]]]]
"""What holds for properties that have no name in a schema: what holds for all of them, and lists
of which one holds for each, by the pattern that brings it in, None for "additionalProperties"."""


def explicit_names(writer: Writer) -> dict[str, None]:
    """Give the names of all properties that a writer's schemas name, in their order."""
    return {name: None for each in writer.get("properties") for name in each}


def property_of(writer: Writer, name: str) -> Writer:
    """Give what a writer may have written as a property."""
    nodes = [each for node in writer.nodes for each in node.of_property(name)]
    for group, others in _groups(writer):
        if not any(node.explicitly(name).at_most for node in group):
            nodes.append(others)
    return Writer.of(nodes)


def _groups(writer: Writer) -> Iterator[tuple[tuple[Node, ...], Node]]:
    """Give each "unevaluatedProperties" that it is plain for which properties it holds.

    It holds for those that none of the schemas, given with it, evaluates by name or pattern.
    """
    for node in writer.nodes:
        others = node.one("unevaluatedProperties")
        if others is None:
            continue
        group = Writer.of([node]).nodes
        if not any(_evaluates_more(each, node) for each in group):
            yield group, others


def _evaluates_more(node: Node, top: Node) -> bool:
    """Tell whether a schema counts properties as evaluated other than by name and pattern."""
    if node.dependent_schemas or any(node.get(keyword) is not None for keyword in _DYNAMIC):
        return True
    nested = node is not top and node.get("unevaluatedProperties") is not None
    return nested or node.get("additionalProperties") is not None


def rest_of(writer: Writer, pattern: str | None, handled: Collection[str]) -> Rest:
    """Give what a writer may have in properties that no schema names.

    Those that match `pattern`, or, for None, those that match none of `handled`.
    """
    held: list[Node] = []
    lists: list[list[tuple[str | None, Node | None]]] = []
    for node in writer.nodes:
        patterns = node.named("patternProperties")
        additional = node.one("additionalProperties")
        if pattern in patterns:
            held.append(patterns[pattern])
            continue
        others = [
            (each, inner)
            for each, inner in patterns.items()
            if each not in handled and not (pattern and _are_apart(pattern, each))
        ]
        if others:
            lists.append([(None, additional), *others])
        elif additional is not None:
            held.append(additional)
    for group, inner in _groups(writer):
        every = {each for node in group for each in node.get("patternProperties") or {}}
        apart = {each for each in every if pattern and _are_apart(pattern, each)}
        if every <= (set(handled) if pattern is None else apart):
            held.append(inner)
    return Writer.of(held), lists


def _are_apart(one: str, other: str) -> bool:
    """Tell whether no name matches two patterns: both begin in a plain way, each in its own."""
    heads = [re.match(r"\^(\w+)(?![*?{|\w])", each) for each in (one, other)]
    if not all(heads) or "|" in one + other:
        return False
    first, second = (head[1] for head in heads if head)
    return not first.startswith(second) and not second.startswith(first)
