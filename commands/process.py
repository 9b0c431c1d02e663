"""Processes of the operating system: who they are, whether they live, and signals to them.

A pid alone never names a process, for pids are used again: an `Identity` adds when it started.
Must never know: clusters, brokers.
Source: proc(5), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_INTERVAL_S: Final = 0.02
_PROC = Path("/proc")
_PF_EXITING: Final = 0x4


class Identity(Struct, frozen=True):
    """One process for all time: `started` differs where the pid has been given to another."""

    pid: int
    started: str


def identify(pid: int) -> Identity | None:
    """Say who has this pid now; None where nobody has, or where only a zombie is left."""
    if _has_proc():
        fields = _stat_fields(pid)
        if fields is None or fields[0] in "ZX":
            return None
        return Identity(pid, f"{_boot_id()}:{fields[19]}")
    return _identify_by_ps(pid)


def is_running(identity: Identity) -> bool:
    """Say whether this very process lives (a stopped one does)."""
    return identify(identity.pid) == identity


def is_paused(identity: Identity) -> bool:
    """Say whether the process has been stopped by SIGSTOP; False where that cannot be seen."""
    fields = _stat_fields(identity.pid)
    return fields is not None and fields[0] in "Tt" and is_running(identity)


def is_ending(identity: Identity) -> bool:
    """Say whether the process has been killed and is not gone yet; False where that is not seen.

    It keeps its port and its files for as long as the kernel takes to free what it had.
    """
    fields = _stat_fields(identity.pid)
    if fields is None or not is_running(identity):
        return False
    return bool(int(fields[6]) & _PF_EXITING) or _is_kill_pending(identity.pid)


def _is_kill_pending(pid: int) -> bool:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return False
    pending = (int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd")))
    return any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)


def resident_bytes(pid: int) -> int | None:
    """Give the resident memory of a process; None where it cannot be read."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def command_line(pid: int) -> str:
    """Give the command line of a process, for people to read; empty where it is not ours to see."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def send_signal(identity: Identity, signum: signal.Signals) -> bool:
    """Signal this very process and no other that was given its pid.

    Returns: False where it is gone.
    """
    if not hasattr(os, "pidfd_open"):
        return _send_checked(identity, signum)
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor holds on to one process: once it is seen to be ours, it stays ours.
        if not is_running(identity):
            return False
        signal.pidfd_send_signal(descriptor, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_gone(identity: Identity, *, timeout_s: float) -> bool:
    """Block until the process has ended. Returns: False where it still runs after the time."""
    deadline = time.monotonic() + timeout_s
    while is_running(identity):
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return False
        _wait_for_exit(identity.pid, min(remaining_s, 1.0))
    return True


def spawn(
    command: Sequence[str], *, directory: Path, log: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Identity | None]:
    """Start a process in a session of its own, its output appended to a log file.

    Returns: the child, and its identity (None where it has ended already). Raises: OSError.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603  # our own command, no shell
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return child, identify(child.pid)


def _has_proc() -> bool:
    return sys.platform == "linux" and _PROC.joinpath("self", "stat").exists()


def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on: [0] is field 3, [19] is field 22."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command's name stands in parentheses and may hold anything, parentheses too.
    return text[text.rindex(")") + 2 :].split()


def _identify_by_ps(pid: int) -> Identity | None:
    answer = subprocess.run(  # noqa: S603  # a fixed command with a number
        ["/bin/ps", "-ww", "-o", "stat=,lstart=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, description = answer.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return Identity(pid, description.strip())


def _send_checked(identity: Identity, signum: signal.Signals) -> bool:
    if not is_running(identity):
        return False
    try:
        os.kill(identity.pid, signum)
    except ProcessLookupError:
        return False
    return True


def _wait_for_exit(pid: int, timeout_s: float) -> None:
    if not hasattr(os, "pidfd_open"):
        time.sleep(min(timeout_s, POLL_INTERVAL_S))
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
