"""What a reader's schema asks of an object: its properties, named or not, and which there must be.

Content models, in the public registry's words: an object is open where other properties may be
there, closed where none may, partially open where some may.
Must never know: arrays, choices between schemas, how a comparison remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from schemas.json_schema.findings import Place, finding, subject
from schemas.json_schema.nodes import lone
from schemas.json_schema.properties import Rest, explicit_names, property_of, rest_of
from schemas.json_schema.text import shown
from schemas.json_schema.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemas.json_schema.compatibility import Comparison
    from schemas.json_schema.nodes import Node
    from schemas.schema import Incompatibility


def check(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> list[Incompatibility]:
    """Compare the keywords that judge objects."""
    if "object" not in writer.types or isinstance(reader.contents, bool):
        return []
    return [
        *_properties(comparison, reader, writer, place),
        *_required(comparison, reader, writer, place),
        *_patterns(comparison, reader, writer, place),
        *_others(comparison, reader, writer, place),
        *_unevaluated(comparison, reader, writer, place),
        *_names(comparison, reader, writer, place),
        *_dependencies(comparison, reader, writer, place),
    ]


def _properties(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare each property that either names."""
    theirs = explicit_names(writer)
    ours = reader.named("properties")
    for name in {**ours, **theirs}:
        spot = (*place, "properties", name)
        wrote = property_of(writer, name)
        for node in reader.of_property_at_most(name):
            lost = comparison.inside(node, wrote, spot)
            if not lost:
                continue
            if name in theirs and name in ours:
                told: Iterable[Incompatibility] = lost
            elif name in theirs:
                told = _removed(node, wrote, spot, lost)
            else:
                told = _added(node, wrote, spot, lost)
            yield from _with_doubts(told, name, (reader, *writer.nodes))


def _with_doubts(
    told: Iterable[Incompatibility], name: str, nodes: Iterable[Node]
) -> Iterator[Incompatibility]:
    """Add to what is told of a property that it is not known which patterns its name matches."""
    doubts = [doubt for node in nodes for doubt in node.explicitly(name).doubts]
    for each in told:
        yield replace(each, why=f"{each.why}; {doubts[0]}") if doubts else each


def _added(
    node: Node, wrote: Writer, spot: Place, lost: list[Incompatibility]
) -> Iterator[Incompatibility]:
    """Tell of a property that only the reader names, and that the writer may have written."""
    if wrote.is_open:
        yield finding(
            "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
            spot,
            reader=node.contents,
            writer=None,
            why=f"{subject(spot)} is {shown(node.contents)} for the reader; the writer's object is "
            "open and may have anything there",
            remedy="let the reader accept everything there (true), or begin with a writer's "
            'schema that says "additionalProperties": false',
        )
        return
    yield from lost
    yield finding(
        "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        spot,
        reader=node.contents,
        writer=wrote.shown,
        why=f"{subject(spot)} is {shown(node.contents)} for the reader; the writer does not name "
        f"it, and may have {shown(wrote.shown)} there",
        remedy=f"let the reader's schema there accept {shown(wrote.shown)}",
    )


def _removed(
    node: Node, wrote: Writer, spot: Place, lost: list[Incompatibility]
) -> Iterator[Incompatibility]:
    """Tell of a property that only the writer names, and that the reader does not accept."""
    if node.contents is False:
        yield finding(
            "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
            spot,
            reader=None,
            writer=wrote.shown,
            why=f"{subject(spot)} is {shown(wrote.shown)} for the writer; the reader's object is "
            "closed and does not name it",
            remedy="keep the property in the reader's schema, or open that: leave out "
            '"additionalProperties": false',
        )
        return
    yield from lost
    yield finding(
        "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
        spot,
        reader=node.contents,
        writer=wrote.shown,
        why=f"{subject(spot)} is {shown(wrote.shown)} for the writer; the reader does not name it "
        f"and accepts {shown(node.contents)} for properties like it",
        remedy="keep the property in the reader's schema, or let it accept "
        f"{shown(wrote.shown)} for properties that it does not name",
    )


def _required(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare which properties there must be."""
    names = reader.get("required") or []
    theirs = explicit_names(writer)
    ours = reader.get("properties") or {}
    for name in dict.fromkeys(names):
        if name in writer.required:
            continue
        if comparison.trusts_defaults and _has_default(reader, name):
            continue
        unnamed = name in ours and name not in theirs and not property_of(writer, name).is_open
        rule = "REQUIRED_ATTRIBUTE_ADDED"
        spot = (*place, "required", name)
        if unnamed:
            rule = "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
            spot = (*place, "properties", name)
        have = "may leave it out" if name in theirs else "does not name it"
        yield finding(
            rule,
            spot,
            reader=sorted(names),
            writer=sorted(writer.required) or None,
            why=f"{subject((*place, 'properties', name))} is required by the reader, "
            f"and the writer {have}",
            remedy=f'take {shown(name)} off the reader\'s "required", or give the property a '
            "default in the reader's schema",
        )


def _has_default(reader: Node, name: str) -> bool:
    properties = reader.named("properties")
    if name not in properties:
        return False
    return any(
        isinstance(node.contents, dict)
        and "default" in node.contents
        and not (node.draft.hides_siblings_of_ref and "$ref" in node.contents)
        for node in Writer.of([properties[name]]).nodes
    )


def _lost_in_rest(
    comparison: Comparison, node: Node, rest: Rest, spot: Place
) -> list[tuple[str | None, Writer, list[Incompatibility]]]:
    """Give what a schema loses of properties that no one names: by which pattern, what, and why."""
    held, lists = rest
    lost = comparison.inside(node, held, spot)
    if not lost or not lists:
        return [(None, held, lost)] if lost else []
    failing: list[tuple[str | None, Writer, list[Incompatibility]]] = []
    for options in lists:
        wrote = [
            (pattern, held.narrowed([inner] if inner is not None else []))
            for pattern, inner in options
        ]
        judged = [(pattern, each, comparison.inside(node, each, spot)) for pattern, each in wrote]
        failing = [option for option in judged if option[2]]
        if not failing:
            return []
    return failing


def _patterns(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare what holds for properties by patterns of their names."""
    shared = {pattern for each in writer.get("patternProperties") for pattern in each}
    for pattern, node in reader.named("patternProperties").items():
        spot = (*place, "patternProperties", pattern)
        rest = rest_of(writer, pattern, ())
        for _, wrote, lost in _lost_in_rest(comparison, node, rest, spot):
            if pattern in shared:
                yield from lost
            else:
                yield from _added(node, wrote, spot, lost)


def _others(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare what holds for properties that the reader neither names nor has a pattern for."""
    node = reader.one("additionalProperties")
    if node is None:
        return
    spot = (*place, "additionalProperties")
    rest = rest_of(writer, None, reader.get("patternProperties") or {})
    for pattern, wrote, lost in _lost_in_rest(comparison, node, rest, spot):
        if pattern is not None:
            yield from _removed(node, wrote, (*place, "patternProperties", pattern), lost)
        else:
            yield from _closed(node, wrote, spot, lost)


def _closed(
    node: Node, wrote: Writer, spot: Place, lost: list[Incompatibility]
) -> Iterator[Incompatibility]:
    """Tell that a reader accepts fewer of the properties that no one names."""
    words = "ADDITIONAL" if spot[-1] == "additionalProperties" else "UNEVALUATED"
    if node.contents is False:
        change, accepts = "REMOVED", "none"
    elif wrote.is_open:
        change, accepts = "NARROWED", shown(node.contents)
    else:
        yield from lost
        return
    yield finding(
        f"{words}_PROPERTIES_{change}",
        spot,
        reader=node.contents,
        writer=None if wrote.is_open else wrote.shown,
        why=f"{subject(spot[:-1])}: of properties without a name the reader accepts {accepts}, "
        f"the writer {'any' if wrote.is_open else shown(wrote.shown)}",
        remedy=f"leave {spot[-1]} out of the reader's schema, or keep the writer's",
    )


def _unevaluated(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare what holds for properties that no schema of the reader has judged.

    Those that only a choice of the reader judges count as not judged.
    """
    node = reader.one("unevaluatedProperties")
    if node is None:
        return
    group = Writer.of([reader]).nodes
    if any(each.get("additionalProperties") is not None for each in group):
        return
    if any(each.get("unevaluatedProperties") is not None for each in group if each is not reader):
        return
    spot = (*place, "unevaluatedProperties")
    for name in explicit_names(writer):
        if not any(each.explicitly(name).surely for each in group):
            at = (*place, "properties", name)
            wrote = property_of(writer, name)
            lost = comparison.inside(node, wrote, at)
            if lost:
                told = _removed(node, wrote, at, lost)
                yield from _with_doubts(told, name, (*group, *writer.nodes))
    handled = {pattern for each in group for pattern in each.get("patternProperties") or {}}
    for pattern, wrote, lost in _lost_in_rest(
        comparison, node, rest_of(writer, None, handled), spot
    ):
        if pattern is not None:
            yield from _removed(node, wrote, (*place, "patternProperties", pattern), lost)
        else:
            yield from _closed(node, wrote, spot, lost)


def _names(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare what names properties may have."""
    node = reader.one("propertyNames")
    if node is None:
        return
    spot = (*place, "propertyNames")
    theirs = [each for one in writer.nodes if (each := one.one("propertyNames")) is not None]
    wrote = Writer.of([lone({"type": "string"}, reader), *theirs])
    lost = comparison.inside(node, wrote, spot)
    if lost and not _known_names_pass(comparison, node, writer):
        if theirs:
            yield from lost
            return
        yield finding(
            "SCHEMA_ADDED",
            spot,
            reader=node.contents,
            writer=None,
            why=f"{subject(spot)} has to be {shown(node.contents)} for the reader, the writer "
            "takes any name",
            remedy="leave propertyNames out of the reader's schema, or have it in the writer's "
            "first",
        )


def _known_names_pass(comparison: Comparison, node: Node, writer: Writer) -> bool:
    """Tell whether a writer's object is closed, and all names in it pass a reader's schema."""
    for each in writer.nodes:
        if each.get("additionalProperties") is False and not each.get("patternProperties"):
            names = each.get("properties") or {}
            wrote = Writer.of([lone({"enum": list(names)}, node)])
            return not comparison.inside(node, wrote, ())
    return False


def _dependencies(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    """Compare what holds for objects that have a certain property."""
    old = reader.draft.number < 2019
    keyword = "dependencies" if old else "dependentRequired"
    for name, needed in reader.dependent_names.items():
        if comparison.is_impossible(property_of(writer, name)):
            continue
        theirs = {each for node in writer.nodes for each in node.dependent_names.get(name, ())}
        missing = sorted(set(needed) - theirs - writer.required - {name})
        if missing:
            yield _dependency_added((*place, keyword, name), needed, theirs, missing)
    keyword = "dependencies" if old else "dependentSchemas"
    for name, node in reader.dependent_schemas.items():
        spot = (*place, keyword, name)
        inner = [
            each.dependent_schemas[name] for each in writer.nodes if name in each.dependent_schemas
        ]
        wrote = writer.narrowed([lone({"required": [name]}, reader), *inner])
        lost = comparison.compare(node, wrote, spot)
        if lost and inner:
            yield from lost
        elif lost:
            yield finding(
                "DEPENDENCY_SCHEMA_ADDED",
                spot,
                reader=node.contents,
                writer=None,
                why=f"{subject(place)}: an object with {shown(name)} has to be "
                f"{shown(node.contents)} for the reader, not for the writer: {lost[0].why}",
                remedy=f"leave {shown(name)} out of the reader's {keyword}, or have it in the "
                "writer's first",
            )


def _dependency_added(
    spot: Place, needed: list[Any], theirs: set[Any], missing: list[Any]
) -> Incompatibility:
    change = "ADDED" if not theirs else "EXTENDED" if theirs < set(needed) else "CHANGED"
    return finding(
        f"DEPENDENCY_ARRAY_{change}",
        spot,
        reader=needed,
        writer=sorted(theirs) or None,
        why=f"{subject(spot[:-2])}: an object with {shown(spot[-1])} needs {shown(missing)} too "
        "for the reader, not for the writer",
        remedy=f"take {shown(missing)} off the reader's {spot[-2]}, or have them in the writer's "
        "first",
    )
