"""A member by confluent-kafka (librdkafka). Run as a program, see `program`."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.support.groups.program import (
    BATCH_RECORDS,
    POLL_S,
    MemberSpec,
    Orders,
    Progress,
    Reporter,
    run_program,
)


def config_of(spec: MemberSpec) -> dict[str, object]:
    config: dict[str, object] = {
        "bootstrap.servers": spec.bootstrap,
        "group.id": spec.group,
        "client.id": spec.name,
        "partition.assignment.strategy": spec.assignor,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": spec.session_timeout_ms,
        "heartbeat.interval.ms": spec.heartbeat_interval_ms,
        "topic.metadata.refresh.interval.ms": spec.metadata_max_age_ms,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "fetch.queue.backoff.ms": 10,
        # Where it starts to read and why, for when a run went wrong; see `Member.on_partition`.
        "debug": "cgrp,topic,fetch",
        "log_level": 7,
    }
    if spec.instance_id is not None:
        config["group.instance.id"] = spec.instance_id
    return config


class Member:
    """Consumes, reports and commits."""

    def __init__(self, spec: MemberSpec, reporter: Reporter) -> None:
        self._reporter = reporter
        self._progress = Progress(reporter)
        self._consumer = Consumer(config_of(spec))
        self._consumer.subscribe(
            [f"^{spec.pattern}"] if spec.pattern else list(spec.topics),
            on_assign=lambda _, partitions: reporter.assigned(names(partitions)),
            on_revoke=lambda _, partitions: self._give_up(names(partitions)),
            on_lost=lambda _, partitions: self._lose(names(partitions)),
        )

    def run(self, orders: Orders) -> None:
        while not orders.leave.is_set():
            messages = self._consumer.consume(BATCH_RECORDS, POLL_S)
            for message in messages:
                if (error := message.error()) is not None and not is_passing(error):
                    raise KafkaException(error)
            records = [
                (str(m.topic()), int(m.partition()), int(m.offset()))
                for m in messages
                if m.error() is None
            ]
            if records:
                self._progress.processed(records)
            self._commit(self._progress.of())
        self._consumer.close()

    def _commit(self, offsets: dict[tuple[str, int], int]) -> None:
        if not offsets:
            return
        wanted = [TopicPartition(topic, index, o) for (topic, index), o in offsets.items()]
        try:
            for outcome in self._consumer.commit(offsets=wanted, asynchronous=False):
                if outcome.error is not None:
                    raise KafkaException(outcome.error)
        except KafkaException as error:
            self._progress.ended(offsets, error)
        else:
            self._progress.ended(offsets, None)

    def _give_up(self, partitions: list[tuple[str, int]]) -> None:
        self._commit(self._progress.of(partitions))
        self._progress.forget(partitions)
        self._reporter.revoked(partitions)

    def _lose(self, partitions: list[tuple[str, int]]) -> None:
        self._progress.forget(partitions)
        self._reporter.lost(partitions)


def names(partitions: list[TopicPartition]) -> list[tuple[str, int]]:
    return [(partition.topic, partition.partition) for partition in partitions]


def is_passing(error: KafkaError) -> bool:
    """Say whether librdkafka goes on by itself after an error that it only mentions."""
    return not error.fatal()


def main(spec: MemberSpec, reporter: Reporter, orders: Orders) -> None:
    Member(spec, reporter).run(orders)


if __name__ == "__main__":
    run_program(main)
