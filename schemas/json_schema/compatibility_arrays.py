"""What a reader's schema asks of an array: its items, by place or all alike, and what it contains.

Must never know: objects, choices between schemas, how a comparison remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.json_schema.compatibility_values import rule_name
from schemas.json_schema.findings import Place, finding, subject
from schemas.json_schema.text import shown
from schemas.json_schema.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.json_schema.compatibility import Comparison
    from schemas.json_schema.nodes import Node
    from schemas.schema import Incompatibility


def check(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> list[Incompatibility]:
    """Compare the keywords that look into arrays."""
    if "array" not in writer.types or isinstance(reader.contents, bool):
        return []
    return [
        *_first_items(comparison, reader, writer, place),
        *_rest(comparison, reader, writer, place),
        *_unevaluated(comparison, reader, writer, place),
        *_unique(reader, writer, place),
        *_contains(comparison, reader, writer, place),
    ]


def item_of(writer: Writer, index: int | None) -> Writer:
    """Give what a writer may have written as an item, None for one after all listed ones."""
    nodes = []
    for node in writer.nodes:
        first = node.first_items
        rest = node.rest
        if index is not None and index < len(first):
            nodes.append(first[index])
        elif rest is not None:
            nodes.append(rest)
        others = _unevaluated_items(node)
        if others is not None and (index is None or index >= len(first)):
            nodes.append(others)
    return Writer.of(nodes)


def _unevaluated_items(node: Node) -> Node | None:
    """Give "unevaluatedItems" where it stands for the items after this schema's own first ones."""
    others = node.one("unevaluatedItems")
    if others is None or node.rest is not None or node.get("contains") is not None:
        return None
    return (
        others
        if len(Writer.of([node]).nodes) == 1
        and not any(
            node.get(keyword) is not None
            for keyword in ("anyOf", "oneOf", "if", "dependentSchemas")
        )
        else None
    )


def _listed(writer: Writer) -> int:
    return max((len(node.first_items) for node in writer.nodes), default=0)


def _first_items(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare the items that either lists one by one."""
    ours, rest = reader.first_items, reader.rest
    theirs = _listed(writer)
    most = writer.most("maxItems")
    for index in range(max(len(ours), theirs)):
        if most is not None and index >= most:
            return
        spot = (*place, reader.first_keyword, str(index))
        node = ours[index] if index < len(ours) else rest
        if node is None:
            continue
        wrote = item_of(writer, index)
        lost = comparison.inside(node, wrote, spot)
        if not lost:
            continue
        if index < len(ours) and index < theirs:
            yield from lost
        elif index < len(ours):
            yield from _added(node, wrote, spot, lost)
        else:
            yield from _removed(node, wrote, spot, lost)


def _added(
    node: Node, wrote: Writer, spot: Place, lost: list[Incompatibility]
) -> Iterator[Incompatibility]:
    """Tell of an item that only the reader lists, and that the writer may have written."""
    if wrote.is_open:
        rule, theirs = "ITEM_ADDED_TO_OPEN_CONTENT_MODEL", "anything"
    else:
        yield from lost
        rule = "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
        theirs = shown(wrote.shown)
    yield finding(
        rule,
        spot,
        reader=node.contents,
        writer=None if wrote.is_open else wrote.shown,
        why=f"{subject(spot)} is {shown(node.contents)} for the reader; the writer does not list "
        f"it, and may have {theirs} there",
        remedy=f"let the reader accept {theirs} there, or list the item in the writer's schema "
        "first",
    )


def _removed(
    node: Node, wrote: Writer, spot: Place, lost: list[Incompatibility]
) -> Iterator[Incompatibility]:
    """Tell of an item that only the writer lists, and that the reader does not accept."""
    rule = "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"
    if node.contents is not False:
        yield from lost
        rule = "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
    accepts = "nothing" if node.contents is False else shown(node.contents)
    yield finding(
        rule,
        spot,
        reader=None if node.contents is False else node.contents,
        writer=wrote.shown,
        why=f"{subject(spot)} is {shown(wrote.shown)} for the writer; the reader does not list it, "
        f"and accepts {accepts} there",
        remedy="keep the item in the reader's schema, or let it accept "
        f"{shown(wrote.shown)} after its own items",
    )


def _rest(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare the items that come after all that are listed one by one."""
    node = reader.rest
    if node is not None:
        listed = max(len(reader.first_items), _listed(writer))
        yield from _later(comparison, node, writer, (*place, reader.rest_keyword), listed)


def _later(
    comparison: Comparison, node: Node, writer: Writer, spot: Place, listed: int
) -> Iterator[Incompatibility]:
    most = writer.most("maxItems")
    if most is not None and most <= listed:
        return
    wrote = item_of(writer, None)
    lost = comparison.inside(node, wrote, spot)
    if not lost:
        return
    words = "UNEVALUATED_ITEMS" if spot[-1] == "unevaluatedItems" else "ADDITIONAL_ITEMS"
    if node.contents is False:
        rule, accepts = f"{words}_REMOVED", "none"
    elif wrote.is_open:
        rule = "SCHEMA_ADDED" if spot[-1] == "items" else f"{words}_NARROWED"
        accepts = shown(node.contents)
    else:
        yield from lost
        return
    theirs = "anything" if wrote.is_open else shown(wrote.shown)
    yield finding(
        rule,
        spot,
        reader=node.contents,
        writer=None if wrote.is_open else wrote.shown,
        why=f"{subject(spot)}: of items after the listed ones the reader accepts {accepts}, "
        f"the writer {theirs}",
        remedy=f"let the reader accept {theirs} there: leave {spot[-1]} out, or keep the writer's",
    )


def _unevaluated(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare the items that no schema of the reader has judged.

    Those that only a choice of the reader judges, or "contains", count as not judged.
    """
    node = reader.one("unevaluatedItems")
    if node is None:
        return
    group = Writer.of([reader])
    if any(each.rest is not None for each in group.nodes):
        return
    if any(each.get("unevaluatedItems") is not None for each in group.nodes if each is not reader):
        return
    spot = (*place, "unevaluatedItems")
    judged, listed = _listed(group), _listed(writer)
    most = writer.most("maxItems")
    for index in range(judged, listed):
        if most is not None and index >= most:
            return
        at = (*place, reader.first_keyword, str(index))
        wrote = item_of(writer, index)
        lost = comparison.inside(node, wrote, at)
        if lost:
            yield from _removed(node, wrote, at, lost)
    yield from _later(comparison, node, writer, spot, max(judged, listed))


def _unique(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    most = writer.most("maxItems")
    if not reader.get("uniqueItems") or any(writer.get("uniqueItems")):
        return
    if most is not None and most <= 1:
        return
    yield finding(
        "UNIQUE_ITEMS_ADDED",
        (*place, "uniqueItems"),
        reader=True,
        writer=None,
        why=f"{subject(place)} has no item twice for the reader, the writer may repeat items",
        remedy="leave uniqueItems out of the reader's schema, or have it in the writer's first",
    )


def _contains(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare which items there must be somewhere, and how many."""
    node = reader.one("contains")
    if node is None:
        return
    theirs = [(each, inner) for each in writer.nodes if (inner := each.one("contains"))]
    spot = (*place, "contains")
    needed = _count(reader, "minContains", 1)
    if needed and not _all_items_are(comparison, node, writer, needed):
        judged = [
            (each, comparison.inside(node, Writer.of([inner]), spot)) for each, inner in theirs
        ]
        counts = [_count(each, "minContains", 1) for each, lost in judged if not lost]
        if not counts and judged:
            yield from judged[0][1]
        elif max(counts, default=0) < needed:
            yield _too_few(node, spot, needed, max(counts, default=0))
    allowed = reader.get("maxContains")
    most = writer.most("maxItems")
    if allowed is None or (most is not None and most <= allowed):
        return
    limits = [
        int(limit)
        for each, inner in theirs
        if (limit := each.get("maxContains")) is not None
        and comparison.is_covered(Writer.of([node]), inner)
    ]
    if min(limits, default=allowed + 1) > allowed:
        yield _too_many(node, spot, int(allowed), min(limits, default=None))


def _all_items_are(comparison: Comparison, node: Node, writer: Writer, needed: int) -> bool:
    """Tell whether every item is what "contains" says, and there are enough of them."""
    if writer.least("minItems") < needed:
        return False
    places: list[int | None] = [*range(_listed(writer)), None]
    return not any(comparison.inside(node, item_of(writer, index), ()) for index in places)


def _count(node: Node, keyword: str, default: int) -> int:
    count = node.get(keyword)
    return default if count is None else int(count)


def _too_few(node: Node, spot: Place, needed: int, have: int) -> Incompatibility:
    rule, at = (
        ("MIN_CONTAINS_INCREASED", (*spot[:-1], "minContains"))
        if have
        else (
            "SCHEMA_ADDED",
            spot,
        )
    )
    return finding(
        rule,
        at,
        reader=needed if have else node.contents,
        writer=have or None,
        why=f"{subject(spot[:-1])} contains at least {needed} items that are "
        f"{shown(node.contents)} for the reader, {have} for the writer",
        remedy="leave contains out of the reader's schema, or have it in the writer's first"
        if not have
        else f"lower the reader's minContains to {have}",
    )


def _too_many(node: Node, spot: Place, allowed: int, have: int | None) -> Incompatibility:
    theirs = "any number" if have is None else f"up to {have}"
    return finding(
        rule_name("maxContains", "ADDED" if have is None else "DECREASED"),
        (*spot[:-1], "maxContains"),
        reader=allowed,
        writer=have,
        why=f"{subject(spot[:-1])} contains at most {allowed} items that are "
        f"{shown(node.contents)} for the reader, {theirs} for the writer",
        remedy="leave maxContains out of the reader's schema, or have it in the writer's first"
        if have is None
        else f"raise the reader's maxContains to {have}",
    )
