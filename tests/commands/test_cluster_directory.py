from __future__ import annotations

import errno
import json

import pytest

from commands.cluster_directory import Cluster, ClusterDirectory, Node
from commands.failure import CommandFailed, ExitStatus
from commands.process import Identity

CLUSTER = Cluster(
    (
        Node("coordinator", 9192, Identity(10, "boot:1"), "2026-01-01T00:00:00+00:00"),
        Node("1", 9092, Identity(11, "boot:2"), "2026-01-01T00:00:00+00:00"),
        Node("2", 9093),
    ),
    settings=("num.partitions=4",),
)


def test_what_is_saved_is_loaded(tmp_path):
    directory = ClusterDirectory(tmp_path)
    directory.save(CLUSTER)

    assert directory.load() == CLUSTER


def test_scripts_find_addresses_pids_and_ports(tmp_path):
    directory = ClusterDirectory(tmp_path)
    directory.save(CLUSTER)
    facts = json.loads((tmp_path / "cluster.json").read_text())

    assert facts["bootstrap"] == "127.0.0.1:9092,127.0.0.1:9093"
    assert facts["coordinator"] == "127.0.0.1:9192"
    assert [(n["role"], n["id"], n["pid"], n["port"]) for n in facts["nodes"]] == [
        ("coordinator", None, 10, 9192),
        ("broker", 1, 11, 9092),
        ("broker", 2, None, 9093),
    ]
    assert facts["nodes"][1]["data"] == str(tmp_path / "broker-1")
    assert facts["nodes"][1]["log"] == str(tmp_path / "logs" / "broker-1.log")


def test_no_cluster_is_a_status_of_its_own_and_names_the_next_step(tmp_path):
    with pytest.raises(
        CommandFailed, match=f"no cluster in .*; start one with 'ottla up --data {tmp_path}'"
    ) as caught:
        ClusterDirectory(tmp_path).load()
    assert caught.value.exit_status is ExitStatus.NOT_RUNNING


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "nodes": 3}']
)
def test_a_damaged_file_is_told_and_not_guessed_at(tmp_path, text):
    (tmp_path / "cluster.json").write_text(text)

    with pytest.raises(CommandFailed, match="cannot be understood"):
        ClusterDirectory(tmp_path).load()


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    directory = ClusterDirectory(tmp_path)
    directory.save(CLUSTER)
    (tmp_path / "cluster.json.tmp").mkdir()

    with pytest.raises(IsADirectoryError):
        directory.save(CLUSTER.with_node(Node("2", 1)))
    assert directory.load() == CLUSTER


def test_a_full_disk_names_the_file_that_has_no_room(tmp_path):
    directory = ClusterDirectory(tmp_path)
    directory.save(CLUSTER)
    (tmp_path / "cluster.json.tmp").symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"No space left on device: .*/cluster\.json'") as caught:
        directory.save(CLUSTER.with_node(Node("2", 1)))
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "cluster.json.tmp").is_symlink()
    assert directory.load() == CLUSTER


def test_two_commands_do_not_change_a_cluster_at_once(tmp_path):
    first, second = ClusterDirectory(tmp_path), ClusterDirectory(tmp_path)

    with (
        first.changing(),
        pytest.raises(CommandFailed, match="another command"),
        second.changing(),
    ):
        pass
    with second.changing():
        pass
