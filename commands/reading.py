"""Reading for `ottla consume`: records in, bytes out, until it is time to stop.

Must never know: which partitions are read, where from.
"""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from commands.columns import count_of
from commands.failure import CommandFailed
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from client.consumer import Consumer
    from client.records import ConsumerRecord, TopicPartition
    from commands.patience import Patience
    from commands.record_format import Formatter

    Decode = Callable[[ConsumerRecord], Awaitable[ConsumerRecord]]

POLL_RECORDS: Final = 5_000
POLL_TIMEOUT_S: Final = 0.1
"""How often it is looked at whether the end has been reached, where no records come."""
_STDOUT: Final = 1


class Stop(Struct, frozen=True):
    """When to stop: at a count, at the end, after silence. Never where nothing is said."""

    count: int | None = None
    at_end: bool = False
    timeout_s: float | None = None

    def is_overdue(self, quiet_s: float) -> bool:
        """Say whether the silence has lasted too long."""
        return self.timeout_s is not None and quiet_s >= self.timeout_s


class Output(Struct, frozen=True):
    """What becomes of records: decoded where that is asked for, then written one by one."""

    write: Formatter
    decode: Decode | None = None


class Reading:
    """One run; `ends` are where the partitions ended when the command was given.

    Silence counts from the time that `patience` does, and until it has begun (while a group decides
    who reads what) nothing is over.
    """

    def __init__(
        self,
        consumer: Consumer,
        ends: Mapping[TopicPartition, int],
        *,
        stop: Stop,
        output: Output,
        patience: Patience,
    ) -> None:
        self._consumer = consumer
        self._ends = ends
        self._stop = stop
        self._output = output
        self._shown = 0
        self._quiet_since = patience.since
        self._patience = patience

    async def run(self) -> None:
        """Read until it is time to stop. Raises: OttlaError, BrokenPipeError."""
        while not self._is_done():
            records = await self._poll()
            self._show(await self._decoded(records))
            if records:
                self._quiet_since = trio.current_time()
            elif _reader_has_gone():
                raise BrokenPipeError
            elif self._patience.has_begun and self._stop.is_overdue(
                trio.current_time() - self._quiet_since
            ):
                self._require_count()
                return

    async def _poll(self) -> list[ConsumerRecord]:
        wanted = POLL_RECORDS
        if self._stop.count is not None:
            wanted = min(wanted, self._stop.count - self._shown)
        return await self._consumer.poll(max_records=wanted, timeout_s=POLL_TIMEOUT_S)

    async def _decoded(self, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        decode = self._output.decode
        if decode is None:
            return records
        decoded: list[ConsumerRecord] = []
        try:
            for record in records:
                decoded.append(await decode(record))  # noqa: PERF401 - what comes of it is needed
        except OttlaError:  # whoever goes on behind the one that fails has seen all before it
            self._show(decoded)
            raise
        return decoded

    def _show(self, records: list[ConsumerRecord]) -> None:
        if records:
            sys.stdout.buffer.write(b"".join(map(self._output.write, records)))
            sys.stdout.buffer.flush()
            self._shown += len(records)

    def _is_done(self) -> bool:
        if self._shown == self._stop.count:
            return True
        return (
            self._stop.at_end
            and self._patience.has_begun
            and all(
                (self._consumer.position(place) or 0) >= self._ends.get(place, 0)
                for place in self._consumer.assignment
            )
        )

    def _require_count(self) -> None:
        if self._stop.count is not None:
            raise CommandFailed(
                f"only {count_of(self._shown, 'record')} of {self._stop.count} came in time"
            )


def require_stdout() -> None:
    """Check that there is one, before anything is read or committed. Raises: CommandFailed."""
    if sys.stdout is None:
        raise CommandFailed("stdout is closed", next_step="have it lead to a file or a pipe")


def _reader_has_gone() -> bool:
    """Say whether nobody can read our output any more: `ottla consume t | head -1` must end."""
    output = select.poll()
    output.register(_STDOUT, 0)  # errors are always told
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in output.poll(0))
