"""`ottla produce`: a line of stdin or of files is a record.

Must never know: batches, retries.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import trio
from msgspec import Struct

from client.errors import DeliveryFailed, RecordsLost, RecordTooLarge, SerializationFailed
from client.producer import Producer, ProducerConfig
from commands.columns import count_of
from commands.failure import CommandFailed
from commands.line_source import lines_of, require_stdin
from commands.options import INT32_MAX, Pair, Seconds, TopicName, cluster_options, json_option
from commands.registry_options import registry_of_cluster, registry_option
from commands.session import run_client
from protocol.compression import Compression
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from commands.schema_values import Encode

ACKS: Final[Mapping[str, Literal["all", 0, 1]]] = {"all": "all", "1": 1, "0": 0}
METADATA_TIMEOUT_S: Final = 60.0
STDIN: Final = Path("-")

Advance = Callable[[int], None]
"""Moves the progress bar by so many bytes."""


class LineFormat(Struct, frozen=True):
    """How a line becomes a record's key and value."""

    key: bytes | None = None
    key_separator: bytes | None = None
    null: bytes | None = None

    def parse(self, line: bytes) -> tuple[bytes | None, bytes | None]:
        """Give key and value. Raises: ValueError where a separator is wanted and missing."""
        key, value = self.key, line
        if self.key_separator is not None:
            key, separator, value = line.partition(self.key_separator)
            if not separator:
                wanted = self.key_separator.decode(errors="backslashreplace")
                raise ValueError(f"there is no {wanted!r} after a key")
        return self._or_null(key), self._or_null(value)

    def _or_null(self, text: bytes | None) -> bytes | None:
        return None if text == self.null else text


class Summary(Struct):
    """What came of it; `cause` is that of the first failure."""

    records: int = 0
    failed: int = 0
    cause: str = ""
    seconds: float = 0.0
    is_complete: bool = False
    """Whether the outcome of every record is known; not so after Ctrl-C."""

    def fail(self, cause: str, *, count: int = 1) -> None:
        """Count records that were not written and remember why the first was not."""
        self.cause = self.cause or cause
        self.failed += count


@click.command()
@click.argument("topic", type=TopicName())
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Take the lines of a file, not of stdin (which is -); can be repeated.",
)
@click.option("--key", metavar="TEXT", help="The key of every record.")
@click.option("--key-separator", metavar="TEXT", help="What ends the key in each line.")
@click.option(
    "--header",
    "headers",
    type=Pair(),
    multiple=True,
    metavar="NAME=VALUE",
    help="A header of every record; can be repeated.",
)
@click.option("--null", metavar="TEXT", help="A key or value of exactly this text is sent as null.")
@click.option(
    "--partition", type=click.IntRange(0, INT32_MAX), help="Write to this partition only."
)
@click.option(
    "--compression",
    type=click.Choice([kind.lower() for kind in Compression.__members__]),
    default="none",
    show_default=True,
)
@click.option(
    "--acks",
    type=click.Choice(["all", "1", "0"]),
    default="all",
    show_default=True,
    help="Who must have a record for it to count as written.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="A record that is not acknowledged by then has failed.",
)
@click.option(
    "--schema",
    metavar="FILE",
    help="Each value is JSON: write it as Avro of the schema in this file, which is registered for "
    "the topic, or of the 'latest' one.",
)
@registry_option
@json_option
@cluster_options
def produce(topic: str, *, bootstrap: str, as_json: bool, **options: Any) -> None:
    """Write lines to TOPIC, each as a record; the line's end is not a part of it.

    In a terminal every line is sent when it is entered, and Ctrl-D ends. A summary goes to
    stderr, with --json to stdout. The exit status is 1 where any record was not written.

    \b
    Examples:
      $ echo 'hello' | ottla produce greetings
      $ ottla produce orders --file orders.csv --key-separator , --compression zstd
      $ echo '{"id": 1}' | ottla produce users --schema user.avsc
    """
    if options["key"] is not None and options["key_separator"] is not None:
        raise click.UsageError("--key and --key-separator exclude each other")
    if options["key_separator"] == "":
        raise click.BadParameter("it is empty", param_hint="--key-separator")
    if STDIN in (options["files"] or (STDIN,)):
        require_stdin()
    summary = Summary()
    production = _Production(bootstrap, topic, summary=summary, **options)
    try:
        run_client(production.run)
    finally:
        tell(summary, topic, as_json=as_json)
    if summary.failed:
        lost = count_of(summary.failed, "record")
        raise CommandFailed(f"{lost} failed: {summary.cause}")


class _Production:
    """One run of the command: lines in, records out."""

    def __init__(self, bootstrap: str, topic: str, *, summary: Summary, **options: Any) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._summary = summary
        self._files: tuple[Path, ...] = options["files"]
        self._format = LineFormat(
            *(_bytes_of(options[name]) for name in ("key", "key_separator", "null"))
        )
        self._headers = tuple(
            (name, value.encode(errors="surrogateescape")) for name, value in options["headers"]
        )
        self._partition: int | None = options["partition"]
        self._encoder = _encoder(topic, options)
        self._encode: Encode | None = None
        self._config = ProducerConfig(
            acks=ACKS[options["acks"]],
            compression=options["compression"],
            delivery_timeout_s=options["timeout"],
            metadata_timeout_s=min(options["timeout"], METADATA_TIMEOUT_S),
        )

    async def run(self) -> None:
        """Produce everything there is. Raises: OttlaError, OSError."""
        started_at = trio.current_time()
        try:
            with _progress([path for path in self._files if path != STDIN]) as advance:
                async with (
                    self._encoder as self._encode,
                    Producer(self._bootstrap, self._config) as producer,
                ):
                    await self._send_all(producer, advance)
        except RecordsLost as error:
            self._summary.fail(_outcome_of(error.first), count=error.count)
        finally:
            self._summary.seconds = trio.current_time() - started_at
        self._summary.is_complete = True

    async def _send_all(self, producer: Producer, advance: Advance) -> None:
        try:
            for path in self._files or (STDIN,):
                await self._send_lines(producer, None if path == STDIN else path, advance)
        except _Refused as refused:
            # What was taken before it is still to be acknowledged: leave as if all had been read.
            self._summary.fail(str(refused.__cause__))

    async def _send_lines(self, producer: Producer, path: Path | None, advance: Advance) -> None:
        number = 0
        async with aclosing(lines_of(path)) as chunks:
            async for lines in chunks:
                for line in lines:
                    number += 1
                    await self._send(producer, line, f"{path or 'stdin'}:{number}")
                advance(sum(map(len, lines)) + len(lines))

    async def _send(self, producer: Producer, line: bytes, place: str) -> None:
        self._summary.records += 1
        try:
            key, value = self._format.parse(line)
            if self._encode is not None and value is not None:
                value = await self._encode(value)
            await producer.enqueue(
                self._topic, value, key=key, headers=self._headers, partition=self._partition
            )
        except (ValueError, SerializationFailed) as error:
            self._summary.fail(f"{place}: {error}")
        except RecordTooLarge:
            limit = self._config.request_bytes_max
            self._summary.fail(f"{place}: {len(line):,} bytes, a record has at most {limit:,}")
        except OttlaError as error:
            raise _Refused from error


def _encoder(topic: str, options: Mapping[str, Any]) -> AbstractAsyncContextManager[Encode | None]:
    if options["schema"] is None:
        return nullcontext()
    from commands.schema_values import encoder

    return encoder(registry_of_cluster(options["registry"]), topic, options["schema"])


class _Refused(Exception):
    """The topic takes no records; the cause says why."""


def _outcome_of(lost: DeliveryFailed) -> str:
    outcome = "may have been written" if lost.may_be_written else "was not written"
    return f"one for {lost.topic}-{lost.partition} {outcome}: {lost.cause}"


@contextmanager
def _progress(files: Sequence[Path]) -> Iterator[Advance]:
    """Show a bar of the files' bytes, where stderr is a terminal; gives how to move it."""
    if not files or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    shown = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(path.stat().st_size for path in files))
        yield lambda size: bar.update(task, advance=size)


def tell(summary: Summary, topic: str, *, as_json: bool) -> None:
    """Print what was written: the count, or an upper bound where the end was not awaited."""
    written = summary.records - summary.failed
    if not summary.is_complete:
        if written:
            records = count_of(written, "record")
            click.echo(f"up to {records} to {topic}, not all of them acknowledged", err=True)
    elif as_json:
        facts = {
            "topic": topic,
            "written": written,
            "failed": summary.failed,
            "seconds": round(summary.seconds, 3),
        }
        click.echo(json.dumps(facts))
    else:
        rate = written / summary.seconds if summary.seconds else 0.0
        records = count_of(written, "record")
        click.echo(f"{records} to {topic} in {summary.seconds:.1f} s ({rate:,.0f}/s)", err=True)


def _bytes_of(text: str | None) -> bytes | None:
    """Give the bytes that stood on the command line, be they UTF-8 or not."""
    return None if text is None else text.encode(errors="surrogateescape")
