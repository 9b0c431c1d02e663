"""The deliberate bugs of `mutations/*.toml`: read, and planted into a copy of the packages.

Must never know: how a bug is looked for, who looks.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
MUTATIONS = Path(__file__).parent / "mutations"
PACKAGES = (
    "broker",
    "chaos",
    "client",
    "coordinator",
    "protocol",
    "registry",
    "schemas",
    "simulation",
)


class DoesNotApply(Exception):
    """What a patch replaces is not in its file exactly once: the code has moved on."""


class Edit(NamedTuple):
    """A piece of a file's text, and what stands there once the bug is planted."""

    file: str
    before: str
    after: str

    def apply(self, text: str) -> str:
        """Change the file's text. Raises: DoesNotApply."""
        if (count := text.count(self.before)) != 1:
            raise DoesNotApply(f"{self.file} holds {self.before!r} {count} times, 1 wanted")
        return text.replace(self.before, self.after)


@dataclass(frozen=True)
class Mutation:
    """A deliberate bug: `breaks` says which rule is broken, `edits` how.

    `about` is the theme of the plans that look for it; without one all plans do. `kept` names the
    plan that once found it, for what comes up too seldom (`kept/*.toml`).
    """

    name: str
    breaks: str
    edits: tuple[Edit, ...]
    about: str | None = None
    kept: str | None = None

    def files(self) -> dict[str, str]:
        """Give the files that it changes, as they are then. Raises: DoesNotApply."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            text = texts.get(edit.file) or (ROOT / edit.file).read_text()
            texts[edit.file] = edit.apply(text)
        return texts

    @classmethod
    def of(cls, row: dict[str, Any]) -> Mutation:
        """Read one from its table."""
        rows = [row, *row.get("also", [])]
        edits = tuple(Edit(each["file"], each["before"], each["after"]) for each in rows)
        return cls(row["name"], row["breaks"], edits, row.get("about"), row.get("kept"))


def load_mutations() -> list[Mutation]:
    """Read all deliberate bugs, file by file."""
    return [
        Mutation.of(row)
        for path in sorted(MUTATIONS.glob("*.toml"))
        for row in tomllib.loads(path.read_text())["mutation"]
    ]


def plant(mutation: Mutation, root: Path) -> None:
    """Copy the packages to `root`, with the bug in them. Raises: DoesNotApply."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package)
    for file, text in mutation.files().items():
        (root / file).write_text(text)
