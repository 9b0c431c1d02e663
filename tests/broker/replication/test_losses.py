"""A follower whose log lacks durable records: what it fetches again, and what it drops first."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from broker.replication.following import append_from_leader
from protocol.api.fetch import PartitionData
from tests.broker.replication.played_leader import LEADER, TOPIC_ID, US, batch, led_by

OUT_OF_SYNC = (LEADER, 3)
COMPACTED = {"cleanup.policy": "compact"}


@pytest.fixture
def lossy(leader, follower):
    """Make a replica that holds three records, and has lost what came after them."""

    def make(isr: tuple[int, ...], **settings: str):
        partition = follower(**settings)
        append_from_leader(partition, batch(3, base_offset=0, leader_epoch=3), leader_epoch=3)
        partition.losses.found()
        partition.apply(led_by(LEADER, leader_epoch=4, isr=isr), broker_epoch=7, min_isr=1)
        return partition

    leader.epochs_end = 8
    return make


def first_asked(leader) -> int | None:
    """Give the first offset that the leader was asked for."""
    return next((offset for named in leader.named() for offset in named.values()), None)


async def test_a_compacted_log_begins_anew(leader, fetcher, lossy, nursery, autojump_clock):
    partition = lossy(OUT_OF_SYNC, **COMPACTED)
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    assert first_asked(leader) == 0
    assert partition.log.log_end_offset == 0
    assert partition.losses.any, "until it has caught up"


async def test_any_other_log_keeps_what_it_has(leader, fetcher, lossy, nursery, autojump_clock):
    partition = lossy(OUT_OF_SYNC)
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1)

    assert first_asked(leader) == partition.log.log_end_offset == 3


async def test_nothing_is_dropped_before_somebody_else_is_seen_to_have_it(
    leader, fetcher, lossy, nursery, autojump_clock
):
    leader.epochs_end = None
    partition = lossy(OUT_OF_SYNC, **COMPACTED)
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(10)

    assert first_asked(leader) is None
    assert partition.log.log_end_offset == 3
    assert partition.losses.any


@pytest.mark.parametrize("elr", [(), (US,)])
async def test_nothing_is_dropped_while_it_is_counted_on(
    leader, fetcher, lossy, nursery, autojump_clock, elr
):
    partition = lossy((US, LEADER, 3), **COMPACTED)
    if elr:
        eligible = replace(led_by(LEADER, leader_epoch=5, isr=OUT_OF_SYNC), elr=elr)
        partition.apply(eligible, broker_epoch=7, min_isr=1)
    fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(10)
    assert first_asked(leader) is None, "it could be counted on further"
    assert partition.log.log_end_offset == 3

    out_of_sync = replace(partition.state, isr=OUT_OF_SYNC, elr=(), partition_epoch=6)
    partition.apply(out_of_sync, broker_epoch=7, min_isr=1)
    await trio.sleep(2)

    assert first_asked(leader) == partition.log.log_end_offset == 0


@pytest.fixture
def copying(leader, fetcher, lossy, nursery):
    """Have a replica copy what the leader has from the beginning, as far as offset 8."""

    async def copy():
        partition = lossy(OUT_OF_SYNC, **COMPACTED)
        await partition.durable.wait_reached(3)

        def all_of_it(*, partition_index: int) -> PartitionData:
            wanted = leader.session[TOPIC_ID, partition_index]
            leader.delay_s = 0.01 if wanted == 0 else None
            data = batch(8, base_offset=0, leader_epoch=4) if wanted == 0 else None
            return PartitionData(partition_index, records=data, high_watermark=8)

        leader.answer = all_of_it
        fetcher.follow(partition)
        nursery.start_soon(fetcher.run)
        await trio.sleep(1)
        assert partition.log.durable_end_offset == partition.high_watermark.value == 8
        return partition

    return copy


async def test_what_the_leader_has_taken_in_is_kept(fetcher, copying, autojump_clock):
    partition = await copying()
    joined = led_by(LEADER, leader_epoch=4)

    partition.apply(replace(joined, partition_epoch=5), broker_epoch=7, min_isr=1)

    assert not partition.losses.any
    partition.apply(led_by(LEADER, leader_epoch=6, isr=OUT_OF_SYNC), broker_epoch=7, min_isr=1)
    fetcher.follow(partition)
    await trio.sleep(1)
    assert partition.log.log_end_offset == 8


async def test_a_copy_of_two_leaders_is_begun_anew(leader, fetcher, copying, autojump_clock):
    partition = await copying()
    partition.apply(led_by(LEADER, leader_epoch=5, isr=OUT_OF_SYNC), broker_epoch=7, min_isr=1)
    leader.asked.clear()

    fetcher.follow(partition)
    await trio.sleep(1)

    assert first_asked(leader) == 0


async def test_who_leads_lacks_nothing(lossy):
    partition = lossy(OUT_OF_SYNC, **COMPACTED)

    partition.apply(led_by(US, leader_epoch=5, isr=(US,)), broker_epoch=7, min_isr=1)

    assert not partition.losses.any
