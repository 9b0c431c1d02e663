"""An outsider that reads a group's committed offsets again and again, and joins nothing."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.support.groups.events import Observed, Partition

ASK_TIMEOUT_S = 5.0
PAUSE_S = 0.1
FINAL_TIMEOUT_S = 60.0


class Observer:
    """Asks from a thread until stopped, one request after another; partitions may be added."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self.partitions: list[Partition] = []
        self.observed: list[Observed] = []
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0}
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def look_last(self) -> None:
        """Stop, and ask once more, until that succeeds."""
        self._halt()
        deadline = time.monotonic() + FINAL_TIMEOUT_S
        while not self._ask():
            assert time.monotonic() < deadline, "the committed offsets cannot be read"
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """Stop, and go."""
        self._halt()
        self._consumer.close()

    def _halt(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            self._ask()

    def _ask(self) -> bool:
        """Read all of them. Returns: whether that succeeded; during a failover it may not."""
        wanted = [TopicPartition(*partition) for partition in list(self.partitions)]
        if not wanted:
            return True
        try:
            found = self._consumer.committed(wanted, timeout=ASK_TIMEOUT_S)
        except KafkaException:
            return False
        if any(one.error is not None for one in found):
            return False
        self.observed.extend(
            # A partition that nothing was committed of has a negative number.
            Observed(Partition(one.topic, one.partition), max(one.offset, 0))
            for one in found
        )
        return True
