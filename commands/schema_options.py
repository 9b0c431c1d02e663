"""Schemas from files, and what to say where the registry refuses them.

Must never know: what is asked of the registry, where it is.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from client.schema_registry import (
    INCOMPATIBLE,
    LATEST,
    SUBJECT_NOT_FOUND,
    VERSION_MAX,
    VERSION_NOT_FOUND,
    RegistrySchema,
    SchemaReference,
    SchemaRegistryError,
    SchemaRegistryUnreachable,
    is_version,
)
from commands.failure import CommandFailed, ExitStatus
from commands.line_source import require_stdin
from commands.options import INT32_MAX, TextName, is_number, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

NEXT_STEPS: Final = {
    SUBJECT_NOT_FOUND: "'ottla schema list' names the subjects",
    VERSION_NOT_FOUND: "'ottla schema list SUBJECT' lists its versions",
    40405: "delete it without --permanent first",
    40407: "delete it without --permanent first",
    INCOMPATIBLE: "change the schema as proposed, or register it under another subject",
}
TYPES: Final = ("AVRO", "JSON", "PROTOBUF")
TYPE_OF_SUFFIX: Final = {".avsc": "AVRO", ".json": "JSON", ".proto": "PROTOBUF"}


class Subject(TextName):
    """A subject's name; without one the registry would do to all what is asked."""

    name = "SUBJECT"
    of = "subject"


class Version(click.ParamType[str]):
    """A version of a subject: its number, or the latest one."""

    name = "VERSION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take a number from 1 on, `latest`, or what the REST API has for it."""
        if not is_version(str(value)):
            shown = str(value) if is_text(str(value)) else repr(os.fsencode(value))
            self.fail(
                f"'{shown}' is no version: give a number from 1 to {VERSION_MAX}, or '{LATEST}'",
                param,
                ctx,
            )
        return str(value)


class Reference(click.ParamType[SchemaReference]):
    """Reads `NAME=SUBJECT:VERSION`."""

    name = "reference"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> SchemaReference:
        """Read one reference. Raises: click.BadParameter."""
        if isinstance(value, SchemaReference):
            return value
        text = str(value)
        if not is_text(text):
            self.fail(f"{os.fsencode(text)!r} is not UTF-8, as names and subjects are", param, ctx)
        name, _, target = text.partition("=")
        subject, _, version = target.rpartition(":")
        if not (name and subject and is_number(version, INT32_MAX)):
            self.fail(f"'{value}' is no reference: write NAME=SUBJECT:VERSION", param, ctx)
        return SchemaReference(name, subject, int(version))


def schema_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add what a schema in a file takes; the command is handed `wanted`, a RegistrySchema."""

    @click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
    @click.option(
        "--type",
        "kind",
        type=click.Choice(TYPES, case_sensitive=False),
        help="Type of the schema.  [default: by the name, .avsc, .json or .proto, else AVRO]",
    )
    @click.option(
        "--reference",
        "references",
        type=Reference(),
        multiple=True,
        metavar="NAME=SUBJECT:VERSION",
        help="A registered schema that this one refers to; can be repeated.",
    )
    @functools.wraps(command)
    def run(
        *args: Any,
        file: Path,
        kind: str | None,
        references: tuple[SchemaReference, ...],
        **options: Any,
    ) -> R:
        kind = kind or TYPE_OF_SUFFIX.get(file.suffix, "AVRO")
        return command(*args, wanted=RegistrySchema(read_text(file), kind, references), **options)

    return run


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a registry refuses, or that none answers, into CommandFailed with a next step."""
    try:
        yield
    except SchemaRegistryError as error:
        next_step = NEXT_STEPS.get(error.code, "")
        raise CommandFailed(error.message.rstrip("."), next_step=next_step) from error
    except SchemaRegistryUnreachable as error:
        raise CommandFailed(
            str(error),
            next_step="start one with 'ottla up', or name another with --registry",
            exit_status=ExitStatus.NOT_RUNNING,
        ) from error


def read_text(file: Path) -> str:
    """Read a text, `-` from stdin. Raises: CommandFailed, OSError."""
    try:
        if str(file) != "-":
            return file.read_text(encoding="utf-8")
        require_stdin()
        # Python would let other bytes pass, or read them as the terminal's language has them.
        return StringIO(sys.stdin.buffer.read().decode("utf-8"), newline=None).read()
    except UnicodeDecodeError as error:
        what, source = ("stdin", "what is piped in") if str(file) == "-" else (file, "the file")
        raise CommandFailed(f"{what} is not text in UTF-8", next_step=f"check {source}") from error
