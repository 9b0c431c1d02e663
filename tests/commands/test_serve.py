"""A server's process: what becomes of its log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import serve

FULL = Path("/dev/full")
TELL = """
import structlog
from commands.serve import configure_logs

configure_logs()
structlog.get_logger("broker.log").info("recovered")
structlog.get_logger().warning("disk_full")
print("alive")
"""


def tell(log: int) -> tuple[int, str]:
    """Have a process write a line to its log. Returns: how it ended, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", TELL], stdout=subprocess.PIPE, stderr=log, text=True, check=False
    )
    return done.returncode, done.stdout


def test_a_line_is_written_as_pairs_of_keys_and_values(tmp_path):
    path = tmp_path / "log"
    with path.open("wb") as log:
        assert tell(log.fileno()) == (0, "alive\n")

    first, second = path.read_text().splitlines()
    assert first.endswith("level=info event=recovered")
    assert second.endswith("level=warning event=disk_full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_ends_nobody():
    with FULL.open("wb") as full:
        assert tell(full.fileno()) == (0, "alive\n")


def test_a_log_that_nobody_reads_any_more_ends_nobody():
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as pipe:
        assert tell(pipe.fileno()) == (0, "alive\n")


def test_a_line_that_is_written_in_parts_is_written_as_a_whole(tmp_path, monkeypatch):
    path, write = tmp_path / "log", os.write
    with path.open("wb") as log:
        monkeypatch.setattr(sys, "__stderr__", log)
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:3]))
        serve._LogLines().msg("event=stopping")

    assert path.read_text() == "event=stopping\n"


def test_a_log_that_was_closed_from_the_start_is_not_written(monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(os, "write", None)

    serve._LogLines().msg("event=stopping")
