"""Whether a pattern is found in a text, as Python's `re` has it, in bounded time.

`re` tries one way through a pattern after the other, and (a+)+$ has as many as there are numbers
of so many bits; nothing can stop it. Here all ways are gone together, one character at a time.
What takes more than that, or too long, is not decided.
Source: Ken Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968.
Must never know: schemas, which places patterns stand at.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PATTERN_CHARACTERS_MAX: Final = 1_000
TEXT_CHARACTERS_MAX: Final = 10_000
STATES_MAX: Final = 5_000
STEPS_MAX: Final = 200_000
STEPS_TOGETHER_MAX: Final = 10 * STEPS_MAX
"""How much is tried for one question, and for all of one comparison; a step takes about a
microsecond."""

CHARACTERS_PER_STEP: Final = 64
"""How many characters `re` compares in the time of a step."""

DEPTH_MAX: Final = 40
KEPT_MAX: Final = 128

_BRANCHING: Final = re.compile(r"[*+?{|]")
"""What a pattern needs to go more ways than one."""

_PIECE: Final = re.compile(
    r"""
    \\ (?: x[0-9a-fA-F]{2} | u[0-9a-fA-F]{4} | U[0-9a-fA-F]{8} | N\{[^}]*\} | 0[0-7]{0,2} | [^0-9] )
    | \[ \^? \]? (?: \\. | [^\]\\] )* \]
    | [^\\\[()|*+?]
    """,
    re.VERBOSE | re.DOTALL,
)
"""What stands for one character, or for a place between two."""

_PLACES: Final = frozenset({"^", "$", r"\A", r"\Z", r"\z", r"\b", r"\B"})
_QUANTIFIER: Final = re.compile(r"[*+?]|\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_GROUP: Final = re.compile(r"\((?:\?:|\?P<\w+>|(\?[=!])|(?!\?))")


class Undecided(Exception):
    """It was not found out whether a pattern is found in a text. The message says why."""


class _One(NamedTuple):
    """Go on behind a character that this matches."""

    regex: re.Pattern[str]


class _Place(NamedTuple):
    """Go on where this matches, without a character."""

    regex: re.Pattern[str]


class _Fork(NamedTuple):
    """Go on at all of these, counted from here."""

    targets: tuple[int, ...]


class _Look(NamedTuple):
    """Go on where a program leads to its end from here, or where it does not."""

    program: _Program
    wanted: bool


_Program = list[_One | _Place | _Fork | _Look]


class _Effort(Struct):
    """How many steps are left for a question, and for all in its comparison."""

    left: int
    together: _Effort | None = None

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Undecided("it takes too many steps, alone or together with others")
        if self.together is not None:
            self.together.spend(steps)


_together: ContextVar[_Effort | None] = ContextVar("_together", default=None)


@contextmanager
def bounded_together() -> Iterator[None]:
    """Bound what all questions that are asked inside may take."""
    before = _together.set(_Effort(STEPS_TOGETHER_MAX))
    try:
        yield
    finally:
        _together.reset(before)


def is_found(pattern: str, text: str) -> bool:
    """Tell whether a pattern that `re` accepts is found in a text. Raises: Undecided."""
    return is_found_in_all(pattern, (text,))


def is_found_in_all(pattern: str, texts: Iterable[str]) -> bool:
    """Tell whether a pattern is found in each text; all share one effort. Raises: Undecided."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise Undecided(f"it is longer than {PATTERN_CHARACTERS_MAX} characters")
    effort = _Effort(STEPS_MAX, _together.get())
    return all(_is_found(pattern, text, effort) for text in texts)


def _is_found(pattern: str, text: str, effort: _Effort) -> bool:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Undecided(f"the text is longer than {TEXT_CHARACTERS_MAX} characters")
    if _BRANCHING.search(pattern) is None:
        effort.spend(1 + len(pattern) * len(text) // CHARACTERS_PER_STEP)
        return re.search(pattern, text) is not None
    return _leads_to_end(_compiled(pattern), text, 0, effort, anywhere=True)


def _leads_to_end(
    program: _Program, text: str, start: int, effort: _Effort, *, anywhere: bool
) -> bool:
    """Go through a program from a place in a text on, or from every later one too."""
    reached: list[int] = [0]
    for at in range(start, len(text) + 1):
        ends, reached = _go_on(program, text, at, reached, effort)
        if ends:
            return True
        if anywhere:
            reached.append(0)
        elif not reached:
            return False
    return False


def _go_on(
    program: _Program, text: str, at: int, pending: list[int], effort: _Effort
) -> tuple[bool, list[int]]:
    """Go on from places in a program over one character.

    Returns: whether the end was reached before it, and the places behind it.
    """
    met: set[int] = set()
    behind: list[int] = []
    while pending:
        index = pending.pop()
        if index in met:
            continue
        met.add(index)
        if index == len(program):
            return True, behind
        match program[index]:
            case _One(regex):
                if regex.match(text, at):
                    behind.append(index + 1)
            case _Place(regex):
                if regex.match(text, at):
                    pending.append(index + 1)
            case _Fork(targets):
                pending += [index + each for each in targets]
            case _Look(inner, wanted):
                if _leads_to_end(inner, text, at, effort, anywhere=False) is wanted:
                    pending.append(index + 1)
    effort.spend(len(met))
    return False, behind


@lru_cache(KEPT_MAX)
def _compiled(pattern: str) -> _Program:
    reader = _Reader(pattern)
    program = reader.choice(0)
    if reader.at < len(pattern):
        raise Undecided(f"{pattern[reader.at :][:20]!r} in it is not understood")
    return program


class _Reader:
    """Reads a pattern that `re` accepts, from `at` on."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.at = 0

    def choice(self, depth: int) -> _Program:
        """Read alternatives up to what ends them. Raises: Undecided."""
        program = self._sequence(depth)
        while self._takes("|"):
            other = self._sequence(depth)
            # To the first, which ends with a jump over the second, and to the second.
            program = [
                _Fork((1, len(program) + 2)),
                *program,
                _Fork((len(other) + 1,)),
                *other,
            ]
        return program

    def _sequence(self, depth: int) -> _Program:
        program: _Program = []
        while self.at < len(self._pattern) and self._pattern[self.at] not in "|)":
            program += self._repeated(self._piece(depth))
            if len(program) > STATES_MAX:
                raise Undecided("it repeats too much")
        return program

    def _piece(self, depth: int) -> _Program:
        if found := _PIECE.match(self._pattern, self.at):
            self.at = found.end()
            regex = re.compile(found[0])
            return [_Place(regex) if found[0] in _PLACES else _One(regex)]
        group = _GROUP.match(self._pattern, self.at)
        if group is None:
            raise Undecided(f"{self._pattern[self.at :][:20]!r} in it can take too long")
        if depth >= DEPTH_MAX:
            raise Undecided(f"its groups are more than {DEPTH_MAX} deep")
        self.at = group.end()
        inner = self.choice(depth + 1)
        if not self._takes(")"):
            raise Undecided("a group in it has no end")
        return [_Look(inner, group[1] == "?=")] if group[1] else inner

    def _repeated(self, program: _Program) -> _Program:
        found = _QUANTIFIER.match(self._pattern, self.at)
        if found is None:
            return program
        self.at = found.end()
        if self._takes("+"):
            raise Undecided("it has a possessive quantifier")
        self._takes("?")  # few or many: that decides what is found, not whether
        least, most = _times(found)
        if (len(program) + 2) * max(least + 1, most or 0) > STATES_MAX and program:
            raise Undecided("it repeats too much")
        if not program:
            return []
        if most is None:
            rest: _Program = [_Fork((1, len(program) + 2)), *program, _Fork((-len(program) - 1,))]
        else:
            rest = [_Fork((1, len(program) + 1)), *program] * (most - least)
        return program * least + rest

    def _takes(self, character: str) -> bool:
        taken = self._pattern.startswith(character, self.at)
        self.at += taken
        return taken


def _times(quantifier: re.Match[str]) -> tuple[int, int | None]:
    """Give how often something is to be there at least, and at most, None without a bound."""
    sign, (least, comma, most) = quantifier[0], quantifier.groups()
    if sign in "*+?":
        return int(sign == "+"), 1 if sign == "?" else None
    if not comma:
        return int(least), int(least)
    return int(least or 0), int(most) if most else None
