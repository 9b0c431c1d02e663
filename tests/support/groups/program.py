"""What every member program in Python shares: its orders from stdin, its reports to stdout.

A program is started with one argument, a `MemberSpec` in JSON. It reports each thing that happens
as a line of JSON before it goes on, and leaves the group when stdin says so or ends. A commit
follows every batch; what could not be committed is tried again with the next batch and, at the
latest, when the partition is given up.
Must never know: which client it is used by.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

BATCH_RECORDS = 200
POLL_S = 0.1


@dataclass(frozen=True)
class MemberSpec:
    """What a member needs to know; `topics` is a list of names, or one `pattern` instead."""

    name: str
    client: str
    bootstrap: str
    group: str
    topics: tuple[str, ...] = ()
    pattern: str | None = None
    assignor: str = "range"
    instance_id: str | None = None
    session_timeout_ms: int = 10_000
    heartbeat_interval_ms: int = 500
    metadata_max_age_ms: int = 1_000

    def to_json(self) -> str:
        """Return it as the program's argument."""
        return json.dumps(asdict(self))


class Reporter:
    """Writes what happens, a line each, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def assigned(self, partitions: Iterable[tuple[str, int]]) -> None:
        self._partitions("assigned", partitions)

    def revoked(self, partitions: Iterable[tuple[str, int]]) -> None:
        self._partitions("revoked", partitions)

    def lost(self, partitions: Iterable[tuple[str, int]]) -> None:
        self._partitions("lost", partitions)

    def consumed(self, records: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int], int]:
        """Report (topic, partition, offset) of a batch. Returns: the offsets to commit."""
        runs: list[list[int | str]] = []
        open_runs: dict[tuple[str, int], list[int | str]] = {}
        for topic, partition, offset in records:
            run = open_runs.get((topic, partition))
            if run is not None and run[3] == offset - 1:
                run[3] = offset
            else:
                run = open_runs[topic, partition] = [topic, partition, offset, offset]
                runs.append(run)
        self._write("consumed", runs=runs)
        return {where: int(run[3]) + 1 for where, run in open_runs.items()}

    def committed(self, offsets: dict[tuple[str, int], int], error: str | None = None) -> None:
        self._write("committed", offsets=[[t, p, o] for (t, p), o in offsets.items()], error=error)

    def left(self) -> None:
        self._write("left")

    def failed(self, error: str) -> None:
        self._write("failed", error=error)

    def _partitions(self, event: str, partitions: Iterable[tuple[str, int]]) -> None:
        self._write(event, partitions=[[topic, index] for topic, index in partitions])

    def _write(self, event: str, **facts: object) -> None:
        with self._lock:
            told = {"at_ms": time.time_ns() // 1_000_000, "event": event, **facts}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


class Progress:
    """What was processed and not yet committed."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._uncommitted: dict[tuple[str, int], int] = {}

    def processed(self, records: Iterable[tuple[str, int, int]]) -> None:
        """Report a batch."""
        self._uncommitted.update(self._reporter.consumed(records))

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Commit nothing more of these."""
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    def of(self, partitions: Iterable[tuple[str, int]] | None = None) -> dict[tuple[str, int], int]:
        """Return what there is to commit, of all partitions or of some."""
        if partitions is None:
            return dict(self._uncommitted)
        return {p: self._uncommitted[p] for p in partitions if p in self._uncommitted}

    def ended(self, offsets: dict[tuple[str, int], int], error: BaseException | None) -> None:
        """Report how a commit of `offsets` ended."""
        if error is None:
            for partition, offset in offsets.items():
                if self._uncommitted.get(partition) == offset:
                    del self._uncommitted[partition]
        self._reporter.committed(offsets, None if error is None else repr(error))


class Orders:
    """Orders from stdin; its end is the order to leave."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            if json.loads(line)["do"] == "leave":
                break
        self.leave.set()


def run_program(member: Callable[[MemberSpec, Reporter, Orders], None]) -> None:
    """Run a member until it leaves or fails; either way its last line says so.

    SIGUSR1 has it write to its standard error what each of its threads does.
    """
    faulthandler.register(signal.SIGUSR1)
    spec = json.loads(sys.argv[1])
    spec["topics"] = tuple(spec["topics"])
    reporter = Reporter()
    try:
        member(MemberSpec(**spec), reporter, Orders())
    except Exception as error:  # noqa: BLE001 - the process ends here: whoever started it is told why.
        traceback.print_exc()
        reporter.failed(repr(error))
        sys.exit(1)
    reporter.left()
