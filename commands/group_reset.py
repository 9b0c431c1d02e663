"""`ottla group reset`: have a group go on elsewhere, after a look at what that would do.

Must never know: how an offset is chosen (commands/group_plan.py), requests.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from client.admin import Admin
from client.records import OffsetAndMetadata
from commands.columns import count_of
from commands.failure import CommandFailed
from commands.group_lag import UNKNOWN_ENDS, PartitionLag
from commands.group_plan import Aim, Target, plan_moves
from commands.group_tables import describe_move, moves_table
from commands.group_view import find_ends
from commands.options import (
    INT64_MAX,
    TIME_HELP,
    GroupName,
    Timestamp,
    TopicPartitions,
    cluster_options,
    json_option,
)
from commands.partitions import choose_partitions
from commands.refusals import require_none_refused, run_explaining
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from client.group_descriptions import GroupMember
    from client.records import TopicPartition
    from commands.group_plan import Move

NEXT_STEPS: Final = {
    ErrorCode.GROUP_ID_NOT_FOUND: "see what there is with 'ottla group list'",
    ErrorCode.NON_EMPTY_GROUP: "stop its members first; 'ottla group describe' names them",
    ErrorCode.UNKNOWN_MEMBER_ID: "stop its members first; 'ottla group describe' names them",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "stop the members that read it first",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
}
"""What to do about refusals to which the broker does not say it."""

_OFFSETS: Final = click.IntRange(0, INT64_MAX)


class Plan(Struct, frozen=True):
    """What a reset would do, and the members that stand in its way."""

    moves: tuple[Move, ...]
    members: tuple[GroupMember, ...]
    is_new: bool


@click.command()
@click.argument("name", type=GroupName())
@click.option("--to-earliest", is_flag=True, help="Go on with the oldest record.")
@click.option("--to-latest", is_flag=True, help="Go on with what is to come.")
@click.option("--to-offset", type=_OFFSETS, metavar="N", help="Go on at this offset.")
@click.option("--to-timestamp", type=Timestamp(), help=f"Go on at this time: {TIME_HELP}.")
@click.option(
    "--shift-by",
    type=click.IntRange(-INT64_MAX, INT64_MAX),
    metavar="N",
    help="Go on N offsets later; earlier with a minus.",
)
@click.option("--topic", "topics", type=TopicPartitions(), multiple=True, help="Can be repeated.")
@click.option("--all-topics", is_flag=True, help="All partitions in which it has committed.")
@click.option("--apply", is_flag=True, help="Do it; without, only the plan is shown.")
@json_option
@cluster_options
def reset(
    name: str,
    topics: tuple[tuple[str, tuple[int, ...]], ...],
    *,
    bootstrap: str,
    apply: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Have a group go on elsewhere; shows what would change, and does it with --apply.

    Refused while the group has members. What the log does not hold becomes its nearest end.

    \b
    Examples:
      $ ottla group reset billing --to-earliest --all-topics
      $ ottla group reset billing --to-timestamp 2026-05-01T12:00:00Z --topic orders --apply
      $ ottla group reset billing --shift-by -100 --topic orders:0,3 --apply
    """
    target = choose_target(options)
    if bool(topics) == options["all_topics"]:
        raise click.UsageError("give either --topic or --all-topics")

    async def main() -> Plan:
        async with Admin(bootstrap) as admin:
            plan = await look_ahead(admin, name, target, topics)
            if apply:
                _require_no_members(name, plan.members)
                await _commit(admin, name, plan.moves)
            return plan

    plan = run_explaining(main, NEXT_STEPS)
    if as_json:
        moves = [describe_move(move) for move in plan.moves]
        click.echo(json.dumps({"group": name, "applied": apply, "partitions": moves}, indent=2))
    else:
        click.echo(moves_table(plan.moves))
        click.echo(_last_line(name, plan, applied=apply), err=True)


def choose_target(options: dict[str, Any]) -> Target:
    """Read where to go on; exactly one option says it. Raises: click.UsageError."""
    numbered = {
        Aim.OFFSET: options["to_offset"],
        Aim.TIMESTAMP: options["to_timestamp"],
        Aim.SHIFT: options["shift_by"],
    }
    said = [Target(aim, number) for aim, number in numbered.items() if number is not None]
    if options["to_earliest"]:
        said.append(Target(Aim.EARLIEST))
    if options["to_latest"]:
        said.append(Target(Aim.LATEST))
    if len(said) != 1:
        raise click.UsageError(
            "give one of --to-earliest, --to-latest, --to-offset, --to-timestamp and --shift-by"
        )
    return said[0]


async def look_ahead(
    admin: Admin, name: str, target: Target, topics: tuple[tuple[str, tuple[int, ...]], ...]
) -> Plan:
    """Find out what a reset would do in topics, or wherever the group has committed.

    Raises: CommandFailed where there is nothing to reset, OttlaError.
    """
    described = (await admin.describe_groups([name]))[name]
    if isinstance(described, RequestError) and described.code is not ErrorCode.GROUP_ID_NOT_FOUND:
        raise described
    members = () if isinstance(described, RequestError) else described.members
    committed = (await admin.list_consumer_group_offsets([name]))[name]
    if isinstance(committed, RequestError):
        raise committed
    places = await choose_partitions(admin, topics) if topics else tuple(sorted(committed))
    if not places:
        who = f", its members are {_who(members)}" if members else ""
        raise CommandFailed(
            f"group {name!r} has committed nothing{who}", next_step="name topics with --topic"
        )
    ends = await find_ends(admin, places)
    lags = tuple(
        PartitionLag(place, ends.get(place, UNKNOWN_ENDS), committed.get(place)) for place in places
    )
    at_time = await _at_time(admin, target, tuple(ends))
    is_new = isinstance(described, RequestError) and not committed
    return Plan(plan_moves(target, lags, at_time), members, is_new)


async def _at_time(
    admin: Admin, target: Target, places: tuple[TopicPartition, ...]
) -> dict[TopicPartition, int | None]:
    if target.aim is not Aim.TIMESTAMP:
        return {}
    found = await admin.list_offsets(dict.fromkeys(places, target.number))
    return {place: None if at is None else at.offset for place, at in found.items()}


async def _commit(admin: Admin, name: str, moves: tuple[Move, ...]) -> None:
    offsets = {move.place: OffsetAndMetadata(move.after) for move in moves}
    outcomes = await admin.alter_consumer_group_offsets(name, offsets)
    require_none_refused(outcomes.values(), NEXT_STEPS)


def _require_no_members(name: str, members: tuple[GroupMember, ...]) -> None:
    if members:
        is_static = any(member.group_instance_id for member in members)
        raise CommandFailed(
            f"group {name!r} has {count_of(len(members), 'member')}: {_who(members)}",
            next_step="stop them first"
            + ("; static ones stay until their session times out" if is_static else ""),
        )


def _who(members: tuple[GroupMember, ...]) -> str:
    return ", ".join(
        f"{member.group_instance_id or member.member_id}"
        f" (client {member.client_id}, {member.client_host})"
        for member in members
    )


def _last_line(name: str, plan: Plan, *, applied: bool) -> str:
    changed = sum(move.before != move.after for move in plan.moves)
    what = f"{changed} of {count_of(len(plan.moves), 'partition')}"
    if applied:
        return f"reset {name}: {what} changed"
    if plan.members:
        return f"{what} would change; not while it has members: {_who(plan.members)}"
    new = f"there is no group {name!r} yet; " if plan.is_new else ""
    return f"{new}{what} would change" + ("; do it with --apply" if changed else "")
