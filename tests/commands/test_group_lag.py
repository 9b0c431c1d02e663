from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.group_descriptions import GroupMember
from client.records import OffsetAndMetadata, TopicPartition
from commands.group_lag import LogEnds, PartitionLag, lags_of, total

PLACE = TopicPartition("orders", 0)
OTHER = TopicPartition("audit", 3)
OFFSETS = st.integers(0, 2**63 - 1)


@given(OFFSETS, OFFSETS, OFFSETS)
def test_a_lag_is_never_negative_and_open_transactions_only_add_to_it(committed, stable, more):
    ends = LogEnds(0, stable, stable + more)
    lag = PartitionLag(PLACE, ends, OffsetAndMetadata(committed))

    assert 0 <= lag.stable_lag <= lag.high_watermark_lag
    assert lag.stable_lag == max(stable - committed, 0)


@given(OFFSETS)
def test_without_a_commit_or_an_end_no_lag_is_known(offset):
    assert PartitionLag(PLACE, LogEnds(0, offset, offset)).stable_lag is None
    assert PartitionLag(PLACE, LogEnds(), OffsetAndMetadata(offset)).stable_lag is None


def test_what_is_unknown_is_not_counted_as_nothing():
    assert total([3, None, 4]) == 7
    assert total([None]) is None
    assert total([]) is None


def test_all_that_was_committed_or_is_read_is_shown_once_and_in_order():
    reader = GroupMember("m", None, "app", "127.0.0.1", (PLACE,))
    committed = {PLACE: OffsetAndMetadata(5), OTHER: OffsetAndMetadata(1)}
    ends = {PLACE: LogEnds(0, 9, 9)}

    assert lags_of(committed, [reader], ends) == (
        PartitionLag(OTHER, LogEnds(), committed[OTHER], None),
        PartitionLag(PLACE, ends[PLACE], committed[PLACE], reader),
    )
    assert lags_of({}, [reader], ends) == (PartitionLag(PLACE, ends[PLACE], None, reader),)
