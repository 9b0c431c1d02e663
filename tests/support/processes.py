"""What all test processes share: none of them outlives the run that started it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def dies_with_parent() -> list[str]:
    """Return what to put before a command so that a killed test run leaves nothing behind.

    Parent means the thread that starts it.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def resident_bytes(pid: int) -> int:
    """Give the memory that a process has in use, what it shares with others included."""
    statm = Path(f"/proc/{pid}/statm").read_text()
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")
