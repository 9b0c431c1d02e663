"""Continuous idempotent acks=all load by librdkafka, and the check of what became of it.

Every partition gets the numbers 1, 2, 3, ... as values.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from chaos.checker import check
from chaos.history import Operation, Outcome, Partition, Polled, Sent

LINGER_MS = 2
PAUSE_S = 0.004
FLUSH_S = 60
READ_S = 60


@dataclass
class Acknowledged:
    """What was acknowledged of one partition."""

    offsets: dict[int, int | None] = field(default_factory=dict)
    """By value; None where librdkafka learnt that a record is there, but not where: it had sent it
    again, and was told no more than that it is a duplicate."""
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    last_at: float = 0.0
    longest_gap_s: float = 0.0

    def note(self, value: int, offset: int | None, now: float) -> None:
        if self.last_at:
            self.longest_gap_s = max(self.longest_gap_s, now - self.last_at)
        self.last_at = now
        self.offsets[value] = offset


class Load:
    """Produces from a thread until stopped."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        partitions: int = 3,
        first_partition: int = 0,
        pause_s: float = PAUSE_S,
    ) -> None:
        self.topic = topic
        self._pause_s = pause_s
        self.acknowledged = {i: Acknowledged() for i in range(first_partition, partitions)}
        self._bootstrap = bootstrap
        self._stopping = threading.Event()
        self._ended_by: KafkaException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "message.timeout.ms": 120_000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 200,
                "retry.backoff.ms": 20,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "log_level": 0,
            }
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no more and wait until all is acknowledged or has failed."""
        self._stopping.set()
        self._thread.join()
        self.check_runs()
        left = self._producer.flush(FLUSH_S)
        assert left == 0, f"{left} records are neither acknowledged nor failed"

    def abandon(self) -> None:
        """Send no more, drop what is on its way, and let go of the cluster.

        Another one may follow on the same ports, and must not get what was meant for this one.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._producer.purge()
        self._producer.flush(FLUSH_S)
        self._producer.close()

    def wait_acknowledged(self, count: int, *, timeout_s: float = 60) -> None:
        """Wait until every partition has had `count` more acknowledgements."""
        wanted = {i: len(a.offsets) + count for i, a in self.acknowledged.items()}
        deadline = time.monotonic() + timeout_s
        while any(len(self.acknowledged[i].offsets) < n for i, n in wanted.items()):
            self.check_runs()
            assert time.monotonic() < deadline, f"no acknowledgements: {self.summary()}"
            time.sleep(0.01)

    def check_runs(self) -> None:
        """Raises: AssertionError where it ended by itself: librdkafka took a record no more."""
        if self._ended_by is not None:
            raise AssertionError(f"the load has ended: {self.summary()}") from self._ended_by

    def reset_gaps(self) -> None:
        for one in self.acknowledged.values():
            one.longest_gap_s = 0.0

    @property
    def longest_gap_s(self) -> float:
        """The longest time that any partition went without an acknowledgement."""
        return max(one.longest_gap_s for one in self.acknowledged.values())

    def ends(self) -> dict[int, int]:
        """Return every partition's end offset, once stopped; no record may have failed."""
        for index, one in self.acknowledged.items():
            assert not one.failed, f"partition {index}: {one.failed[:3]}"
            assert len(one.offsets) == one.sent, f"partition {index}: {self.summary()}"
        # One record for each number, one offset for each record: where librdkafka was not told the
        # offset of the last one, it is known all the same.
        return {index: one.sent for index, one in self.acknowledged.items()}

    def summary(self) -> str:
        return ", ".join(
            f"{i}: {len(a.offsets)} of {a.sent} acknowledged" for i, a in self.acknowledged.items()
        )

    def _run(self) -> None:
        try:
            self._produce()
        except KafkaException as error:
            self._ended_by = error

    def _produce(self) -> None:
        while not self._stopping.is_set():
            for index, acknowledged in self.acknowledged.items():
                acknowledged.sent += 1
                self._send(index, acknowledged.sent)
            self._producer.poll(0)
            time.sleep(self._pause_s)

    def _send(self, index: int, value: int) -> None:
        acknowledged = self.acknowledged[index]

        def delivered(error, message):
            if error is not None:
                acknowledged.failed.append(f"{value}: {error}")
            else:
                acknowledged.note(value, message.offset(), time.monotonic())

        while True:
            try:
                self._producer.produce(
                    self.topic, str(value).encode(), partition=index, on_delivery=delivered
                )
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def check(self) -> None:
        """Read everything back and have it judged."""
        anomalies = check(self._history())
        assert not anomalies, "\n".join(map(str, anomalies))

    def _history(self) -> Iterator[Operation]:
        """Give what was sent and what is read; whatever is there is in the order it was sent in."""
        for index, acknowledged in self.acknowledged.items():
            assert not acknowledged.failed, acknowledged.failed[:3]
            place = Partition(self.topic, index)
            found = self._read(index)
            yield Polled("check", place, tuple((o, b"%d" % v) for o, v in found), 0.0, 0.0)
            there = {value: offset for offset, value in found}
            for value in range(1, acknowledged.sent + 1):
                is_known = value in acknowledged.offsets
                offset = acknowledged.offsets.get(value)
                if offset is None:  # where it is said to be is not known, where it is may be
                    offset = there.get(value)
                outcome = Outcome.OK if is_known or offset is not None else Outcome.UNKNOWN
                yield Sent("load", place, b"%d" % value, 0.0, 0.0, outcome, offset)

    def _read(self, index: int) -> list[tuple[int, int]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "check",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        consumer.assign([TopicPartition(self.topic, index, 0)])
        found: list[tuple[int, int]] = []
        deadline = time.monotonic() + READ_S
        try:
            while time.monotonic() < deadline:
                message = consumer.poll(1)
                if message is None:
                    continue
                if message.error() is None:
                    found.append((message.offset(), int(message.value())))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return found
                else:
                    raise AssertionError(message.error())
        finally:
            consumer.close()
        raise AssertionError(f"partition {index} could not be read to its end in {READ_S} s")
