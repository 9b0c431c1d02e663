"""What a reader's schema asks of a value itself: its type, its values, its limits.

Must never know: properties, items, choices between schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.json_schema.drafts import exact
from schemas.json_schema.findings import Place, finding, subject
from schemas.json_schema.patterns import Undecided, is_found_in_all
from schemas.json_schema.text import canonical, shown
from schemas.json_schema.writer import (
    ALL_TYPES,
    NUMBERS,
    Writer,
    bounds_of,
    listed_values,
    types_named,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schemas.json_schema.nodes import Node
    from schemas.schema import Incompatibility

_SIZES: Final = {
    "maxLength": ("string", "characters"),
    "minLength": ("string", "characters"),
    "maxItems": ("array", "items"),
    "minItems": ("array", "items"),
    "maxProperties": ("object", "properties"),
    "minProperties": ("object", "properties"),
}
"""What each keyword of a size is about, and what it counts."""

_SHOWN_NUMBER_MAX: Final = 10**30


def check(reader: Node, writer: Writer, place: Place) -> list[Incompatibility]:
    """Compare the keywords that judge a value without looking into it."""
    if isinstance(reader.contents, bool):
        return []
    return [
        *_type(reader, writer, place),
        *_values(reader, writer, place),
        *_sizes(reader, writer, place),
        *_bounds(reader, writer, place),
        *_pattern(reader, writer, place),
        *_multiple_of(reader, writer, place),
    ]


def rule_name(keyword: str, change: str) -> str:
    """Name a change of a keyword: MAX_LENGTH_ADDED for maxLength."""
    words = "".join("_" + letter if letter.isupper() else letter for letter in keyword)
    return f"{words.upper()}_{change}"


def names_of(types: Iterable[str]) -> list[str]:
    """Name types as the keyword "type" does."""
    found = set(types)
    numbers = found & NUMBERS
    name = "number" if "fraction" in numbers else "integer"
    return sorted((found - NUMBERS) | ({name} if numbers else set()))


def _type(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    named = reader.get("type")
    if named is None:
        return
    accepted = types_named(named, reader.draft)
    lost = writer.types - accepted
    if not lost:
        return
    if lost <= NUMBERS and writer.types & NUMBERS & accepted:
        rule = "TYPE_NARROWED"
    elif writer.types & accepted and writer.types != ALL_TYPES:
        rule = "SUM_TYPE_NARROWED"
    else:
        rule = "TYPE_CHANGED"
    wrote = "any type" if writer.types == ALL_TYPES else shown(names_of(writer.types))
    missing = shown(names_of(lost))
    why = f"{subject(place)} is {shown(named)} for the reader, {wrote} for the writer"
    if lost == {"whole"}:
        why = f"{subject(place)}: draft 4 of the reader takes 1.0 for no integer, the writer's does"
        missing = "number"
    yield finding(
        rule,
        place,
        reader=named,
        writer=names_of(writer.types),
        why=why,
        remedy=f"let the reader's type name {missing} too, or keep the writer's type",
    )


def _values(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    listed = listed_values(reader)
    if listed is None:
        return
    keyword = "enum" if reader.get("enum") is not None else "const"
    accepted = {canonical(value) for value in listed}
    wrote = writer.values
    lost = None if wrote is None else [wrote[text] for text in wrote if text not in accepted]
    if lost == []:
        return
    if wrote is None or lost is None:
        rule, what = "ENUM_ARRAY_NARROWED", "the writer allows other values too"
        remedy = f"leave {keyword} out of the reader's schema, or have it in the writer's first"
    else:
        rule = "ENUM_ARRAY_NARROWED" if accepted <= wrote.keys() else "ENUM_ARRAY_CHANGED"
        what = f"the writer also writes {shown(lost)}"
        remedy = f"add {shown(lost)} to the reader's enum"
    yield finding(
        rule,
        (*place, keyword),
        reader=listed,
        writer=None if wrote is None else list(wrote.values()),
        why=f"{subject(place)} is one of {shown(listed)} for the reader, and {what}",
        remedy=remedy,
    )


def _sizes(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    for keyword, (kind, unit) in _SIZES.items():
        size = reader.get(keyword)
        if size is None or kind not in writer.types or _all_pass(reader, writer, keyword):
            continue
        at_most = keyword.startswith("max")
        if at_most:
            wrote = writer.most(keyword)
            if wrote is not None and wrote <= size:
                continue
        else:
            stated = writer.get(keyword)
            wrote = writer.least(keyword) if stated else None
            implied = len(writer.required) if keyword == "minProperties" else 0
            if max(wrote or 0, implied) >= size:
                continue
        change = "ADDED" if wrote is None else "DECREASED" if at_most else "INCREASED"
        word = "at most" if at_most else "at least"
        theirs = "no such limit" if wrote is None else f"{word} {wrote}"
        yield finding(
            rule_name(keyword, change),
            (*place, keyword),
            reader=size,
            writer=wrote,
            why=f"{subject(place)} has {word} {size} {unit} for the reader, "
            f"{theirs} for the writer",
            remedy=_remedy(keyword, wrote, "lower" if not at_most else "raise"),
        )


def _remedy(keyword: str, wrote: Any, change: str) -> str:
    if wrote is None:
        return f"leave {keyword} out of the reader's schema, or have it in the writer's first"
    return f"{change} the reader's {keyword} to {shown(wrote)}"


def _bounds(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    if not writer.types & NUMBERS:
        return
    for keyword, bound, sign in (("minimum", writer.lower, 1), ("maximum", writer.upper, -1)):
        for number, excluded in bounds_of(reader, keyword):
            if bound is not None and (
                bound[0] * sign > number * sign
                or (bound[0] == number and (bound[1] or not excluded))
            ):
                continue
            name = keyword
            if excluded and reader.get("exclusive" + keyword.capitalize()) is not True:
                name = "exclusive" + keyword.capitalize()
            if _all_pass(reader, writer, name):
                continue
            stated = [each for each in writer.get(name) if not isinstance(each, bool)]
            wrote = max(stated, key=lambda each: exact(each) * sign) if stated else None
            change = "ADDED" if wrote is None else "INCREASED" if sign > 0 else "DECREASED"
            word = (
                ("more" if sign > 0 else "less") + " than"
                if excluded
                else ("at least" if sign > 0 else "at most")
            )
            theirs = "no such bound" if bound is None else f"the bound {_decimal(bound[0])}"
            yield finding(
                rule_name(name, change),
                (*place, name),
                reader=reader.get(name),
                writer=wrote,
                why=f"{subject(place)} is {word} {shown(reader.get(name))} for the reader, "
                f"the writer has {theirs}",
                remedy=_remedy(name, wrote, "lower" if sign > 0 else "raise"),
            )


def _decimal(number: Any) -> str:
    if abs(number) >= _SHOWN_NUMBER_MAX:
        return "of a very large number"
    return str(int(number)) if number == int(number) else str(float(number))


def _pattern(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    pattern = reader.get("pattern")
    theirs = writer.get("pattern")
    if pattern is None or "string" not in writer.types or pattern in theirs:
        return
    doubt = "patterns are the same only if they are written alike"
    try:
        if writer.values is not None and is_found_in_all(
            pattern, (each for each in writer.values.values() if isinstance(each, str))
        ):
            return
    except Undecided as error:
        doubt = f"whether the writer's values match is not decided: {error}"
    wrote = f"{shown(theirs[0])} for the writer" if theirs else "the writer has no pattern"
    yield finding(
        "PATTERN_CHANGED" if theirs else "PATTERN_ADDED",
        (*place, "pattern"),
        reader=pattern,
        writer=theirs[0] if theirs else None,
        why=f"{subject(place)} matches {shown(pattern)} for the reader, {wrote}; {doubt}",
        remedy="keep the writer's pattern, or leave the pattern out of the reader's schema",
    )


def _multiple_of(reader: Node, writer: Writer, place: Place) -> Iterator[Incompatibility]:
    step = reader.get("multipleOf")
    if step is None or not writer.types & NUMBERS:
        return
    theirs = writer.get("multipleOf")
    steps = [exact(each) for each in theirs]
    if "fraction" not in writer.types:
        steps.append(exact(1))
    if any(each % exact(step) == 0 for each in steps) or _all_pass(reader, writer, "multipleOf"):
        return
    change = "ADDED" if not theirs else "CHANGED"
    if any(exact(step) % exact(each) == 0 for each in theirs):
        change = "EXPANDED"
    wrote = f"of {shown(theirs[0])} for the writer" if theirs else "any number for the writer"
    yield finding(
        rule_name("multipleOf", change),
        (*place, "multipleOf"),
        reader=step,
        writer=theirs[0] if theirs else None,
        why=f"{subject(place)} is a multiple of {shown(step)} for the reader, {wrote}",
        remedy=f"let the reader's multipleOf divide {shown(theirs[0])}"
        if theirs
        else "leave multipleOf out of the reader's schema, or have it in the writer's first",
    )


def _all_pass(reader: Node, writer: Writer, keyword: str) -> bool:
    """Tell whether all values that a writer lists pass one of a reader's keywords."""
    if writer.values is None:
        return False
    alone = {
        each: value
        for each, value in reader.contents.items()
        if each == keyword or (keyword in {"minimum", "maximum"} and each.startswith("exclusive"))
    }
    validator = reader.draft.validator(alone)
    return all(validator.is_valid(value) for value in writer.values.values())
