from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from commands import process
from commands.process import (
    Identity,
    identify,
    is_paused,
    is_running,
    resident_bytes,
    send_signal,
    spawn,
    wait_gone,
)

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


@contextmanager
def sleeper(tmp_path):
    child, identity = spawn(
        SLEEPER, directory=tmp_path, log=tmp_path / "log", environment=os.environ
    )
    assert identity is not None
    try:
        yield child, identity
    finally:
        child.kill()
        child.wait()


def test_a_living_process_is_known_by_pid_and_start(tmp_path):
    with sleeper(tmp_path) as (child, identity):
        assert identity.pid == child.pid
        assert identify(child.pid) == identity
        assert is_running(identity)
        assert resident_bytes(os.getpid()) > 1_000_000


def test_a_process_ends_for_us_when_only_its_zombie_is_left(tmp_path):
    with sleeper(tmp_path) as (_, identity):
        assert send_signal(identity, signal.SIGKILL)
        assert wait_gone(identity, timeout_s=10.0)  # nobody has reaped it yet
        assert not is_running(identity)
        assert identify(identity.pid) is None


def test_a_recycled_pid_is_never_signalled(tmp_path):
    with sleeper(tmp_path) as (child, identity):
        earlier = replace(identity, started="an earlier start")

        assert not is_running(earlier)
        assert not send_signal(earlier, signal.SIGKILL)
        assert child.poll() is None


def test_a_recycled_pid_is_never_signalled_without_pidfd(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with sleeper(tmp_path) as (child, identity):
        assert not send_signal(replace(identity, started="earlier"), signal.SIGKILL)
        assert child.poll() is None
        assert send_signal(identity, signal.SIGKILL)
        assert wait_gone(identity, timeout_s=10.0)


@pytest.mark.skipif(not os.access("/bin/ps", os.X_OK), reason="no ps here")
def test_processes_are_known_where_there_is_no_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_has_proc", lambda: False)
    with sleeper(tmp_path) as (child, _):
        identity = identify(child.pid)
        assert identity is not None
        assert "time.sleep" in identity.started
        assert is_running(identity)
        child.kill()
        assert wait_gone(identity, timeout_s=10.0)


def test_a_stopped_process_is_paused_and_runs(tmp_path):
    with sleeper(tmp_path) as (_, identity):
        assert not is_paused(identity)
        send_signal(identity, signal.SIGSTOP)
        while not is_paused(identity):
            os.sched_yield()
        assert is_running(identity)
        send_signal(identity, signal.SIGCONT)
        while is_paused(identity):
            os.sched_yield()


def test_waiting_for_a_process_that_stays_ends_at_the_time_given(tmp_path):
    with sleeper(tmp_path) as (_, identity):
        assert not wait_gone(identity, timeout_s=0.05)


def test_a_process_that_never_was_is_gone():
    finished = subprocess.Popen([sys.executable, "-S", "-c", ""])
    finished.wait()
    ghost = Identity(finished.pid, "some time")

    assert wait_gone(ghost, timeout_s=0.0)
    assert not send_signal(ghost, signal.SIGTERM)


@pytest.mark.parametrize(
    ("flags", "pending", "is_ending"),
    [
        (0x400000, "0000000000000000", False),
        (0x400004, "0000000000000000", True),
        (0x400000, "0000000000000100", True),
        (0x400000, "0000000000004000", False),  # SIGTERM, which it may ignore
    ],
)
def test_a_killed_process_that_is_not_gone_yet_is_ending(
    tmp_path, monkeypatch, flags, pending, is_ending
):
    told = tmp_path / "77"
    told.mkdir()
    fields = ["D", "1", "77", "77", "0", "-1", str(flags), *(str(i) for i in range(20))]
    (told / "stat").write_text(f"77 (a (strange) name) {' '.join(fields)}\n")
    (told / "status").write_text(f"Name:\tname\nSigPnd:\t{'0' * 16}\nShdPnd:\t{pending}\n")
    monkeypatch.setattr(process, "_PROC", tmp_path)
    monkeypatch.setattr(process, "_has_proc", lambda: True)
    identity = identify(77)
    assert identity is not None
    assert process.is_ending(identity) is is_ending
    assert not process.is_ending(replace(identity, started="another"))


def test_a_process_that_lives_or_is_gone_is_not_ending(tmp_path):
    with sleeper(tmp_path) as (child, identity):
        assert not process.is_ending(identity)
        child.kill()
        child.wait()
        assert not process.is_ending(identity)
