"""kcat, the command line tool over librdkafka."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.interop


def run(kcat: str, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [kcat, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_come_back_as_they_went_in(compression, kcat, cluster, topic):
    lines = "".join(f"key{i % 3}:line {i}\n" for i in range(500))

    run(kcat, "-b", cluster.bootstrap, "-t", topic, "-P", "-K:", "-z", compression, stdin=lines)

    assert run(kcat, "-b", cluster.bootstrap, "-t", topic, "-C", "-e", "-q", "-K:") == lines


def test_it_lists_the_brokers_and_the_topic(kcat, cluster, topic):
    run(kcat, "-b", cluster.bootstrap, "-t", topic, "-P", stdin="one\n")

    listed = run(kcat, "-b", cluster.bootstrap, "-L")

    assert "3 brokers:" in listed
    assert "(controller)" in listed
    assert f'topic "{topic}" with 1 partitions:' in listed


def test_it_reads_from_an_offset_and_by_timestamp(kcat, cluster, topic):
    lines = "".join(f"{i}\n" for i in range(100))
    run(kcat, "-b", cluster.bootstrap, "-t", topic, "-P", stdin=lines)

    tail = run(kcat, "-b", cluster.bootstrap, "-t", topic, "-C", "-e", "-q", "-o", "90")
    assert tail.split() == [str(i) for i in range(90, 100)]
    found = run(kcat, "-b", cluster.bootstrap, "-Q", "-t", f"{topic}:0:1")
    assert "offset 0" in found
