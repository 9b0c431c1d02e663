"""What a cluster takes that does nothing: memory, and CPU, before any load and after it."""

from __future__ import annotations

import time

from bench.bench import Bench, Measured, When
from bench.figure import Case
from bench.meter import Meter
from bench.systems import System

SETTLES_S = 5.0
SECONDS = 10.0


def measure(system: System, _case: Case) -> Measured:
    """Look on for a while."""
    time.sleep(SETTLES_S)
    meter = Meter(system.pids())
    time.sleep(SECONDS)
    yield (
        "nothing to do",
        {
            "memory_mb_per_broker": system.memory_mb_per_broker(),
            "cpu_share": meter.read().servers_s / SECONDS,
        },
    )


IDLE = Bench("idle", "memory and CPU of a cluster that is new", measure, rounds=1, when=When.COLD)

AFTER_LOAD = Bench(
    "after-load", "memory and CPU once all that stands above has been done", measure, rounds=1
)
