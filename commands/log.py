"""`ottla log`: look into the segments of a partition, without a broker.

It only reads, so it may look at the log of a broker that runs; the last batch may then be half
written. Must never know: the network, the cluster.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from broker.log.batches import crc_ok, iterate_batches
from broker.log.file_names import LOG_SUFFIX
from commands.failure import CommandFailed, ExitStatus
from commands.options import json_option
from commands.record_format import describe_record
from protocol.errors import CorruptBatch
from protocol.records import decode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from protocol.batch import BatchHeader

_COLUMNS: Final = {
    "OFFSETS": 19,
    "COUNT": 6,
    "EPOCH": 5,
    "PRODUCER": 14,
    "TIMESTAMPS": 27,
    "CODEC": 6,
    "BYTES": 8,
    "POSITION": 10,
    "CRC": 5,
}
"""Titles and widths."""


@click.group()
def log() -> None:
    """Look into the segments of a partition.

    \b
    Example:
      $ ottla log dump ottla-data/broker-1/orders-0
    """


@log.command("dump")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--records", "with_records", is_flag=True, help="Show the records as well.")
@json_option
def dump(directory: Path, *, with_records: bool, as_json: bool) -> ExitStatus:
    """Show the batches of a partition's segments, every CRC checked.

    DIRECTORY is that of one partition. PRODUCER is id/epoch/first sequence. With --json each
    batch is an object on a line of its own. The exit status is 1 where a CRC is wrong or a
    segment is damaged.

    \b
    Examples:
      $ ottla log dump ottla-data/broker-1/orders-0
      $ ottla log dump ottla-data/broker-1/orders-0 --records --json
    """
    show = _show_json if as_json else _show_text
    is_whole = True
    for path in _segment_paths(directory):
        if not as_json:
            click.echo(f"{path} ({path.stat().st_size} bytes)")
            click.echo(_line(tuple(_COLUMNS)))
        with path.open("rb") as file:
            for facts in _look(_OpenSegment(str(path), file), with_records=with_records):
                show(path, facts)
                is_whole = is_whole and facts.get("crc_ok", False)
    return ExitStatus.OK if is_whole else ExitStatus.FAILURE


class _OpenSegment(Struct, frozen=True):
    """A segment's file, only to be read (`broker.log.disk.FileView`)."""

    path: str
    file: BinaryIO

    def read(self, position: int, size: int) -> bytes:
        """Read up to `size` bytes; shorter only at the end of the file. Raises: OSError."""
        return os.pread(self.fileno(), size, position)

    def fileno(self) -> int:
        """The descriptor."""
        return self.file.fileno()


def _segment_paths(directory: Path) -> list[Path]:
    paths = sorted(directory.glob(f"*{LOG_SUFFIX}"))
    if paths:
        return paths
    partition = next((path.parent for path in sorted(directory.glob(f"**/*{LOG_SUFFIX}"))), None)
    raise CommandFailed(
        f"no segments in {directory}",
        next_step=f"name a partition's directory, such as {partition or 'DIR/broker-1/TOPIC-0'}",
    )


def _look(segment: _OpenSegment, *, with_records: bool) -> Iterator[dict[str, Any]]:
    """Describe the batches; the last one tells of damage that ends the reading."""
    end, read_to = os.fstat(segment.fileno()).st_size, 0
    try:
        for header, position, batch in iterate_batches(segment, end=end):
            is_whole = crc_ok(batch)
            facts = _describe(header, position=position, crc_ok=is_whole)
            if with_records and is_whole:
                facts["records"] = [describe_record(record) for record in decode_batch(batch)]
            read_to = position + header.size_bytes
            yield facts
    except CorruptBatch as error:
        yield {"error": str(error), "position": read_to, "unread_bytes": end - read_to}


def _describe(header: BatchHeader, *, position: int, crc_ok: bool) -> dict[str, Any]:
    return {
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "count": header.record_count,
        "leader_epoch": header.partition_leader_epoch,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "base_timestamp": header.base_timestamp,
        "max_timestamp": header.max_timestamp,
        "compression": _compression_of(header),
        "control": header.is_control,
        "delete_horizon_ms": header.delete_horizon_ms,
        "transactional": header.is_transactional,
        "size_bytes": header.size_bytes,
        "position": position,
        "crc_ok": crc_ok,
    }


def _compression_of(header: BatchHeader) -> str:
    try:
        return header.compression.name.lower()
    except ValueError:  # the bits of no codec, in a batch that was damaged
        return "unknown"


def _show_json(path: Path, facts: dict[str, Any]) -> None:
    click.echo(json.dumps({"segment": path.name, **facts}))


def _show_text(path: Path, facts: dict[str, Any]) -> None:
    del path
    if "error" in facts:
        click.echo(f"DAMAGED at position {facts['position']}: {facts['error']}")
        return
    click.echo(_line(_cells(facts)))
    for record in facts.get("records", ()):
        click.echo(f"    {json.dumps(record, ensure_ascii=False)}")


def _cells(facts: dict[str, Any]) -> list[str]:
    producer = f"{facts['producer_id']}/{facts['producer_epoch']}/{facts['base_sequence']}"
    return [
        f"{facts['base_offset']}-{facts['last_offset']}",
        str(facts["count"]),
        str(facts["leader_epoch"]),
        producer if facts["producer_id"] >= 0 else "-",
        f"{facts['base_timestamp']}-{facts['max_timestamp']}",
        facts["compression"],
        str(facts["size_bytes"]),
        str(facts["position"]),
        "ok" if facts["crc_ok"] else "WRONG",
    ]


def _line(cells: Sequence[str]) -> str:
    """Lay out cells at fixed widths, for a segment is shown while it is read."""
    padded = (cell.ljust(width) for cell, width in zip(cells, _COLUMNS.values(), strict=True))
    return " ".join(padded).rstrip()
