"""`ottla topic`: create, list, describe, alter and delete topics; move them, elect their leaders.

Must never know: requests, the controller, how a topic is laid out (commands/topic_view.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from client.admin import Admin
from client.descriptions import DEFAULT, CreatedTopic, NewTopic, ResourceType
from commands.columns import columns, count_of
from commands.options import INT16_MAX, INT32_MAX, Pair, TopicName, cluster_options, json_option
from commands.refusals import require_none_refused, run_explaining
from commands.session import run_client
from commands.settings import ALL_OF_A_TOPIC, require_alterable
from commands.topic_elect import elect
from commands.topic_reassign import reassign
from commands.topic_view import describe_created, describe_topics, show, summarize, tell_created
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.metadata import TopicInfo

PARTITIONS: Final = click.IntRange(1, INT32_MAX)
NO_TOPICS: Final = "there are no topics; make one with 'ottla topic create'"

NEXT_STEPS: Final = {
    ErrorCode.TOPIC_ALREADY_EXISTS: "choose another name, or add --if-not-exists",
    ErrorCode.INVALID_CONFIG: ALL_OF_A_TOPIC,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
}
"""What to do about refusals to which the broker does not say it."""

config_option = click.option(
    "--config",
    "configs",
    type=Pair(),
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, by Kafka's name; can be repeated.",
)


@click.group()
def topic() -> None:
    """Create, list, describe, alter and delete topics; move them, elect their leaders.

    \b
    Example:
      $ ottla topic create orders --partitions 6 && ottla topic describe orders
    """


topic.add_command(reassign)
topic.add_command(elect)


@topic.command()
@click.argument("names", metavar="TOPIC...", type=TopicName(), nargs=-1, required=True)
@click.option("--partitions", type=PARTITIONS, help="[default: the broker's, 1]")
@click.option(
    "--replication-factor",
    type=click.IntRange(1, INT16_MAX),
    help="[default: the broker's, 3 or as many as there are brokers]",
)
@config_option
@click.option("--if-not-exists", is_flag=True, help="A topic that is there already is fine.")
@json_option
@cluster_options
def create(
    names: tuple[str, ...],
    configs: tuple[tuple[str, str], ...],
    *,
    bootstrap: str,
    if_not_exists: bool,
    as_json: bool,
    **numbers: int | None,
) -> None:
    """Create topics.

    \b
    Examples:
      $ ottla topic create orders --partitions 6
      $ ottla topic create audit --config retention.ms=-1 --config min.insync.replicas=2
    """
    sizes = (numbers["partitions"] or DEFAULT, numbers["replication_factor"] or DEFAULT)
    asked = [NewTopic(name, *sizes, dict(configs)) for name in names]

    async def main() -> tuple[Mapping[str, CreatedTopic | RequestError], dict[str, TopicInfo]]:
        async with Admin(bootstrap) as admin:
            results = await admin.create_topics(asked)
            there = [name for name, one in results.items() if if_not_exists and _is_there(one)]
            return results, await admin.describe_topics(there) if there else {}

    results, there = run_client(main)
    created = [one for one in results.values() if isinstance(one, CreatedTopic)]
    if as_json:
        described = [describe_created(one) for one in created]
        click.echo(json.dumps({"created": described, "existing": sorted(there)}))
    else:
        for one in created:
            click.echo(tell_created(one))
        for name, info in sorted(there.items()):
            click.echo(_tell_existing(name, len(info.partitions), wanted=numbers["partitions"]))
    require_none_refused(
        (
            one
            for name, one in results.items()
            if isinstance(one, RequestError) and name not in there
        ),
        NEXT_STEPS,
    )


def _is_there(result: CreatedTopic | RequestError) -> bool:
    return isinstance(result, RequestError) and result.code is ErrorCode.TOPIC_ALREADY_EXISTS


def _tell_existing(name: str, partitions: int, *, wanted: int | None) -> str:
    other = f", not {wanted:,}" if wanted not in (None, partitions) else ""
    return f"{name} exists already: {count_of(partitions, 'partition')}{other}"


@topic.command("list")
@click.option("--internal", is_flag=True, help="List the cluster's own topics as well.")
@json_option
@cluster_options
def list_topics(*, bootstrap: str, internal: bool, as_json: bool) -> None:
    """List topics; FLUSH is when records reach the disk: commit (before acks=all) or os.

    Other brokers than Ottla's do not say it.

    \b
    Example:
      $ ottla topic list
    """
    described, _ = describe_topics(bootstrap, None)
    found = [summarize(one) for one in described if internal or not one["internal"]]
    if as_json:
        click.echo(json.dumps({"topics": found}))
    elif found:
        rows = [["-" if cell is None else str(cell) for cell in one.values()] for one in found]
        click.echo(columns(("TOPIC", "PARTITIONS", "REPLICAS", "FLUSH"), rows))
    else:
        click.echo(NO_TOPICS, err=True)


@topic.command()
@click.argument("names", metavar="[TOPIC]...", type=TopicName(), nargs=-1)
@json_option
@cluster_options
def describe(names: tuple[str, ...], *, bootstrap: str, as_json: bool) -> None:
    """Show partitions, leaders, replicas and settings of topics, or of all.

    Of the settings those that the topic has of its own; --json has all that apply to it.

    \b
    Example:
      $ ottla topic describe orders
    """
    found, refused = describe_topics(bootstrap, names or None)
    if as_json:
        click.echo(json.dumps({"topics": found}, indent=2))
    elif found:
        click.echo("\n\n".join(show(one) for one in found))
    elif not refused:
        click.echo(NO_TOPICS, err=True)
    require_none_refused(refused, {})


@topic.command()
@click.argument("name", metavar="TOPIC", type=TopicName())
@click.option("--partitions", type=PARTITIONS, help="Widen to so many in all.")
@config_option
@click.option(
    "--delete-config",
    "deleted",
    multiple=True,
    metavar="KEY",
    help="Put a setting back to its default; can be repeated.",
)
@json_option
@cluster_options
def alter(
    name: str,
    configs: tuple[tuple[str, str], ...],
    *,
    bootstrap: str,
    partitions: int | None,
    deleted: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change settings of a topic, or give it more partitions.

    With more partitions the records of a key may go to another one than before.

    \b
    Example:
      $ ottla topic alter orders --partitions 12 --config retention.ms=86400000
    """
    changes: dict[str, str | None] = {**dict(configs), **dict.fromkeys(deleted)}
    if not changes and partitions is None:
        raise click.UsageError("give --partitions, --config or --delete-config")

    async def main() -> None:
        async with Admin(bootstrap) as admin:
            await require_alterable(admin, ResourceType.TOPIC, name, deleted)
            if changes:
                await admin.alter_configs(ResourceType.TOPIC, name, changes)
            if partitions is not None:
                await admin.create_partitions(name, partitions)

    run_explaining(main, NEXT_STEPS)
    click.echo(json.dumps({"altered": [name]}) if as_json else f"altered {name}")


@topic.command()
@click.argument("names", metavar="TOPIC...", type=TopicName(), nargs=-1, required=True)
@json_option
@cluster_options
def delete(names: tuple[str, ...], *, bootstrap: str, as_json: bool) -> None:
    """Delete topics and all their records.

    \b
    Example:
      $ ottla topic delete orders
    """

    async def main() -> Mapping[str, RequestError | None]:
        async with Admin(bootstrap) as admin:
            return await admin.delete_topics(names)

    results = run_client(main)
    deleted = [name for name, refused in results.items() if refused is None]
    if as_json:
        click.echo(json.dumps({"deleted": deleted}))
    else:
        for name in deleted:
            click.echo(f"deleted {name}")
    require_none_refused(results.values(), NEXT_STEPS)
