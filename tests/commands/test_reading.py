from __future__ import annotations

import pytest
import trio

from client.records import ConsumerRecord, TopicPartition
from commands.failure import CommandFailed
from commands.patience import Patience
from commands.reading import Output, Reading, Stop

PLACE = TopicPartition("orders", 0)


class ScriptedConsumer:
    """Has what it was given; a poll returns it, or nothing when its time is over."""

    def __init__(self, *values: bytes) -> None:
        self.assignment: tuple[TopicPartition, ...] = (PLACE,)
        self.values = list(values)
        self.read = 0

    def position(self, place: TopicPartition) -> int:
        return self.read

    async def poll(self, *, max_records: int, timeout_s: float) -> list[ConsumerRecord]:
        taken = self.values[self.read : self.read + max_records]
        if not taken:
            await trio.sleep(timeout_s)
        records = [
            ConsumerRecord(*PLACE, self.read + n, 0, None, value, (), 0)
            for n, value in enumerate(taken)
        ]
        self.read += len(taken)
        return records


def reading(consumer, *, end=0, patience=None, decode=None, **stop):
    if patience is None:
        patience = Patience(None)
        patience.begin()
    return Reading(
        consumer,
        {PLACE: end},
        stop=Stop(**stop),
        output=Output(lambda record: record.value + b"\n", decode),
        patience=patience,
    )


async def test_all_up_to_the_end_is_written_and_then_it_is_over(autojump_clock, capfdbinary):
    await reading(ScriptedConsumer(b"1", b"2"), end=2, at_end=True).run()

    assert capfdbinary.readouterr().out == b"1\n2\n"


async def test_a_compacted_end_without_records_is_the_end(autojump_clock, capfdbinary):
    class Compacted(ScriptedConsumer):
        """Is handed no record at offsets 2 and 3: they are gone."""

        async def poll(self, *, max_records: int, timeout_s: float) -> list[ConsumerRecord]:
            if self.read != 2:
                return await super().poll(max_records=max_records, timeout_s=timeout_s)
            self.read = 4
            return []

    await reading(Compacted(b"1", b"2"), end=4, at_end=True).run()

    assert capfdbinary.readouterr().out == b"1\n2\n"
    assert trio.current_time() == 0


async def test_no_record_more_than_asked_for_is_taken(autojump_clock, capfdbinary):
    consumer = ScriptedConsumer(b"1", b"2", b"3")
    await reading(consumer, count=2).run()

    assert consumer.read == 2
    assert capfdbinary.readouterr().out == b"1\n2\n"


async def test_what_stands_before_a_record_that_cannot_be_decoded_is_written(
    autojump_clock, capfdbinary
):
    async def decode(record):
        if record.value == b"3":
            raise CommandFailed("no value")
        return record

    with pytest.raises(CommandFailed, match="no value"):
        await reading(ScriptedConsumer(b"1", b"2", b"3", b"4"), decode=decode).run()

    assert capfdbinary.readouterr().out == b"1\n2\n"


async def test_silence_ends_it_and_is_a_failure_where_records_were_counted_on(autojump_clock):
    await reading(ScriptedConsumer(), timeout_s=3).run()
    assert trio.current_time() == pytest.approx(3, abs=0.2)

    with pytest.raises(CommandFailed, match="only 1 record of 2 came in time"):
        await reading(ScriptedConsumer(b"1"), count=2, timeout_s=3).run()


async def test_nothing_is_over_while_the_group_decides_who_reads_what(
    autojump_clock, nursery, capfdbinary
):
    consumer = ScriptedConsumer()
    consumer.assignment = ()
    patience = Patience(None)

    @nursery.start_soon
    async def settle():
        await trio.sleep(5)
        consumer.assignment = (PLACE,)
        consumer.values.append(b"late")
        patience.begin()

    await reading(consumer, end=1, patience=patience, at_end=True).run()
    assert trio.current_time() >= 5
    assert capfdbinary.readouterr().out == b"late\n"


async def test_a_group_that_does_not_decide_in_time_is_given_up(autojump_clock):
    consumer = ScriptedConsumer()
    consumer.assignment = ()
    patience = Patience(3)

    async def read():
        async with patience.bounding():
            await reading(consumer, patience=patience, timeout_s=3).run()

    with pytest.raises(CommandFailed, match="nothing could be read within 3 s"):
        await read()
    assert trio.current_time() == pytest.approx(3, abs=0.2)


async def test_silence_counts_from_the_time_that_the_command_began_to_wait(autojump_clock):
    patience = Patience(3)
    await trio.sleep(2)
    patience.begin()

    await reading(ScriptedConsumer(), patience=patience, timeout_s=3).run()
    assert trio.current_time() == pytest.approx(3, abs=0.2)


async def test_a_member_without_a_partition_has_nothing_to_wait_for(autojump_clock):
    consumer = ScriptedConsumer()
    consumer.assignment = ()

    await reading(consumer, end=9, at_end=True).run()
