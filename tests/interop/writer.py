"""A producer that writes the same keys over and over, and knows what is to be left of it."""

from __future__ import annotations

from functools import partial

from confluent_kafka import KafkaError, Producer

from tests.interop.readers import Read

KEYS = 50
ROUNDS = 30


class Writer:
    """Writes keys over and over, and knows what stands at every offset that was acknowledged."""

    def __init__(self, bootstrap: str, topic: str, **settings: object) -> None:
        self.topic = topic
        self.written: dict[int, tuple[str, str | None]] = {}
        self.errors: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "batch.num.messages": 10,
                **settings,
            }
        )

    def write(self, records: dict[str, str | None]) -> None:
        """Write a value for each key, None to delete it; returns once all are acknowledged."""
        for key, value in records.items():
            self._producer.produce(
                self.topic, value, key, partition=0, on_delivery=partial(self._note, key, value)
            )
        assert self._producer.flush(30) == 0
        assert not self.errors

    def _note(self, key, value, error, message) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            assert message.offset() not in self.written, "an offset was given twice"
            self.written[message.offset()] = (key, value)

    @property
    def newest(self) -> dict[str, Read]:
        """Give the newest record of each key, tombstones included; from any thread."""
        written = self.written.copy()  # at once, while another thread may go on writing
        return {key: Read(at, key, value) for at, (key, value) in sorted(written.items())}

    @property
    def live(self) -> list[Read]:
        """Give what is to be left once all is compacted, in the order of the log."""
        return sorted(read for read in self.newest.values() if read.value is not None)


def value(key: str, number: int) -> str:
    return f"{key} for the {number}th time ".ljust(60 + number * 7 % 300, ".")


def write_over_and_over(writer: Writer) -> None:
    """Write, delete some keys and write them again, delete others; what comes last is deleted."""
    keys = [f"key-{i}" for i in range(KEYS)]
    for number in range(ROUNDS):
        writer.write({key: value(key, number) for key in keys})
        if number == ROUNDS // 2:
            writer.write(dict.fromkeys(keys[::7]))
    writer.write({key: value(key, ROUNDS) for key in keys[::3]})
    writer.write(dict.fromkeys(keys[::5]))
