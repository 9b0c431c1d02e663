"""Who is there, and who follows whom.

Must never know: events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VISITOR: Final = "you"
"""Whoever sits in front of the page."""

FOLLOWS: Final[Mapping[str, frozenset[str]]] = {
    VISITOR: frozenset({"mira", "teo", "juna", "oskar", "lin"}),
    "mira": frozenset({"teo", "juna", VISITOR}),
    "teo": frozenset({"mira", "oskar", VISITOR}),
    "juna": frozenset({"mira", "lin", VISITOR}),
    "oskar": frozenset({"teo", "lin", VISITOR}),
    "lin": frozenset({"juna", "oskar", "mira", VISITOR}),
}
PEOPLE: Final = tuple(FOLLOWS)


def readers_of(author: str) -> tuple[str, ...]:
    """Name those who see a person's posts: the followers, and the person."""
    return tuple(name for name in PEOPLE if name == author or author in FOLLOWS[name])


def conversation_of(one: str, other: str) -> str:
    """Name the conversation between two people, the same from both sides."""
    return "~".join(sorted((one, other)))
