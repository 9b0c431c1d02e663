"""Which earlier versions a new schema is held against, and in which direction.

Must never know: how two schemas are compared, where versions come from.
Source: Schema Registry documentation, "Schema Evolution and Compatibility".
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.schema import Incompatibility, Schema


class Level(StrEnum):
    """What a new version must be able to do with data of earlier ones, or they with its own."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def is_transitive(self) -> bool:
        """Whether all earlier versions count, or the newest alone."""
        return self.endswith("_TRANSITIVE")

    @property
    def demands_backward(self) -> bool:
        """Whether the new schema must read what was written with an earlier one."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def demands_forward(self) -> bool:
        """Whether an earlier schema must read what is written with the new one."""
        return self.startswith(("FORWARD", "FULL"))


class Earlier(Struct, frozen=True):
    """An earlier version of the subject, parsed."""

    version: int
    schema: Schema


class Violation(Struct, frozen=True):
    """What stands against a new schema: an incompatibility, with whom, and who is the reader.

    `found` is None where the types differ, so that there is nothing to compare.
    """

    version: int
    new_reads_old: bool
    found: Incompatibility | None
    types: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        reader = "the new schema" if self.new_reads_old else f"version {self.version}"
        writer = f"version {self.version}" if self.new_reads_old else "the new schema"
        if self.found is None:
            new, old = self.types
            return (
                f"SCHEMA_TYPE_MISMATCH: the new schema is {new}, version {self.version} is {old}; "
                f"register it as {old}, or under another subject"
            )
        return (
            f"{self.found.rule} at {self.found.path} ({reader} reads what {writer} has written): "
            f"{self.found.why}; {self.found.remedy}"
        )


def violations(level: Level, new: Schema, earlier: Sequence[Earlier]) -> list[Violation]:
    """Tell all that stands against a new schema. `earlier` is in ascending order of versions."""
    if level is Level.NONE:
        return []
    compared = earlier if level.is_transitive else earlier[-1:]
    return [each for old in reversed(compared) for each in _against(level, new, old)]


def _against(level: Level, new: Schema, old: Earlier) -> list[Violation]:
    if new.type is not old.schema.type:
        types = (str(new.type), str(old.schema.type))
        return [Violation(old.version, level.demands_backward, None, types)]
    found = []
    if level.demands_backward:
        found += [Violation(old.version, True, each) for each in new.incompatibilities(old.schema)]
    if level.demands_forward:
        found += [Violation(old.version, False, each) for each in old.schema.incompatibilities(new)]
    return found
