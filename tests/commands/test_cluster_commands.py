"""The command line on real processes: one small cluster for all tests that leave it as it was."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
from functools import partial

import msgpack
import pytest

from commands.process import identify
from tests.support.command_line import OTTLA, TIMEOUT_S, CommandLine, running_cluster


def test_a_cluster_that_is_up_is_well_and_says_where(ottla):
    status = ottla.json("status")

    assert status["well"]
    assert status["controller_id"] in (1, 2, 3)
    assert [node["role"] for node in status["nodes"]] == ["coordinator"] + 3 * ["broker"]
    assert all(node["state"] == "running" for node in status["nodes"])
    assert all(node["memory_bytes"] > 1_000_000 for node in status["nodes"])
    assert status["bootstrap"].count("127.0.0.1:") == 3


@pytest.mark.slow
def test_being_ready_left_no_topic_behind(tmp_path):
    with running_cluster(tmp_path, "--brokers", "1") as ottla:
        assert ottla.json("topic", "list")["topics"] == []


@pytest.mark.slow
def test_a_second_up_says_that_it_runs_already_and_where(ottla, tmp_path):
    pids = [node["pid"] for node in ottla.json("status")["nodes"]]
    done = ottla.run("up", "--detach", status=4)

    assert b"is running already" in done.stderr
    assert b"see it with 'ottla status', stop it with 'ottla down'" in done.stderr
    named = str(tmp_path / "named")
    (tmp_path / "named").symlink_to(ottla.directory / "ottla-data")
    elsewhere = ottla.run("up", "--data", named, "--detach", status=4)
    assert f"see it with 'ottla status --data {named}'".encode() in elsewhere.stderr
    assert [node["pid"] for node in ottla.json("status")["nodes"]] == pids


def test_a_taken_port_is_told_before_anything_is_started(ottla, tmp_path):
    port = ottla.node("1")["port"]
    done = CommandLine(tmp_path).run("up", "--detach", "--port", str(port), status=1)

    assert f"port {port} is taken by process {ottla.node('1')['pid']} (".encode() in done.stderr
    assert not (tmp_path / "ottla-data" / "cluster.json").exists()


def test_lines_go_in_and_come_out_in_order(ottla):
    ottla.run("topic", "create", "numbers", "--partitions", "1")
    lines = "".join(f"{i}\n" for i in range(10_000)).encode()
    done = ottla.run("produce", "numbers", stdin=lines)

    assert b"10,000 records to numbers" in done.stderr
    assert ottla.run("consume", "numbers", "--from-beginning", "--exit-at-end").stdout == lines


@pytest.mark.parametrize(
    "compression",
    ["lz4", *(pytest.param(c, marks=pytest.mark.slow) for c in ("none", "gzip", "snappy", "zstd"))],
)
def test_keys_headers_nulls_and_compression_come_through(ottla, compression):
    topic = f"parts-{compression}"
    summary = ottla.json(
        *("produce", topic, "--key-separator", ":", "--null", "NULL"),
        *("--header", "source=test", "--compression", compression),
        stdin="ada:tea\ngrace:NULL\nNULL:ü\n".encode(),
    )
    read = ottla.out("consume", topic, "--from-beginning", "--count", "3", "--format", "json")
    records = sorted((json.loads(line) for line in read.splitlines()), key=lambda r: r["offset"])

    assert (summary["written"], summary["failed"]) == (3, 0)
    assert [(r["key"], r["value"]) for r in records] == [
        ("ada", "tea"), ("grace", None), (None, "ü"),
    ]  # fmt: skip
    assert all(r["headers"] == [{"name": "source", "value": "test"}] for r in records)


@pytest.mark.slow
def test_files_are_produced_whole(ottla, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree")
    summary = ottla.json("produce", "files", "--file", str(path), "--partition", "0")
    read = ottla.out("consume", "files", "--partition", "0", "--offset", "1", "--exit-at-end")

    assert summary["written"] == 3
    assert read == "two\nthree\n"


def test_a_record_that_is_not_written_is_told_and_the_status_is_1(ottla):
    done = ottla.run("produce", "failing", "--key-separator", ":", stdin=b"good:1\nbad\n", status=1)

    assert b"1 record failed: stdin:2: there is no ':' after a key" in done.stderr


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(ottla):
    ottla.run("produce", "pipes", stdin=b"x" * 100 + b"\n" + b"y\n" * 100_000)
    shell = f"{' '.join(OTTLA)} consume pipes --from-beginning --exit-at-end | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        cwd=ottla.directory, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip

    assert done.stdout == b"x" * 100 + b"\n"
    assert done.stderr == b""
    assert done.returncode == 0


@pytest.mark.slow
def test_a_reader_that_leaves_ends_a_reading_that_waits_for_more(ottla):
    ottla.run("produce", "waiting", stdin=b"only one\n")
    shell = f"{' '.join(OTTLA)} consume waiting --from-beginning | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        cwd=ottla.directory, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, b"only one\n", b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topic", "partition", "cause"),
    [
        ("not a name", "0", b"a name has 1 to 249 letters"),
        ("refusing", "7", b"no partition refusing-7"),
    ],
)
def test_what_a_topic_refuses_is_not_counted_as_written(ottla, topic, partition, cause):
    ottla.run("topic", "create", "refusing", "--partitions", "1", "--if-not-exists")
    done = ottla.run("produce", topic, "--partition", partition, "--json", stdin=b"a\n", status=1)
    summary = json.loads(done.stdout)

    assert (summary["written"], summary["failed"]) == (0, 1)
    assert b"1 record failed: " in done.stderr
    assert cause in done.stderr


def test_a_line_too_long_for_a_record_is_told_by_its_place(ottla):
    done = ottla.run("produce", "long", stdin=b"a\n" + b"x" * 1_100_000 + b"\nb\n", status=1)

    assert b"2 records to long" in done.stderr
    assert b"stdin:2: 1,100,000 bytes, a record has at most 1,048,576" in done.stderr


@pytest.mark.slow
def test_a_dash_among_the_files_is_stdin(ottla, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("first\n")
    ottla.run(
        "produce", "dash", "--file", str(path), "--file", "-", "--partition", "0", stdin=b"second\n"
    )

    assert ottla.out("consume", "dash", "--from-beginning", "--exit-at-end") == "first\nsecond\n"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [("--exit-at-end",), ("--count", "1")])
def test_an_offset_after_the_end_is_refused_with_those_that_are_there(ottla, stop):
    ottla.run("topic", "create", "short", "--partitions", "1", "--if-not-exists")
    done = ottla.run("consume", "short", "--offset", "99", *stop, status=1)

    assert b"short-0 does not hold offset 99; its oldest is 0, its next will be 0" in done.stderr


@pytest.mark.slow
def test_a_topic_is_described_altered_and_deleted(ottla):
    ottla.run("topic", "create", "plans", "--partitions", "2", "--config", "retention.ms=1000")
    described = ottla.json("topic", "describe", "plans")["topics"][0]
    assert [len(p["replicas"]) for p in described["partitions"]] == [3, 3]
    assert described["config"]["retention.ms"] == "1000"
    assert described["config"]["min.insync.replicas"] == "2"

    ottla.run("topic", "alter", "plans", "--partitions", "3", "--config", "retention.ms=2000")
    described = ottla.json("topic", "describe", "plans")["topics"][0]
    assert len(described["partitions"]) == 3
    assert described["config"]["retention.ms"] == "2000"

    ottla.run("topic", "delete", "plans")
    assert "plans" not in [topic["name"] for topic in ottla.json("topic", "list")["topics"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (("topic", "create", "not a name"), "not a name"),
        (("topic", "create", "wide", "--replication-factor", "5"), "replication factor"),
        (("topic", "create", "odd", "--config", "no.such=1"), "no.such"),
        (("topic", "describe", "nowhere"), "nowhere"),
        (("topic", "delete", "nowhere"), "nowhere"),
        (("topic", "alter", "nowhere", "--partitions", "3"), "nowhere"),
        (("consume", "nowhere", "--exit-at-end"), "no topic 'nowhere': create it first"),
        pytest.param(
            ("consume", "nowhere", "--group", "g"),
            "no topic 'nowhere': create it first",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_the_cluster_refuses_is_one_line_with_the_cause(ottla, command, cause):
    error = ottla.run(*command, status=1).stderr.decode()

    assert error.count("\n") == 1
    assert error.startswith("ottla: error: ")
    assert cause in error.lower()


@pytest.mark.slow
def test_a_broker_is_killed_and_nothing_is_lost(tmp_path):
    with running_cluster(tmp_path) as ottla:
        ottla.run("topic", "create", "kept", "--partitions", "6")
        ottla.run("produce", "kept", stdin=b"".join(b"%d\n" % i for i in range(500)))
        killed = ottla.json("node", "kill", "2")
        assert killed == {"node": "2", "pid": ottla.node("2")["pid"], "outcome": "killed"}
        assert ottla.json("status", status=1)["nodes"][2]["state"] == "dead"
        ottla.run("produce", "kept", stdin=b"".join(b"%d\n" % i for i in range(500, 1000)))

        read = ottla.out("consume", "kept", "--from-beginning", "--exit-at-end")
        assert sorted(map(int, read.split())) == list(range(1000))

        ottla.run("node", "start", "2")
        ottla.run("node", "start", "2", status=4)
        assert ottla.node("2")["pid"] != killed["pid"]


@pytest.mark.slow
def test_a_node_is_paused_resumed_and_stopped(tmp_path):
    with running_cluster(tmp_path, "--brokers", "1") as ottla:
        ottla.run("node", "pause", "1")
        assert ottla.json("status", status=1)["nodes"][1]["state"] == "paused"
        assert "no broker answers" in ottla.out("status", status=1)
        for group in ((), ("--group", "g")):
            silent = ottla.run("consume", "t", "--timeout", "1", *group, status=1)
            assert b"nothing could be read within 1 s: no broker answers; see what" in silent.stderr
        refused = ottla.run("node", "start", "1", status=4)
        assert b"is paused; let it go on with 'ottla node resume 1'" in refused.stderr
        ottla.run("node", "resume", "1")
        assert ottla.json("status")["nodes"][1]["state"] == "running"
        ottla.run("node", "stop", "1")
        assert ottla.json("status", status=1)["nodes"][1]["state"] == "stopped"
        ottla.run("node", "kill", "1", status=3)
        ottla.run("node", "start", "1")
        ottla.run("node", "kill", "coordinator")
        ottla.run("node", "start", "coordinator")


@pytest.mark.slow
def test_a_cluster_carries_on_with_its_data(tmp_path):
    with running_cluster(tmp_path, "--brokers", "1", "--set", "num.partitions=4") as ottla:
        ottla.run("produce", "kept", stdin=b"before\n")
        before = ottla.json("status")
        stopped = ottla.json("down")["stopped"]
        ottla.run("down", status=3)
        ottla.run("up", "--detach")
        after = ottla.json("status")

        assert stopped == ["1", "coordinator"]
        assert after["cluster_id"] == before["cluster_id"]
        assert after["bootstrap"] == before["bootstrap"]
        assert after["partitions"] == 4
        assert ottla.out("consume", "kept", "--from-beginning", "--count", "1") == "before\n"


@pytest.mark.slow
def test_a_broker_that_cannot_start_is_told_with_its_last_word(tmp_path):
    (tmp_path / "ottla-data").mkdir()
    (tmp_path / "ottla-data" / "broker-1").write_text("a file, not a directory")
    done = CommandLine(tmp_path).run(
        "up", "--detach", "--port", "0", "--brokers", "1", "--set", "num.partitions=4", status=1
    )

    assert re.search(rb"^ottla: error: broker 1 has ended: .*broker-1", done.stderr)
    assert b"broker-1.log" in done.stderr
    status = CommandLine(tmp_path).json("status", status=3)
    assert status["nodes"][0]["state"] == "stopped"
    assert status["settings"] == [], "what a failed start was given would stop the next one too"


SIGNALS = [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]


@pytest.mark.parametrize("signum", SIGNALS)
def test_told_to_end_while_it_starts_it_leaves_nothing_behind(tmp_path, signum):
    process = subprocess.Popen(
        [
            *(*OTTLA, "up", "--port", "0", "--brokers", "1"),
            *("--set", "default.replication.factor=2"),  # never ready, for there is one broker
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        log = tmp_path / "ottla-data" / "logs" / "broker-1.log"
        for _ in range(600):
            if log.exists() and "event=registered" in log.read_text():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        process.send_signal(signum)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()

    assert (process.returncode, out, err) == (130, "", "")
    states = [node["state"] for node in CommandLine(tmp_path).json("status", status=3)["nodes"]]
    assert states == ["stopped", "stopped", "stopped"]


@pytest.mark.parametrize("signum", SIGNALS)
def test_in_the_foreground_a_signal_stops_everything(tmp_path, signum):
    process = subprocess.Popen(
        [*OTTLA, "up", "--port", "0", "--brokers", "1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[0].startswith("1 broker at 127.0.0.1:")
        assert sorted(line.split(" pid ")[0] for line in lines[1:]) == [
            "broker 1 running", "coordinator running", "registry running",
        ]  # fmt: skip
        pids = [node["pid"] for node in CommandLine(tmp_path).json("status")["nodes"]]
        process.send_signal(signum)
        _, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0
    assert err == "stopping ...\n"
    assert not [pid for pid in pids if identify(pid)]


@pytest.mark.slow
def test_in_the_foreground_down_from_elsewhere_ends_it(tmp_path):
    process = subprocess.Popen(
        [*OTTLA, "up", "--port", "0", "--brokers", "1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        process.stdout.readline()
        CommandLine(tmp_path).run("down")
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0


@pytest.fixture
def foreground(tmp_path):
    """Starts `ottla up` with one broker, and waits for the cluster. Gives the process."""
    started = []

    def start(**how) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*OTTLA, "up", "--port", "0", "--brokers", "1", "--no-registry"],
            cwd=tmp_path, text=True, **how,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    subprocess.run([*OTTLA, "down"], cwd=tmp_path, capture_output=True, check=False)
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def pids_of(directory) -> list[int]:
    return [node["pid"] for node in CommandLine(directory).json("status")["nodes"]]


@pytest.mark.slow
def test_when_the_terminal_goes_away_everything_is_stopped(tmp_path, foreground):
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run with nohup

    process = foreground(
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    while b"running" not in os.read(ours, 4096):
        pass
    pids = pids_of(tmp_path)

    os.close(ours)
    process.wait(TIMEOUT_S)

    assert len(pids) == 2
    assert not [pid for pid in pids if identify(pid)]


@pytest.mark.slow
def test_when_nobody_reads_its_lines_any_more_everything_is_stopped(tmp_path, foreground):
    process = foreground(stdout=subprocess.PIPE)
    process.stdout.readline()
    pids = pids_of(tmp_path)

    process.stdout.close()
    CommandLine(tmp_path).run("node", "kill", "1")  # it has something to say
    process.wait(TIMEOUT_S)

    assert len(pids) == 2
    assert not [pid for pid in pids if identify(pid)]


@pytest.mark.slow
def test_when_its_directory_is_gone_everything_is_stopped(tmp_path, foreground):
    process = foreground(stdout=subprocess.PIPE)
    process.stdout.readline()
    pids = pids_of(tmp_path)

    shutil.rmtree(tmp_path / "ottla-data")
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT_S)

    assert len(pids) == 2
    assert not [pid for pid in pids if identify(pid)]


@pytest.mark.slow
def test_with_nohup_a_hangup_stops_nothing(tmp_path, foreground):
    process = foreground(
        stdout=subprocess.PIPE, preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    )
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[-1].startswith("broker 1 running")

    process.send_signal(signal.SIGHUP)
    CommandLine(tmp_path).run("node", "kill", "1")
    assert process.stdout.readline().startswith("broker 1 dead")  # it still looks

    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT_S)
    assert process.returncode == 0


def test_a_key_need_not_be_utf_8(ottla):
    ottla.run("topic", "create", "raw-keys")
    ottla.run("produce", "raw-keys", "--key", b"\xff", stdin=b"value\n")

    read = ("consume", "raw-keys", "--from-beginning", "--exit-at-end", "--format", "msgpack")
    assert msgpack.unpackb(ottla.run(*read).stdout)["key"] == b"\xff"
