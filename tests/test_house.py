"""The laws of the house that no linter knows: every module says its job, and stays small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    "broker",
    "chaos",
    "client",
    "commands",
    "coordinator",
    "protocol",
    "registry",
    "schemas",
    "simulation",
)
MODULES = sorted(
    [ROOT / "cli.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
)
LINES_MAX = 500
"""A file aims at 400 lines. One that grows beyond this has two jobs."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_holds_and_what_it_must_never_know(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""

    assert docstring, "a module begins with what it holds"
    if path.name != "__init__.py":
        assert "must never know" in " ".join(docstring.split()).lower()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_stays_small(path):
    lines = path.read_text(encoding="utf-8").count("\n")

    assert lines <= LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_leaves_nothing_for_later(path):
    words = path.read_text(encoding="utf-8").replace("(", " ").replace(":", " ").split()

    assert not {"TODO", "FIXME", "XXX"} & set(words)


def test_every_room_is_in_the_map():
    the_map = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

    assert all(f"`{room}/`" in the_map for room in ROOMS)
