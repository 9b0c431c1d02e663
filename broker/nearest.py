"""The known word that a misspelled one may mean: at once, for one request may misspell thousands.

Must never know: what the words name.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHARACTERS_MAX: Final = 100
"""No known word comes near to it: what is longer means none."""


def hint(word: str, known: frozenset[str]) -> str:
    """Ask whether a known word was meant, where one letter or the end makes the difference."""
    near = _nearest(word, known)
    return "" if near is None else f"; did you mean {near}?"


def _nearest(word: str, known: frozenset[str]) -> str | None:
    if len(word) > CHARACTERS_MAX:
        return None
    index = _index(known)
    for left in _lacking_a_letter(word):
        if left in index:
            return index[left]
    for end in range(len(word), 0, -1):
        if word[:end] in known:
            return word[:end]
    return None


@cache
def _index(known: frozenset[str]) -> dict[str, str]:
    """Give each known word under what may be left of it; of two that are alike the shorter one.

    A letter too much, another one, or two that are swapped leave the same, once each has lost one.
    """
    index: dict[str, str] = {}
    for word in sorted(known, key=lambda each: (len(each), each)):
        for left in _lacking_a_letter(word):
            index.setdefault(left, word)
        for end, character in enumerate(word):
            if character == ".":
                index.setdefault(word[:end], word)
    return index


def _lacking_a_letter(word: str) -> Iterator[str]:
    """Give the word itself, then all that it becomes when it loses one letter."""
    yield word
    for place in range(len(word)):
        yield word[:place] + word[place + 1 :]
