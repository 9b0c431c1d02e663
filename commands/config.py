"""`ottla config`: settings of topics and brokers, read and changed in the running cluster.

Must never know: which settings exist, where they are kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from client.admin import Admin
from client.descriptions import ALL_BROKERS, ConfigSource, ResourceType
from commands.columns import columns
from commands.options import Pair, TopicName, cluster_options, json_option
from commands.refusals import run_explaining
from commands.settings import ALL_OF_A_BROKER, next_steps, require_alterable

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.descriptions import ConfigEntry

KINDS: Final = ("topic", "broker", "brokers")
SOURCES: Final = {
    ConfigSource.TOPIC: "topic",
    ConfigSource.BROKER: "broker",
    ConfigSource.ALL_BROKERS: "brokers",
    ConfigSource.STATIC: "file",
    ConfigSource.DEFAULT: "default",
}
HEADER: Final = ("SETTING", "VALUE", "FROM", "NOTE")
SECRET: Final = "(secret)"  # noqa: S105  # what is shown instead of one


@click.group()
def config() -> None:
    """See and change settings: of a topic, of a broker, of all brokers alike.

    What is set closer counts: a topic's before a broker's, a broker's before that of all brokers.

    \b
    Example:
      $ ottla config describe topic orders
    """


def resource(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments that say whose settings are meant."""
    name = click.argument("name", metavar="[NAME]", type=TopicName(), required=False)
    return click.argument("kind", type=click.Choice(KINDS))(name(command))


@config.command()
@resource
@click.option("--all", "show_all", is_flag=True, help="Show defaults as well.")
@json_option
@cluster_options
def describe(kind: str, name: str | None, *, bootstrap: str, show_all: bool, as_json: bool) -> None:
    """Show the settings that somebody has changed, or --all of them.

    FROM says where a value comes from: topic, a broker, brokers (all alike), file or default.

    \b
    Examples:
      $ ottla config describe topic orders --all
      $ ottla config describe broker 2
      $ ottla config describe brokers
    """
    whose = choose_resource(kind, name)

    async def main() -> tuple[ConfigEntry, ...]:
        async with Admin(bootstrap) as admin:
            return await admin.describe_configs(*whose)

    entries = sorted(run_explaining(main, next_steps(whose[0])), key=lambda entry: entry.name)
    chosen = [entry for entry in entries if show_all or not entry.is_default]
    if as_json:
        click.echo(json.dumps({"settings": [_describe(entry) for entry in chosen]}, indent=2))
    elif chosen:
        click.echo(columns(HEADER, [_row(one, kind=kind, name=name) for one in chosen]))
    elif kind == "brokers":
        click.echo(f"nothing is set for all brokers; {ALL_OF_A_BROKER}", err=True)
    else:
        click.echo("nothing is set; see the defaults with --all", err=True)


@config.command()
@resource
@click.option(
    "--set",
    "changes",
    type=Pair(),
    multiple=True,
    metavar="KEY=VALUE",
    help="Give a setting a value; can be repeated.",
)
@click.option(
    "--unset",
    "unset",
    multiple=True,
    metavar="KEY",
    help="Put a setting back to what it would be; can be repeated.",
)
@click.option("--validate-only", is_flag=True, help="Check, and change nothing.")
@json_option
@cluster_options
def alter(
    kind: str,
    name: str | None,
    changes: tuple[tuple[str, str], ...],
    *,
    bootstrap: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Change settings; all of those given, or none where one is refused.

    \b
    Examples:
      $ ottla config alter topic orders --set retention.ms=86400000 --unset max.message.bytes
      $ ottla config alter broker 2 --set log.retention.ms=3600000
      $ ottla config alter brokers --set min.insync.replicas=2
    """
    whose = choose_resource(kind, name)
    unset, validate_only = options["unset"], options["validate_only"]
    wanted: dict[str, str | None] = {**dict(changes), **dict.fromkeys(unset)}
    if not wanted:
        raise click.UsageError("give --set or --unset")
    if len(wanted) < len(changes) + len(unset):
        raise click.UsageError("a setting is given twice")

    async def main() -> None:
        async with Admin(bootstrap) as admin:
            await require_alterable(admin, *whose, unset)
            await admin.alter_configs(*whose, wanted, validate_only=validate_only)

    run_explaining(main, next_steps(whose[0]))
    if as_json:
        click.echo(json.dumps({"kind": kind, "name": name, "altered": not validate_only}))
    else:
        outcome = "would alter" if validate_only else "altered"
        click.echo(f"{outcome} {' '.join(filter(None, (kind, name)))}")


def choose_resource(kind: str, name: str | None) -> tuple[ResourceType, str]:
    """Read whose settings are meant. Raises: click.UsageError."""
    if kind == "brokers":
        if name is not None:
            raise click.UsageError(f"'brokers' means all: for one, give 'broker {name}'")
        return ResourceType.BROKER, ALL_BROKERS
    if name is None:
        raise click.UsageError(f"name the {kind}" + (", or give 'brokers'" * (kind == "broker")))
    if kind == "broker" and not name.isdecimal():
        raise click.UsageError(f"'{name}' is no broker: give its id, or 'brokers' for all")
    return (ResourceType.TOPIC if kind == "topic" else ResourceType.BROKER), name


def _row(entry: ConfigEntry, *, kind: str, name: str | None) -> list[str]:
    value = SECRET if entry.sensitive else entry.value
    source = SOURCES.get(entry.source, "?")
    notes = ["read-only"] * entry.read_only
    if entry.source is ConfigSource.BROKER:
        if kind == "broker":
            source = f"broker {name}"
        else:  # any broker answers for a topic, and does not say who it is
            notes.append("set at the broker that was asked; others may differ")
    return [entry.name, "-" if value is None else value, source, ", ".join(notes)]


def _describe(entry: ConfigEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "value": entry.value,
        "from": SOURCES.get(entry.source),
        "read_only": entry.read_only,
        "sensitive": entry.sensitive,
    }
