"""`ottla broker` by itself: one process that is a whole cluster, with `--coordinator`."""

from __future__ import annotations

import signal
import socket
import time
from contextlib import contextmanager

import pytest

from commands.ports import find_free
from tests.support.command_line import TIMEOUT_S, CommandLine

HOST = "127.0.0.1"


class Alone:
    """One broker with a coordinator in its process, over directories that stay."""

    def __init__(self, directory):
        self.ottla = CommandLine(directory)
        self.port, self.coordinator_port = find_free(HOST, 2)
        self.bootstrap = ("--bootstrap", f"{HOST}:{self.port}")

    def command(self, *more):
        return (
            "broker", "--id", "1", "--data", "data", "--listen", f"{HOST}:{self.port}",
            "--zookeeper", f"{HOST}:{self.coordinator_port}", "--coordinator", "metadata", *more,
        )  # fmt: skip

    @contextmanager
    def running(self):
        process = self.ottla.start(*self.command())
        try:
            assert process.stderr is not None
            log = []
            while "event=registered" not in (line := process.stderr.readline().decode()):
                log.append(line)
                assert line, "".join(log)
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def alone(tmp_path):
    return Alone(tmp_path)


@pytest.mark.slow
def test_a_broker_with_a_coordinator_is_a_cluster_that_outlives_its_process(alone):
    read = ("consume", "t", *alone.bootstrap, "--from-beginning", "--exit-at-end")
    commit = (*read, "--group", "g")
    with alone.running() as process:
        alone.ottla.run("topic", "create", "t", *alone.bootstrap)
        alone.ottla.run("produce", "t", *alone.bootstrap, stdin=b"a\nb\n")
        assert alone.ottla.out(*commit) == "a\nb\n"
        process.kill()
    with alone.running() as process:
        alone.ottla.run("produce", "t", *alone.bootstrap, stdin=b"c\n")
        assert alone.ottla.out(*read) == "a\nb\nc\n"
        assert alone.ottla.out(*commit) == "c\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def brokers_of(alone) -> list[int]:
    found = alone.ottla.json("cluster", "describe", *alone.bootstrap)
    return [broker["broker"] for broker in found["brokers"]]


@pytest.mark.slow
def test_other_brokers_can_join_it(alone, tmp_path):
    other = find_free(HOST, 1)[0]
    with alone.running():
        joining = alone.ottla.start(
            "broker", "--id", "2", "--data", "data-2", "--listen", f"{HOST}:{other}",
            "--zookeeper", f"{HOST}:{alone.coordinator_port}",
        )  # fmt: skip
        try:
            assert joining.stderr is not None
            while b"event=registered" not in (line := joining.stderr.readline()):
                assert line
            deadline = time.monotonic() + TIMEOUT_S
            while len(found := brokers_of(alone)) < 2:  # the first one hears of it as well
                assert time.monotonic() < deadline
            assert found == [1, 2]
        finally:
            joining.terminate()
            joining.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("zookeeper", ["a:1,b:1", "a", "a:1/path"])
def test_a_coordinator_of_its_own_has_one_address(alone, zookeeper):
    refused = alone.ottla.run(*alone.command("--zookeeper", zookeeper), status=2)

    assert f"give --zookeeper HOST:PORT, not '{zookeeper}'".encode() in refused.stderr


def test_an_address_that_is_taken_is_named(alone):
    with socket.create_server((HOST, alone.coordinator_port)):
        refused = alone.ottla.run(*alone.command(), status=1)

    address = f"{HOST}:{alone.coordinator_port}"
    assert refused.stderr.decode().splitlines()[-1] == (
        f"ottla: error: cannot listen on {address}: another process listens there;"
        " stop it, or choose another port with --listen"
    )
