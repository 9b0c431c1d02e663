"""What the tests of the log share: two disks, a clock that is set by hand, batches."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from broker.log.disk import Disk
from broker.log.log import Log
from broker.log.real_disk import RealDisk
from protocol.records import Record, encode_batch
from simulation.disk import MemoryDisk
from tests.broker.log.logs import SMALL, TOPIC_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START_MS = 1_700_000_000_000


@dataclass
class WallClock:
    """Wall time that moves when it is told to."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def wall_ms() -> WallClock:
    return WallClock()


@pytest.fixture(params=["memory", "real"])
def disk(request: pytest.FixtureRequest) -> Disk:
    return MemoryDisk(random.Random(7)) if request.param == "memory" else RealDisk()


@pytest.fixture
def root(disk: Disk, tmp_path: Path) -> str:
    """A directory that exists on `disk`."""
    path = str(tmp_path) if isinstance(disk, RealDisk) else "/data"
    disk.make_directory(path)
    return path


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., bytes]:
    """Makes a batch of `count` records, one millisecond apart."""

    def make(
        count: int = 1, *, timestamp_ms: int = START_MS, value: bytes = b"v", **header
    ) -> bytes:
        base_offset = header.get("base_offset", 0)
        records = [Record(base_offset + i, timestamp_ms + i, None, value, ()) for i in range(count)]
        return encode_batch(records, **header)

    return make


@pytest.fixture
def open_log(disk, root, wall_ms):
    """Creates the log, or opens it again."""

    def open_again(config=SMALL, *, clean=True, **checkpoint):
        path = f"{root}/topic-0"
        if not disk.exists(path):
            return Log.create(disk, path, config, topic_id=TOPIC_ID, wall_ms=wall_ms)
        return Log.open(disk, path, config, wall_ms=wall_ms, clean=clean, **checkpoint)

    return open_again


@pytest.fixture
def log(open_log):
    return open_log()
