"""`ottla group`: list, describe, reset and delete groups, and say why they rebalanced.

Must never know: requests, how a group is laid out on the screen (commands/group_tables.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from client.admin import Admin
from client.group_descriptions import GroupDescription
from commands.columns import count_of
from commands.failure import CommandFailed
from commands.group_history import moment, tell
from commands.group_reset import NEXT_STEPS, reset
from commands.group_tables import describe_history, describe_listed, describe_view, listing, show
from commands.group_view import GroupView, look_at_groups
from commands.options import GroupName, TopicPartitions, cluster_options, json_option
from commands.partitions import choose_partitions
from commands.refusals import require_none_refused, run_explaining
from protocol.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.group_descriptions import ListedGroup
    from client.records import TopicPartition

STATES: Final = (
    "Empty",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "Stable",
    "NotReady",
    "Dead",
)
"""Kafka's states of groups of all types."""
TYPES: Final = ("classic", "consumer", "share", "streams")
NO_GROUPS: Final = "there are no groups; a consumer makes one: 'ottla consume TOPIC --group NAME'"


@click.group()
def group() -> None:
    """List, describe, reset and delete groups; see why they rebalanced.

    \b
    Example:
      $ ottla group list && ottla group describe billing
    """


group.add_command(reset)


@group.command("list")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES, case_sensitive=False),
    multiple=True,
    metavar="STATE",
    help="Only groups in this state, e.g. Stable; can be repeated.",
)
@click.option(
    "--type",
    "kinds",
    type=click.Choice(TYPES, case_sensitive=False),
    multiple=True,
    metavar="TYPE",
    help="Only groups of this type, e.g. classic; can be repeated.",
)
@json_option
@cluster_options
def list_groups(
    *, bootstrap: str, states: tuple[str, ...], kinds: tuple[str, ...], as_json: bool
) -> None:
    """List groups: state, type, members, and the broker that keeps each.

    \b
    Examples:
      $ ottla group list
      $ ottla group list --state Empty --json
    """

    async def main() -> tuple[tuple[ListedGroup, ...], dict[str, int]]:
        async with Admin(bootstrap) as admin:
            found = await admin.list_groups(states=states, kinds=kinds)
            described = await admin.describe_groups(one.group_id for one in found)
        members = {
            group_id: len(one.members)
            for group_id, one in described.items()
            if isinstance(one, GroupDescription)
        }
        return found, members

    found, members = run_explaining(main, NEXT_STEPS)
    if as_json:
        groups = [describe_listed(one) | {"members": members.get(one.group_id)} for one in found]
        click.echo(json.dumps({"groups": groups}))
    elif found:
        click.echo(listing(found, members))
    else:
        click.echo(_why_none(states, kinds), err=True)


@group.command()
@click.argument("names", metavar="[NAME]...", type=GroupName(), nargs=-1)
@json_option
@cluster_options
def describe(names: tuple[str, ...], *, bootstrap: str, as_json: bool) -> None:
    """Show groups, or all: partitions with their lag, members with what they read.

    LAG counts up to the last stable offset, which is what the group could read now; LAG-TO-HIGH
    counts up to the high watermark, records of open transactions included.

    \b
    Example:
      $ ottla group describe billing
    """

    async def main() -> Mapping[str, GroupView | RequestError]:
        async with Admin(bootstrap) as admin:
            chosen = names or [one.group_id for one in await admin.list_groups()]
            return await look_at_groups(admin, chosen)

    found = run_explaining(main, NEXT_STEPS)
    views = [view for view in found.values() if isinstance(view, GroupView)]
    if as_json:
        click.echo(json.dumps({"groups": [describe_view(view) for view in views]}, indent=2))
    elif views:
        click.echo("\n\n".join(show(view) for view in views))
    elif not names and not found:
        click.echo(NO_GROUPS, err=True)
    require_none_refused(
        (error for error in found.values() if isinstance(error, RequestError)), NEXT_STEPS
    )


@group.command()
@click.argument("name", type=GroupName())
@click.option("--last", type=click.IntRange(min=1), help="Show only so many, the newest.")
@json_option
@cluster_options
def history(name: str, *, bootstrap: str, last: int | None, as_json: bool) -> None:
    """Say why a group rebalanced: who joined, left or was evicted, and what moved.

    Kept by the group's broker, in memory: it begins anew where another broker takes over.

    \b
    Example:
      $ ottla group history billing --last 5
    """

    async def main() -> GroupDescription:
        async with Admin(bootstrap) as admin:
            found = (await admin.describe_groups([name], with_history=True))[name]
        if isinstance(found, RequestError):
            raise found
        return found

    found = run_explaining(main, NEXT_STEPS)
    if found.history is None:
        raise CommandFailed(
            f"the broker of group {name!r} keeps no history",
            next_step="only Ottla's brokers do; see its members with 'ottla group describe'",
        )
    if as_json:
        click.echo(json.dumps({"group": name} | describe_history(found.history), indent=2))
        return
    lines = list(tell(found.history.rebalances, None))
    for line in lines[-last:] if last else lines:
        click.echo(line)
    since = moment(found.history.since_ms, None)
    click.echo(f"{count_of(len(lines), 'rebalance')} since {since}", err=True)


@group.command()
@click.argument("names", metavar="NAME...", type=GroupName(), nargs=-1, required=True)
@click.option(
    "--topic",
    "topics",
    type=TopicPartitions(),
    multiple=True,
    help="Forget only what was committed there; can be repeated.",
)
@json_option
@cluster_options
def delete(
    names: tuple[str, ...],
    topics: tuple[tuple[str, tuple[int, ...]], ...],
    *,
    bootstrap: str,
    as_json: bool,
) -> None:
    """Forget groups without members, with all they committed; or what they committed in topics.

    \b
    Examples:
      $ ottla group delete billing
      $ ottla group delete billing --topic orders --topic audit:0,1
    """

    async def main() -> Mapping[str, RequestError | None]:
        async with Admin(bootstrap) as admin:
            if not topics:
                return await admin.delete_groups(names)
            places = await choose_partitions(admin, topics)
            outcomes: dict[str, RequestError | None] = {}
            for name in names:
                outcomes |= await _delete_offsets(admin, name, places)
            return outcomes

    results = run_explaining(main, NEXT_STEPS)
    deleted = [what for what, refused in results.items() if refused is None]
    if as_json:
        click.echo(json.dumps({"deleted": deleted}))
    else:
        for what in deleted:
            click.echo(f"deleted {what}")
    if not results:
        click.echo("nothing was committed there", err=True)
    require_none_refused(results.values(), NEXT_STEPS)


async def _delete_offsets(
    admin: Admin, name: str, places: tuple[TopicPartition, ...]
) -> dict[str, RequestError | None]:
    """Forget what a group has committed in places; those where it has nothing are left out.

    All are asked for: the cluster knows whether there is such a group. Raises: OttlaError.
    """
    committed = (await admin.list_consumer_group_offsets([name]))[name]
    if isinstance(committed, RequestError):
        raise committed
    outcomes = await admin.delete_consumer_group_offsets(name, places)
    return {
        f"{name} {place}": refused
        for place, refused in outcomes.items()
        if refused is not None or place in committed
    }


def _why_none(states: tuple[str, ...], kinds: tuple[str, ...]) -> str:
    asked = [f"in state {' or '.join(states)}"] if states else []
    asked += [f"of type {' or '.join(kinds)}"] if kinds else []
    return f"no group is {' and '.join(asked)}" if asked else NO_GROUPS
