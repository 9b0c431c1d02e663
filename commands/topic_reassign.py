"""`ottla topic reassign`: move replicas of a topic to other brokers, and see how far that is.

Must never know: how replicas are spread (commands/spread.py), how they are moved.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click
import trio

from client.admin import Admin
from client.admin.throttle import has_throttle, lift_throttle, set_throttle
from client.errors import UnknownTopic
from client.records import TopicPartition
from commands.columns import columns, count_of, shorten
from commands.failure import CommandFailed
from commands.options import (
    INT16_MAX,
    INT32_MAX,
    INT64_MAX,
    Numbers,
    TopicName,
    cluster_options,
    json_option,
)
from commands.refusals import require_none_refused, run_explaining
from commands.spread import spread_over_racks
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from client.descriptions import Reassignment
    from client.metadata import TopicInfo

LOOK_EVERY_S: Final = 0.5
"""How often --wait asks how far it is."""
NAMED_MAX: Final = 3

NEXT_STEPS: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
    ErrorCode.INVALID_REPLICA_ASSIGNMENT: "see the brokers with 'ottla cluster describe'",
    ErrorCode.INVALID_CONFIG: "these brokers cannot throttle a move: leave out --throttle",
    ErrorCode.NO_REASSIGNMENT_IN_PROGRESS: "see what moves with 'ottla cluster describe'",
}
"""What to do about refusals to which the broker does not say it."""

Placement = dict[int, tuple[int, ...]]


@click.command()
@click.argument("topic", type=TopicName())
@click.option(
    "--partition",
    "partitions",
    type=click.IntRange(0, INT32_MAX),
    multiple=True,
    help="Move this partition only; can be repeated.",
)
@click.option("--replicas", type=Numbers(), help="Just these brokers, the preferred leader first.")
@click.option("--brokers", type=Numbers(), help="Spread evenly over these brokers and their racks.")
@click.option(
    "--replication-factor",
    type=click.IntRange(1, INT16_MAX),
    help="With --brokers: so many replicas each.  [default: as many as now]",
)
@click.option(
    "--throttle",
    type=click.IntRange(1, INT64_MAX),
    metavar="BYTES/S",
    help="Move no faster at each broker; lifted by --wait and --cancel once nothing moves.",
)
@click.option(
    "--wait", is_flag=True, help="Return when it is done; lifts the throttle, unless others move."
)
@click.option("--cancel", is_flag=True, help="Give back the replicas that there were before.")
@click.option("--status", is_flag=True, help="Show what moves, and change nothing.")
@json_option
@cluster_options
def reassign(topic: str, *, bootstrap: str, as_json: bool, **options: Any) -> None:
    """Move the replicas of a topic to other brokers.

    A new replica takes over once it has caught up; until then the old ones serve.

    \b
    Examples:
      $ ottla topic reassign orders --brokers 1,2,3,4 --throttle 10000000 --wait
      $ ottla topic reassign orders --partition 2 --replicas 3,1
      $ ottla topic reassign orders --status
    """
    _check(options)
    work = _Reassigning(topic, options)
    run_explaining(lambda: work.run(bootstrap), NEXT_STEPS)
    if as_json:
        click.echo(json.dumps({"topic": topic, "moving": describe_moving(work.moving)}))
        return
    for line in work.told:
        click.echo(line)


def moving_table(moving: dict[TopicPartition, Reassignment]) -> str:
    """Write in columns what moves where."""
    rows = [
        [
            place.topic,
            str(place.partition),
            *map(_numbers, (one.replicas, one.adding, one.removing)),
        ]
        for place, one in sorted(moving.items())
    ]
    return columns(("TOPIC", "PARTITION", "REPLICAS", "ADDING", "REMOVING"), rows)


def describe_moving(moving: dict[TopicPartition, Reassignment]) -> list[dict[str, Any]]:
    """Give as plain values what moves where."""
    return [
        {
            "topic": place.topic,
            "partition": place.partition,
            "replicas": one.replicas,
            "adding": one.adding,
            "removing": one.removing,
        }
        for place, one in sorted(moving.items())
    ]


def _check(options: dict[str, Any]) -> None:
    """Refuse what does not go together. Raises: click.UsageError."""
    targets = [name for name in ("replicas", "brokers") if options[name] is not None]
    acts = [name for name in ("cancel", "status") if options[name]]
    if len(targets) + len(acts) > 1 or not (targets or acts or options["wait"]):
        raise click.UsageError("give one of --replicas, --brokers, --cancel, --status and --wait")
    if not targets and options["throttle"]:
        raise click.UsageError("--throttle goes with --replicas or --brokers")
    if options["replication_factor"] and options["brokers"] is None:
        raise click.UsageError("--replication-factor goes with --brokers")


class _Reassigning:
    """One run of the command; `moving` is what is under way at its end, `told` what to say."""

    def __init__(self, topic: str, options: dict[str, Any]) -> None:
        self.moving: dict[TopicPartition, Reassignment] = {}
        self.told: list[str] = []
        self._topic = topic
        self._options = options

    async def run(self, bootstrap: str) -> None:
        """Begin, cancel, wait or look, as asked. Raises: OttlaError."""
        options = self._options
        async with Admin(bootstrap) as admin:
            info = (await admin.describe_topics([self._topic]))[self._topic]
            chosen = self._choose(info)
            brokers = (await admin.describe_cluster()).brokers
            wanted = self._wanted(chosen, {broker.broker_id: broker.rack for broker in brokers})
            if wanted:
                await self._begin(admin, chosen, wanted)
            if options["cancel"]:
                await self._cancel(admin, chosen)
            if options["wait"]:
                await self._wait(admin, chosen, wanted)
            self.moving = await admin.list_partition_reassignments(self._places(chosen))
        if options["status"]:
            none = f"nothing of {self._named} moves"
            self.told.append(moving_table(self.moving) if self.moving else none)

    def _choose(self, info: TopicInfo) -> Placement:
        for partition in self._options["partitions"]:
            if partition not in info.partitions:
                raise UnknownTopic(self._topic, partition)
        chosen = self._options["partitions"] or info.partitions
        return {partition: info.partitions[partition].replicas for partition in chosen}

    def _wanted(self, current: Placement, racks: Mapping[int, str | None]) -> Placement:
        """Decide where the partitions shall be; empty where nobody asked for anything."""
        if (replicas := self._options["replicas"]) is not None:
            return dict.fromkeys(current, replicas)
        if (brokers := self._options["brokers"]) is None:
            return {}
        factor = self._options["replication_factor"] or max(map(len, current.values()))
        if factor > len(brokers):
            raise CommandFailed(
                f"{count_of(factor, 'replica')} of a partition need as many brokers,"
                f" {len(brokers)} are named",
                next_step="name more with --brokers, or give a lower --replication-factor",
            )
        # One that is not there has no rack that we know; the cluster refuses it by name.
        named = {broker: racks.get(broker) for broker in brokers}
        return spread_over_racks(current, named, replicas=factor)

    async def _begin(self, admin: Admin, current: Placement, wanted: Placement) -> None:
        changed = {p: replicas for p, replicas in wanted.items() if replicas != current[p]}
        if not changed:
            self.told.append(f"{self._topic} is there already")
            return
        rate = self._options["throttle"]
        if rate is not None:
            before = {p: current[p] for p in changed}
            await set_throttle(admin, self._topic, rate=rate, before=before, after=changed)
        outcomes = await admin.alter_partition_reassignments(
            {TopicPartition(self._topic, p): replicas for p, replicas in changed.items()}
        )
        if rate is not None and all(outcomes.values()):
            await self._lift(admin)  # nothing moves after all
        require_none_refused(_gather(outcomes), NEXT_STEPS)
        self.told += [
            f"{self._topic}-{p}: {_numbers(current[p])} -> {_numbers(replicas)}"
            for p, replicas in sorted(changed.items())
        ]

    async def _cancel(self, admin: Admin, current: Placement) -> None:
        moving = await admin.list_partition_reassignments(self._places(current))
        outcomes = await admin.alter_partition_reassignments(dict.fromkeys(moving))
        await self._lift(admin)
        require_none_refused(_gather(outcomes), NEXT_STEPS)
        self.told.append(f"cancelled {count_of(len(outcomes), 'move')}")

    async def _wait(self, admin: Admin, chosen: Placement, wanted: Placement) -> None:
        """Wait until nothing chosen moves. Raises: CommandFailed where the move was undone."""
        places = self._places(chosen)
        told = 0
        while moving := len(await admin.list_partition_reassignments(places)):
            if moving != told:
                click.echo(f"{count_of(moving, 'partition')} on the move", err=True)
                told = moving
            await trio.sleep(LOOK_EVERY_S)
        await self._lift(admin)
        info = (await admin.describe_topics([self._topic]))[self._topic]
        for partition, replicas in wanted.items():
            found = info.partitions[partition].replicas
            if set(found) != set(replicas):
                raise CommandFailed(
                    f"{self._topic}-{partition} is on {_numbers(found)},"
                    f" not on {_numbers(replicas)}: the move was cancelled or changed meanwhile",
                    next_step="try again",
                )
        self.told.append(f"nothing of {self._named} moves any more")

    async def _lift(self, admin: Admin) -> None:
        """Lift the throttle, but for what others need of it: a broker has one rate for all."""
        brokers = [broker.broker_id for broker in (await admin.describe_cluster()).brokers]
        moving = sorted(await admin.list_partition_reassignments())
        lifted = all(place.topic != self._topic for place in moving) and await lift_throttle(
            admin, self._topic, () if moving else brokers
        )
        if moving and await has_throttle(admin, self._topic, brokers):
            self.told.append(
                f"the throttle stays, for {shorten(moving, shown_max=NAMED_MAX)}: "
                "--wait or --cancel lifts it once nothing moves"
            )
        elif lifted:
            self.told.append("lifted the throttle")

    @property
    def _named(self) -> str:
        """What was chosen: the topic, or some of its partitions."""
        chosen = self._options["partitions"]
        return shorten(self._places(chosen), shown_max=NAMED_MAX) if chosen else self._topic

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]


def _gather(outcomes: Mapping[TopicPartition, RequestError | None]) -> list[RequestError]:
    """Give each cause once, with all partitions that it is about: it is mostly the same."""
    codes: dict[str, ErrorCode] = {}
    places: dict[str, list[TopicPartition]] = {}
    for place, error in sorted(outcomes.items()):
        if error is not None:
            cause = str(error).removeprefix(f"reassigning {place}: ").removeprefix(f"{place}: ")
            codes[cause] = error.code
            places.setdefault(cause, []).append(place)
    return [
        RequestError.of(codes[cause], f"reassigning {shorten(those)}: {cause}")
        for cause, those in places.items()
    ]


def _numbers(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "-"
