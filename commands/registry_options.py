"""How commands find the schema registry: as told, by the environment, or by the directory.

Must never know: what is asked of it; importing HTTP waits until something is.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from commands.cluster_directory import DEFAULT_DIRECTORY, HOST, ClusterDirectory
from commands.failure import CommandFailed, ExitStatus
from commands.options import Directory, is_text

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

REGISTRY_VARIABLE: Final = "OTTLA_REGISTRY"
DEFAULT_URL: Final = f"http://{HOST}:8081"

registry_option = click.option(
    "--registry",
    metavar="URL,...",
    help=f"Schema registries.  [default: ${REGISTRY_VARIABLE}, then that of --data]",
)


def registry_of_cluster(registry: str | None) -> str:
    """Choose the registry of a command that has --data for its cluster. Raises: CommandFailed."""
    return find_registry(registry, click.get_current_context().params.get("directory"))


def registry_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add --registry and --data; the command is handed `registry`, the URLs to ask."""

    @registry_option
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
        _require_urls(registry, "--registry")
        return registry
    if directory is None:
        if from_environment := os.environ.get(REGISTRY_VARIABLE):
            _require_urls(from_environment, f"${REGISTRY_VARIABLE}")
            return from_environment
        directory = ClusterDirectory(DEFAULT_DIRECTORY)
        if not directory.exists():
            return DEFAULT_URL
    node = directory.load().registry
    if node is None:
        raise CommandFailed(
            f"the cluster in {directory.path} has no registry",
            next_step=f"start one with {directory.command('up --registry')}, or name another with "
            "--registry",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    if not node.is_running:
        raise CommandFailed(
            f"the registry of the cluster in {directory.path} is not running",
            next_step=f"start it with {directory.command('node start registry')}, or name another "
            "with --registry",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    return f"http://{node.address}"


def _require_urls(registry: str, param_hint: str) -> None:
    shown = registry if is_text(registry) else repr(os.fsencode(registry))
    listed = [url.strip() for url in registry.split(",")]
    if shown != registry or not all(url.startswith(("http://", "https://")) for url in listed):
        raise click.BadParameter(
            f"'{shown}' is no URL: write http://host:port", param_hint=param_hint
        )
