"""A follower of a leader whose log was compacted: gaps, and batches without records."""

from __future__ import annotations

import trio

from protocol.api.fetch import PartitionData
from protocol.batch import read_header, split_batches
from tests.broker.replication.played_leader import batch
from tests.support.compacted import keep_only

EPOCHS = (1, 1, 2, 2, 3, 3)
SIZE = 5
KEPT = (3, 7, 13, 29)
END = SIZE * len(EPOCHS)


def compacted_batches() -> list[bytes]:
    """Make a log of three epochs; what held [15, 20) is gone, the first of epoch 3 is empty."""
    made = [
        keep_only(bytes(batch(SIZE, base_offset=SIZE * i, leader_epoch=epoch)), KEPT)
        for i, epoch in enumerate(EPOCHS)
    ]
    del made[3]
    return made


async def test_a_follower_takes_gaps_and_empty_batches_over_as_they_are(
    leader, fetcher, follower, nursery, autojump_clock
):
    partition, batches = follower(), compacted_batches()
    leader.delay_s = 0.01

    def one_batch(*, partition_index: int) -> PartitionData:
        offset = leader.session[partition.topic_id, partition_index]
        data = next((b for b in batches if read_header(b).last_offset >= offset), b"")
        if not data:
            leader.delay_s = None  # it waits for more, as leaders do
        return PartitionData(
            partition_index=partition_index, records=memoryview(data), high_watermark=END
        )

    leader.answer = one_batch
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(5)

    log = partition.log
    assert log.log_end_offset == log.durable_end_offset == partition.high_watermark.value == END
    held = log.read(0, bytes_max=1 << 20, end_offset=END).read_bytes()
    assert [bytes(b) for _, b in split_batches(held, check_crc=True)] == batches
    asked = [offset for named in leader.named() for offset in named.values()]
    assert asked[:6] == [0, 5, 10, 15, 25, 30]
    assert set(asked[6:]) == {END}
    assert [log.end_offset_for_epoch(epoch) for epoch in (1, 2, 3)] == [(1, 10), (2, 20), (3, 30)]
    assert len(leader.asked) < 25
