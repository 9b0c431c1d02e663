"""What it costs the servers to have something done: CPU of theirs, of this process, of others."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from bench.raw_requests import cpu_seconds


@dataclass(frozen=True)
class Cpu:
    """CPU seconds taken, user and system."""

    servers_s: float
    client_s: float
    other_s: float
    """Neither the servers' nor this process's and its children's: it should be next to nothing."""


class Meter:
    """Counts from when it is made."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before = self._now()

    def read(self) -> Cpu:
        """Give what was taken until now."""
        servers_s, client_s, all_s = (
            after - before for after, before in zip(self._now(), self._before, strict=True)
        )
        return Cpu(servers_s, client_s, max(0.0, all_s - servers_s - client_s))

    def _now(self) -> tuple[float, float, float]:
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        used = [resource.getrusage(each) for each in whose]
        client_s = sum(each.ru_utime + each.ru_stime for each in used)
        return cpu_seconds(self._pids), client_s, _machine_cpu_s()


def _machine_cpu_s() -> float:
    """CPU that everything on this machine has taken since it was started."""
    fields = Path("/proc/stat").read_text().split("\n", maxsplit=1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
