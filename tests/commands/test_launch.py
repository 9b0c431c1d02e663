"""A node that is started must be the one that answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from commands.cluster_directory import ClusterDirectory, Node
from commands.failure import CommandFailed
from commands.launch import Launcher, in_steps
from commands.process import identify


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child.pid
    child.kill()
    child.wait()


def test_a_node_that_listens_itself_is_the_one_that_answers(tmp_path, taken_port):
    node = Node("1", taken_port, identify(os.getpid()))

    Launcher(ClusterDirectory(tmp_path)).require_own_port(node)


def test_another_process_that_was_quicker_is_not_taken_for_the_node(tmp_path, taken_port, sleeper):
    node = Node("1", taken_port, identify(sleeper))

    cause = f"port {taken_port} of broker 1 was taken meanwhile by process {os.getpid()} ("
    with pytest.raises(CommandFailed, match=re.escape(cause)):
        Launcher(ClusterDirectory(tmp_path)).require_own_port(node)


def test_whoever_needs_others_is_stopped_before_them():
    nodes = [Node(name, 1) for name in ("coordinator", "1", "2", "registry")]

    assert [[node.name for node in step] for step in in_steps(nodes)] == [
        ["registry"],
        ["1", "2"],
        ["coordinator"],
    ]


def test_a_node_that_ended_while_another_answers_is_told_with_its_last_word(tmp_path, taken_port):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "broker-1.log").write_text("ottla: error: cannot listen\n")

    with pytest.raises(CommandFailed, match="broker 1 has ended: cannot listen"):
        Launcher(ClusterDirectory(tmp_path)).require_own_port(Node("1", taken_port))
