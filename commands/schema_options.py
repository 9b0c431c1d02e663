"""How commands find the schema registry, and read a schema from a file.

Must never know: what is asked of the registry.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from client.schema_registry import RegistrySchema, SchemaReference
from commands.cluster_directory import DEFAULT_DIRECTORY, HOST, ClusterDirectory
from commands.failure import CommandFailed, ExitStatus
from commands.options import Directory

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

REGISTRY_VARIABLE: Final = "OTTLA_REGISTRY"
DEFAULT_URL: Final = f"http://{HOST}:8081"
TYPES: Final = ("AVRO", "JSON", "PROTOBUF")
TYPE_OF_SUFFIX: Final = {".avsc": "AVRO", ".json": "JSON", ".proto": "PROTOBUF"}


class Reference(click.ParamType[SchemaReference]):
    """Reads `NAME=SUBJECT:VERSION`."""

    name = "reference"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> SchemaReference:
        """Read one reference. Raises: click.BadParameter."""
        if isinstance(value, SchemaReference):
            return value
        name, _, target = str(value).partition("=")
        subject, _, version = target.rpartition(":")
        if not (name and subject and version.isdecimal()):
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
        return command(*args, wanted=RegistrySchema(_read(file), kind, references), **options)

    return run


def registry_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add --registry and --data; the command is handed `registry`, the URLs to ask."""

    @click.option(
        "--registry",
        metavar="URL,...",
        help=f"Schema registries.  [default: ${REGISTRY_VARIABLE}, then that of --data]",
    )
    @click.option(
        "--data",
        "directory",
        type=Directory(),
        envvar="OTTLA_DATA",
        help=f"Take the registry of this directory's cluster.  [default: {DEFAULT_DIRECTORY}]",
    )
    @functools.wraps(command)
    def run(
        *args: Any, registry: str | None, directory: ClusterDirectory | None, **options: Any
    ) -> R:
        return command(*args, registry=find_registry(registry, directory), **options)

    return run


def find_registry(registry: str | None, directory: ClusterDirectory | None) -> str:
    """Choose the registry: as told, else of the environment, else of the directory's cluster.

    Where nothing is told and no cluster was ever started here it is this machine's port 8081.
    Raises: CommandFailed (NOT_RUNNING) where the directory's cluster has none that runs.
    """
    if registry:
        if any(not url.strip().startswith(("http://", "https://")) for url in registry.split(",")):
            raise click.BadParameter(
                f"'{registry}' is no URL: write http://host:port", param_hint="--registry"
            )
        return registry
    if directory is None:
        if from_environment := os.environ.get(REGISTRY_VARIABLE):
            return from_environment
        directory = ClusterDirectory(DEFAULT_DIRECTORY)
        if not directory.exists():
            return DEFAULT_URL
    node = directory.load().registry
    if node is None:
        raise CommandFailed(
            f"the cluster in {directory.path} has no registry",
            next_step="start one with 'ottla up --registry', or name another with --registry",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    if not node.is_running:
        raise CommandFailed(
            f"the registry of the cluster in {directory.path} is not running",
            next_step="start it with 'ottla node start registry', or name another with --registry",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    return f"http://{node.address}"


def _read(file: Path) -> str:
    """Read a text, `-` from stdin. Raises: CommandFailed, OSError."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{file} is not text in UTF-8", next_step="check the file") from error
