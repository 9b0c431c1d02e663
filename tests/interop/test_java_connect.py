"""Kafka Connect: a worker that keeps connectors, offsets and states in compacted topics."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_for

pytestmark = pytest.mark.interop

WORKER = "org.apache.kafka.connect.cli.ConnectDistributed"
CONNECTOR = "org.apache.kafka.connect.file.FileStream{}Connector"
PATIENCE_S = 90


class Worker:
    """What a worker answers over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path, body=None):
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, f"{self._url}/{path}", json=body, timeout=30)
        return answer.raise_for_status().json()

    def serves(self):
        try:
            return self.ask("connectors") is not None
        except httpx.HTTPError:
            return False


@pytest.fixture
def worker(java, cluster, topic, tmp_path):
    """Starts a worker of one group, again and again. Returns: a context manager of a Worker."""
    url = f"http://127.0.0.1:{free_port()}"
    properties = tmp_path / "worker.properties"
    settings = {
        "bootstrap.servers": cluster.bootstrap,
        "group.id": topic,
        "listeners": url,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "offset.flush.interval.ms": 500,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
        "plugin.discovery": "service_load",
    }
    for what in ("config", "offset", "status"):
        settings[f"{what}.storage.topic"] = f"{topic}-{what}"
        settings[f"{what}.storage.replication.factor"] = 3
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @contextmanager
    def started():
        with java.running(WORKER, str(properties), log=tmp_path / "worker.log"):
            found = Worker(url)
            wait_for(found.serves, "the worker serves", within_s=PATIENCE_S)
            yield found

    return started


def lines_of(path: Path):
    return path.read_text().splitlines() if path.exists() else []


def wait_for_lines(path: Path, count: int):
    wait_for(lambda: len(lines_of(path)) >= count, f"{count} lines came", within_s=PATIENCE_S)


def append(path: Path, numbers):
    with path.open("a") as file:
        file.writelines(f"{number}\n" for number in numbers)


def test_connect_copies_a_file_through_a_topic_and_goes_on_where_it_was(worker, topic, tmp_path):
    source, sink = tmp_path / "source", tmp_path / "sink"
    append(source, range(500))
    with worker() as first:
        for kind, file, where in (("Source", source, "topic"), ("Sink", sink, "topics")):
            config = {"connector.class": CONNECTOR.format(kind), "file": str(file), where: topic}
            first.ask("connectors", {"name": kind, "config": config})
        wait_for_lines(sink, 500)

    append(source, range(500, 600))
    with worker() as second:
        assert sorted(second.ask("connectors")) == ["Sink", "Source"]
        wait_for_lines(sink, 600)
        states = [second.ask(f"connectors/{kind}/status") for kind in ("Source", "Sink")]

    assert [each["connector"]["state"] for each in states] == ["RUNNING", "RUNNING"]
    assert lines_of(sink) == [str(number) for number in range(600)]
