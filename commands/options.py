"""Options that several commands share: which cluster, which directory, JSON or not.

Must never know: any particular command.
"""

from __future__ import annotations

import functools
import math
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from commands.cluster_directory import DEFAULT_DIRECTORY, HOST, ClusterDirectory
from commands.failure import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PORT: Final = 9092
PORT_MAX: Final = 65_535
INT16_MAX: Final = 2**15 - 1
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
"""What the protocol has room for; more is a wrong command line."""
DIGITS_MAX: Final = 20
"""Python reads no number of thousands of digits, and raises what nobody expects."""
BOOTSTRAP_VARIABLE: Final = "OTTLA_BOOTSTRAP"
TIME_HELP: Final = "ISO 8601 (local time without a zone), or ms since 1970"
_NAME_AND_VALUE: Final = "name=value"

R = TypeVar("R")


class Directory(click.ParamType[ClusterDirectory]):
    """The directory of a cluster."""

    name = "DIR"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ClusterDirectory:
        """Take a path for the directory of a cluster."""
        del param, ctx
        return value if isinstance(value, ClusterDirectory) else ClusterDirectory(Path(value))


class Address(click.ParamType[tuple[str, int]]):
    """Where something listens: host and port, an IPv6 host in brackets."""

    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Cut at the last colon."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not is_number(port, PORT_MAX):
            self.fail(f"'{value}' is not {self.name}", param, ctx)
        return host.strip("[]"), int(port)


class Pair(click.ParamType[tuple[str, str]]):
    """A name and a value with an equals sign between them."""

    name = _NAME_AND_VALUE

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Cut at the first equals sign."""
        if isinstance(value, tuple):
            return value
        name, separator, text = str(value).partition("=")
        if not separator or not name:
            self.fail(f"'{value}' is not {_NAME_AND_VALUE}", param, ctx)
        return name, text


class Duration(click.ParamType[float]):
    """A time in seconds, as in 90, 90s, 5m or 1h; at least a second, at most a day."""

    name = "TIME"
    _UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600}
    _MAX_S: Final = 86_400

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number and its unit."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        digits = text.rstrip("smh")
        unit = self._UNITS.get(text[len(digits) :])
        if unit is None or not is_number(digits, self._MAX_S // unit) or int(digits) == 0:
            self.fail(f"'{value}' is not a time such as 60s, 5m or 1h, up to a day", param, ctx)
        return float(int(digits) * unit)


class Seconds(click.FloatRange):
    """A time in seconds, of which there is an end."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse what counts as a float, and as no time."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"'{value}' is not a number of seconds", param, ctx)
        return seconds


class TextName(click.ParamType[str]):
    """The name of something `of` a kind: any text, none perhaps where `may_be_empty`."""

    of = "thing"
    may_be_empty = False

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take any text."""
        if not (value or self.may_be_empty):
            self.fail(f"a {self.of}'s name cannot be empty", param, ctx)
        if not is_text(str(value)):
            self.fail(f"{os.fsencode(value)!r} is not UTF-8, as {self.of}s' names are", param, ctx)
        return str(value)


class TopicName(TextName):
    """A topic's name. The brokers say which ones there may be."""

    name = "TOPIC"
    of = "topic"
    may_be_empty = True


class GroupName(TextName):
    """A group's name, which may be any text but nothing."""

    name = "NAME"
    of = "group"


class Timestamp(click.ParamType[int]):
    """A moment: milliseconds since 1970, or ISO 8601 (local time where no zone is given)."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give milliseconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            if text.isdecimal():
                moment_ms = int(text)
            else:
                moment_ms = int(datetime.fromisoformat(text).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(f"'{text}' is neither milliseconds nor like 2026-05-01T12:00:00Z", param, ctx)
        if not 0 <= moment_ms <= INT64_MAX:
            self.fail(f"'{text}' is out of range: give a time from 1970 on", param, ctx)
        return moment_ms


class Numbers(click.ParamType[tuple[int, ...]]):
    """Different numbers with commas between them, e.g. of brokers."""

    name = "N,N,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Cut at the commas."""
        if isinstance(value, tuple):
            return value
        listed = str(value).split(",")
        if not all(is_number(one, INT32_MAX) for one in listed):
            self.fail(f"'{value}' is not numbers with commas between them", param, ctx)
        numbers = tuple(map(int, listed))
        if len(set(numbers)) < len(numbers):
            self.fail(f"'{value}' names one twice", param, ctx)
        return numbers


class TopicPartitions(click.ParamType[tuple[str, tuple[int, ...]]]):
    """A topic, and some of its partitions after a colon; none stand for all."""

    name = "TOPIC[:P,P...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        """Cut at the colon, which no topic's name has."""
        if isinstance(value, tuple):
            return value
        topic, colon, listed = str(value).partition(":")
        topic = TopicName().convert(topic, param, ctx)
        numbers = listed.split(",") if colon else []
        if not topic or not all(is_number(one, INT32_MAX) for one in numbers):
            self.fail(f"'{value}' is not {self.name}", param, ctx)
        return topic, tuple(map(int, numbers))


def is_number(text: str, most: int) -> bool:
    """Say whether a text is digits alone, and no more than a number."""
    return text.isdecimal() and len(text) <= DIGITS_MAX and int(text) <= most


def is_text(argument: str) -> bool:
    """Say whether an argument was UTF-8: Python hands on other bytes as halves of surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


directory_option = click.option(
    "--data",
    "directory",
    type=Directory(),
    default=DEFAULT_DIRECTORY,
    envvar="OTTLA_DATA",
    show_default=True,
    show_envvar=True,
    help="The cluster's directory.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a script to read."
)


def cluster_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the ways to name a cluster; the command is given its `bootstrap` servers."""

    @click.option(
        "--bootstrap",
        metavar="HOST:PORT,...",
        help=f"Brokers to ask first.  [default: ${BOOTSTRAP_VARIABLE}, then the cluster of --data]",
    )
    @click.option(
        "--data",
        "directory",
        type=Directory(),
        envvar="OTTLA_DATA",
        help=f"Take the cluster of this directory.  [default: {DEFAULT_DIRECTORY}]",
    )
    @functools.wraps(command)
    def run(
        *args: Any, bootstrap: str | None, directory: ClusterDirectory | None, **options: Any
    ) -> R:
        found = find_bootstrap(bootstrap, directory)
        require_addresses(found)
        return command(*args, bootstrap=found, **options)

    return run


def require_addresses(bootstrap: str) -> None:
    """Check that bootstrap servers are addresses. Raises: click.BadParameter."""
    from client.metadata import parse_bootstrap

    try:
        parse_bootstrap(bootstrap)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--bootstrap") from error


def find_bootstrap(bootstrap: str | None, directory: ClusterDirectory | None) -> str:
    """Choose the bootstrap servers: as told, else of the environment, else of the directory.

    Where nothing is told and no cluster was ever started here it is this machine's port 9092.
    Raises: CommandFailed (NOT_RUNNING) where the directory's cluster does not run.
    """
    if bootstrap:
        return bootstrap
    if directory is None:
        if from_environment := os.environ.get(BOOTSTRAP_VARIABLE):
            return from_environment
        directory = ClusterDirectory(DEFAULT_DIRECTORY)
        if not directory.exists():
            return f"{HOST}:{DEFAULT_PORT}"
    cluster = directory.load()
    if not any(node.is_running for node in cluster.brokers):
        raise CommandFailed(
            f"the cluster in {directory.path} is not running",
            next_step=f"start it with {directory.command('up')}, or name another with --bootstrap",
            exit_status=ExitStatus.NOT_RUNNING,
        )
    return cluster.bootstrap
