"""What a reader's schema makes of other schemas for the same value: all, any or one of them, none.

Must never know: types, properties, items, how a comparison remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.json_schema.findings import Place, finding, subject
from schemas.json_schema.nodes import spelling_of
from schemas.json_schema.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.json_schema.compatibility import Comparison
    from schemas.json_schema.nodes import Node
    from schemas.json_schema.writer import Writer
    from schemas.schema import Incompatibility

_COMBINED = ("allOf", "anyOf", "oneOf")


def check(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> list[Incompatibility]:
    """Compare allOf, anyOf, oneOf, not, and if with then and else."""
    return [
        *_all_of(comparison, reader, writer, place),
        *_any_or_one_of(comparison, reader, writer, place),
        *_not(comparison, reader, writer, place),
        *_if(comparison, reader, writer, place),
    ]


def _all_of(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    branches = reader.several("allOf")
    failing = []
    lost: list[Incompatibility] = []
    for index, branch in enumerate(branches):
        missing = comparison.compare(branch, writer, (*place, "allOf", str(index)))
        failing += [index] if missing else []
        lost += missing
    if not lost:
        return
    rule = _rule(
        writer,
        "allOf",
        fewer="COMBINED_TYPE_SUBSCHEMAS_CHANGED",
        more="PRODUCT_TYPE_EXTENDED",
        count=len(branches),
    )
    yield finding(
        rule,
        place,
        reader=reader.get("allOf"),
        writer=writer.shown,
        why=f"{subject(place)} has to be all of {len(branches)} schemas for the reader; what the "
        f"writer may write there is not always number {', '.join(map(str, failing))}",
        remedy="let these schemas accept what the writer's does, or take them off allOf: "
        + lost[0].remedy,
    )
    yield from lost


def _any_or_one_of(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    for keyword in ("anyOf", "oneOf"):
        branches = reader.several(keyword)
        if not branches:
            continue
        if writer.choices:
            yield _undecided(reader, writer, place)
            continue
        lost = _uncovered(comparison, branches, writer, (*place, keyword))
        if lost:
            yield _no_branch(comparison, branches, writer, lost[0], (*place, keyword))


def _undecided(reader: Node, writer: Writer, place: Place) -> Incompatibility:
    """Stand for what is decided when the writer's choices are made: the comparison makes them."""
    return finding(
        "COMBINED_TYPE_SUBSCHEMAS_CHANGED",
        place,
        reader=reader.contents,
        writer=writer.shown,
        why=f"{subject(place)} has choices in both schemas",
        remedy="let the reader have a choice for each of the writer's",
    )


def _uncovered(
    comparison: Comparison, branches: tuple[Node, ...], writer: Writer, place: Place
) -> list[Writer]:
    """Give those kinds of values that no branch, or not one alone, can be shown to accept."""
    likely = writer.chosen[1] if writer.chosen is not None else -1
    spellings = {spelling_of(node) for node in writer.nodes} - {None}
    indexes = sorted(  # mostly one is the same as the writer's, or stands in its place
        range(len(branches)),
        key=lambda index: (spelling_of(branches[index]) not in spellings, index != likely),
    )
    for rank, index in enumerate(indexes):
        if rank and comparison.is_apart(writer, branches[index]):
            continue  # sooner told than all that it refuses
        if _fits(comparison, branches, index, writer, place):
            return []
    kinds = writer.kinds()
    if not kinds:
        return [] if comparison.is_impossible(writer) else [writer]
    return [lost for kind in kinds for lost in _uncovered(comparison, branches, kind, place)]


def _fits(
    comparison: Comparison, branches: tuple[Node, ...], index: int, writer: Writer, place: Place
) -> bool:
    if comparison.compare(branches[index], writer, (*place, str(index))):
        return False
    if place[-1] == "anyOf":
        return True
    others = (branch for branch in branches if branch is not branches[index])
    return all(comparison.excludes(writer, other) for other in others)


def _no_branch(
    comparison: Comparison,
    branches: tuple[Node, ...],
    writer: Writer,
    lost: Writer,
    place: Place,
) -> Incompatibility:
    """Tell of a kind of value that a reader's anyOf or oneOf does not accept."""
    keyword = place[-1]
    alike = [
        index for index, branch in enumerate(branches) if not comparison.is_apart(lost, branch)
    ]
    judged = {
        index: comparison.compare(branches[index], lost, (*place, str(index)))
        for index in alike or range(len(branches))
    }
    nearest = min(judged, key=lambda index: len(judged[index]))
    if judged[nearest]:
        why = (
            f"none of the reader's {len(branches)} schemas in {keyword} accepts it; the nearest is "
            f"number {nearest}, but {judged[nearest][0].why}"
        )
        remedy = f"add a schema to the reader's {keyword} that accepts {shown(lost.shown)}"
    else:
        why = f"number {nearest} of the reader's oneOf accepts it, and another one may do so too"
        remedy = (
            "use anyOf in the reader's schema, or give each schema in oneOf what tells it apart: "
            'a required property with a "const" of its own'
        )
    return finding(
        _rule(
            writer,
            keyword,
            fewer="SUM_TYPE_NARROWED",
            more="COMBINED_TYPE_SUBSCHEMAS_CHANGED",
            count=len(branches),
        ),
        place[:-1],
        reader=[branch.contents for branch in branches],
        writer=lost.shown,
        why=f"{subject(place[:-1])} may be {shown(lost.shown)} for the writer: {why}",
        remedy=remedy,
    )


def _rule(writer: Writer, keyword: str, *, fewer: str, more: str, count: int) -> str:
    """Name a rule by how both combine schemas, and by whose list is longer."""
    theirs = {each for each in _COMBINED for node in writer.nodes if node.get(each)}
    alike = {keyword, "oneOf"} if keyword == "anyOf" else {keyword}
    if theirs & alike:
        longest = max(len(each) for like in alike for each in writer.get(like))
        if count == longest:
            return "COMBINED_TYPE_SUBSCHEMAS_CHANGED"
        return fewer if count < longest else more
    if theirs:
        return "COMBINED_TYPE_CHANGED"
    several = any(isinstance(each, list) and len(each) > count for each in writer.get("type"))
    return "SUM_TYPE_NARROWED" if several and keyword != "allOf" else "TYPE_CHANGED"


def _not(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    refused = reader.one("not")
    if refused is None or comparison.excludes(writer, refused):
        return
    theirs = writer.get("not")
    yield finding(
        "NOT_TYPE_EXTENDED",
        (*place, "not"),
        reader=refused.contents,
        writer=theirs[0] if theirs else None,
        why=f"{subject(place)} must not be {shown(refused.contents)} for the reader; it cannot be "
        "shown that the writer never writes that",
        remedy="let the reader's not refuse no more than the writer's, or leave it out",
    )


def _if(
    comparison: Comparison, reader: Node, writer: Writer, place: Place
) -> Iterator[Incompatibility]:
    condition = reader.one("if")
    if condition is None:
        return
    then, otherwise = reader.one("then"), reader.one("else")
    if then is not None:
        met = writer.narrowed([condition])
        yield from comparison.compare(then, met, (*place, "then"))
    if otherwise is not None:
        unmet = writer.narrowed([], excluded=[condition])
        yield from comparison.compare(otherwise, unmet, (*place, "else"))
