"""`ottla topic elect`: have leaders elected now.

Must never know: who is elected.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from client.admin import Admin, ElectionType
from commands.columns import count_of
from commands.options import TopicPartitions, cluster_options, json_option
from commands.partitions import choose_partitions
from commands.refusals import require_none_refused, run_explaining
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from client.records import TopicPartition

NEXT_STEPS: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
    ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE: (
        "start its first replica, or wait until it is in sync; see 'ottla topic describe'"
    ),
    ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE: (
        "start one of its replicas; --unclean takes one that may lack acknowledged records"
    ),
}
"""What to do about refusals to which the broker does not say it."""


@click.command()
@click.argument("topics", metavar="[TOPIC[:P,P...]]...", type=TopicPartitions(), nargs=-1)
@click.option(
    "--unclean",
    is_flag=True,
    help="Where no replica in sync lives: take any. ACKNOWLEDGED RECORDS MAY BE LOST.",
)
@json_option
@cluster_options
def elect(
    topics: tuple[tuple[str, tuple[int, ...]], ...],
    *,
    bootstrap: str,
    unclean: bool,
    as_json: bool,
) -> None:
    """Give leadership back to each partition's first replica; in all topics if none is named.

    \b
    Examples:
      $ ottla topic elect
      $ ottla topic elect orders:0,3 --unclean
    """
    if unclean and not topics:
        raise click.UsageError("--unclean can lose records: name the topics it is meant for")
    kind = ElectionType.UNCLEAN if unclean else ElectionType.PREFERRED

    async def main() -> dict[TopicPartition, RequestError | None]:
        async with Admin(bootstrap) as admin:
            places = await choose_partitions(admin, topics) if topics else None
            return await admin.elect_leaders(kind, places)

    outcomes = run_explaining(main, NEXT_STEPS)
    elected = sorted(place for place, error in outcomes.items() if error is None)
    needless = sum(_needless(error) for error in outcomes.values())
    if as_json:
        described = [{"topic": place.topic, "partition": place.partition} for place in elected]
        click.echo(json.dumps({"elected": described, "not_needed": needless}))
    else:
        named = f": {', '.join(map(str, elected))}" if elected else ""
        rest = f", {needless} needed none" if needless else ""
        click.echo(f"elected {count_of(len(elected), 'leader')}{named}{rest}")
    require_none_refused((error for error in outcomes.values() if not _needless(error)), NEXT_STEPS)


def _needless(error: RequestError | None) -> bool:
    return error is not None and error.code is ErrorCode.ELECTION_NOT_NEEDED
