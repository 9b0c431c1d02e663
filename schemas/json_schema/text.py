"""JSON as texts and values: read strictly, written compactly, compared by what it means.

Strictly: no key twice in an object, no NaN, no infinity, no number that a double cannot hold.
Must never know: what a schema is, where a text comes from.
"""

from __future__ import annotations

import json
import math
from typing import Any

SHOWN_CHARACTERS_MAX = 80


class NotJson(ValueError):
    """A text is no JSON, or says one thing twice. The message says where, or what."""


def decode(text: str) -> Any:
    """Read one JSON value.

    Raises: NotJson, also for what is nested deeper than the interpreter follows.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise NotJson(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise NotJson("nested too deep: use fewer levels of objects and arrays") from None
    except NotJson:
        raise
    except ValueError as error:  # whole numbers of thousands of digits
        raise NotJson(f"a number cannot be read: {error}") from None


def compact(value: Any) -> str:
    """Write a value without white space; keys keep their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Any) -> str:
    """Write a value so that equal ones have the same text: keys in order, 1.0 as 1."""
    return json.dumps(_plain(value), separators=(",", ":"), sort_keys=True)


def sorted_keys(value: Any) -> Any:
    """Give a value whose objects have their keys in order, and whose whole numbers are int."""
    return json.loads(canonical(value))


def shown(value: Any) -> str:
    """Write a value for people: compact, cut short where it is long, whatever its size."""
    pieces: list[str] = []
    length = 0
    encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
    for piece in encoder.iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > SHOWN_CHARACTERS_MAX:
            return shortened("".join(pieces))
    return "".join(pieces)


def shortened(text: str) -> str:
    """Cut a text short for a message."""
    if len(text) <= SHOWN_CHARACTERS_MAX:
        return text
    return text[:SHOWN_CHARACTERS_MAX] + "…"


def depth_of(value: Any) -> int:
    """Count the levels of objects and arrays; a lone string or number has none."""
    depth = 0
    level = [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
        ]
    return depth


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJson(f"key {shown(key)} is there twice in one object: keep one of them")
            seen.add(key)
    return found


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NotJson(f"number {shortened(digits)} is too large for a double")
    return number


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"{name} is no JSON number: leave it out, or write null")


def _plain(value: Any) -> Any:
    """Make whole numbers int, so that 1.0 and 1 are written alike, as they are equal."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value
