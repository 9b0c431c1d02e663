"""What was found out lately, as much of it as there is room for.

Must never know: what it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

CHARACTERS_MAX: Final = 16 << 20
"""How long the texts are together that things were made of; in memory they take ten times that."""

NUMBER_MAX: Final = 5_000
NUMBER_MIN: Final = 2
"""What a comparison needs at once, however long it is."""


class Kept:
    """Things by their keys; those that were not asked for longest go first."""

    def __init__(self) -> None:
        self._things: OrderedDict[tuple[object, ...], tuple[Any, int]] = OrderedDict()
        self._characters = 0

    def __contains__(self, key: tuple[object, ...]) -> bool:
        return key in self._things

    def __len__(self) -> int:
        return len(self._things)

    def get(self, key: tuple[object, ...]) -> Any:
        """Give what is there, which goes last from now on. Raises: KeyError."""
        self._things.move_to_end(key)
        return self._things[key][0]

    def put(self, key: tuple[object, ...], thing: Any, characters: int) -> None:
        """Keep a thing that was made of so many characters, besides those of its key."""
        _, before = self._things.pop(key, (None, 0))
        size = characters + _size_of(key)
        self._things[key] = thing, size
        self._characters += size - before
        while len(self._things) > NUMBER_MIN and (
            self._characters > CHARACTERS_MAX or len(self._things) > NUMBER_MAX
        ):
            _, (_, gone) = self._things.popitem(last=False)
            self._characters -= gone


def _size_of(key: object) -> int:
    if isinstance(key, str | bytes):
        return len(key)
    return sum(map(_size_of, key)) if isinstance(key, Iterable) else 0
