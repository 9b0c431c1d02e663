"""`ottla up` on a disk that is full at some moment: nothing is left running, the cause is told."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from commands.cluster_directory import HOST, Cluster, ClusterDirectory
from commands.end_signals import end_signals
from commands.launch import Launcher
from commands.plan import Wishes, plan
from commands.ports import find_free
from commands.up import start_cluster

ONE_BROKER = Wishes(brokers=1, port=0, registry=False)


class FullDisk(ClusterDirectory):
    """Has room to say what runs for so many times."""

    def __init__(self, path, *, saves: int) -> None:
        super().__init__(path)
        self._saves_left = saves
        self.told: list[Cluster] = []
        """All that it was to say, whether there was room or not."""

    def save(self, cluster: Cluster) -> None:
        self.told.append(cluster)
        if self._saves_left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._saves_left -= 1
        super().save(cluster)


@pytest.fixture(autouse=True)
def signals_as_before():
    """`ottla up` obeys signals from its start on, and this process goes on."""
    before = {signum: signal.getsignal(signum) for signum in end_signals()}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_what_was_started_is_stopped_where_the_disk_has_no_room_to_say_so(tmp_path, saves):
    directory = FullDisk(tmp_path / "data", saves=saves)

    with pytest.raises(OSError, match="No space left") as failed:
        start_cluster(directory, Launcher(directory), ONE_BROKER)

    assert failed.value.errno == errno.ENOSPC
    started = {node.process for cluster in directory.told for node in cluster.nodes} - {None}
    assert len(started) == saves
    assert not any(cluster.running for cluster in directory.told)


def test_a_node_that_was_started_is_stopped_where_the_disk_has_no_room_to_say_so(tmp_path):
    directory = FullDisk(tmp_path, saves=1)
    cluster = plan(None, ONE_BROKER, free_ports=find_free(HOST, 3))

    with pytest.raises(OSError, match="No space left"):
        Launcher(directory).start(cluster, cluster.brokers)

    assert directory.told[-1].brokers[0].process is not None
    assert not directory.told[-1].running
