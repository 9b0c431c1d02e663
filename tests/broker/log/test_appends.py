"""Laws of appending to one partition's log, as leader and as follower."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from broker.log.appends import Appended
from broker.log.config import LogConfig
from broker.log.errors import (
    InvalidProducerEpoch,
    InvalidRecord,
    InvalidTimestamp,
    LogDamaged,
    MessageTooLarge,
    NotContinuous,
    OutOfOrderSequence,
    RecordListTooLarge,
    TransactionsUnsupported,
)
from broker.log.log import Log
from protocol import batch as batches
from protocol.batch import BatchHeader, make_batch, read_header
from protocol.compression import Compression
from protocol.errors import CorruptBatch
from protocol.records import decode_batch
from tests.broker.log.logs import SMALL, TOPIC_ID, headers_of

# Appending as leader.


def test_a_leader_gives_offsets_and_its_epoch(log, batch_of):
    assert log.append_as_leader(batch_of(3), leader_epoch=5) == Appended(0, 2, -1, 0, False)
    assert log.append_as_leader(batch_of(2), leader_epoch=5) == Appended(3, 4, -1, 0, False)

    assert log.log_end_offset == 5
    assert [(h.base_offset, h.partition_leader_epoch) for h in headers_of(log)] == [(0, 5), (3, 5)]
    assert log.latest_epoch == 5


def test_a_producer_sends_one_batch_at_a_time(log, batch_of):
    with pytest.raises(InvalidRecord, match="more than one record batch for one partition"):
        log.append_as_leader(batch_of(3) + batch_of(1), leader_epoch=0)

    assert log.log_end_offset == 0


@pytest.mark.parametrize(
    "refuse", [lambda log, sent: log.append_as_leader(sent, leader_epoch=0), Log.demand_openable]
)
def test_of_many_batches_no_more_is_looked_at_than_it_takes_to_refuse_them(
    log, batch_of, monkeypatch, refuse
):
    looked_at = []
    read = batches.read_header
    monkeypatch.setattr(
        batches, "read_header", lambda view, at: looked_at.append(at) or read(view, at)
    )

    with pytest.raises(InvalidRecord, match="more than one record batch for one partition"):
        refuse(log, batch_of(1) * 1000)

    assert len(looked_at) == 2


def test_the_records_are_what_the_producer_sent(log, batch_of):
    sent = batch_of(3, value=b"abc", compression=Compression.ZSTD)

    log.append_as_leader(sent, leader_epoch=2)

    stored = log.read(0, bytes_max=1, end_offset=3).read_bytes()
    assert stored[16:] == sent[16:]
    assert [r.value for r in decode_batch(stored)] == [b"abc"] * 3


def damaged(batch):
    return batch[:-1] + bytes([batch[-1] ^ 1])


def changed(batch, **fields):
    return make_batch(replace(read_header(batch), **fields), batch[61:])


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (damaged, CorruptBatch),
        (lambda batch: batch[:-1], CorruptBatch),
        (lambda batch: b"", InvalidRecord),
        (lambda batch: changed(batch, record_count=1), InvalidRecord),
        (
            lambda batch: changed(batch, record_count=2**31 - 1, last_offset_delta=2**31 - 2),
            InvalidRecord,
        ),
        (lambda batch: changed(batch, record_count=20, last_offset_delta=19), InvalidRecord),
        (
            lambda batch: changed(
                batch, record_count=20_000_000, last_offset_delta=19_999_999, attributes=4
            ),
            InvalidRecord,
        ),
        (lambda batch: changed(batch, attributes=0x10), TransactionsUnsupported),
        (lambda batch: changed(batch, attributes=0x20), InvalidRecord),
        (lambda batch: changed(batch, attributes=0x40), InvalidRecord),
        (lambda batch: changed(batch, producer_id=5), InvalidRecord),
        (
            lambda batch: changed(batch, max_timestamp=1_700_000_000_000 + 3_600_001),
            InvalidTimestamp,
        ),
    ],
)
def test_a_bad_batch_is_refused_and_nothing_is_changed_by_it(log, batch_of, spoil, error):
    log.append_as_leader(batch_of(1), leader_epoch=1)

    with pytest.raises(error):
        log.append_as_leader(spoil(batch_of(2)), leader_epoch=1)

    assert log.log_end_offset == 1
    assert log.failed is None


def test_a_batch_over_the_limit_is_refused_and_one_at_it_is_not(open_log, batch_of):
    batch = batch_of(5)
    log = open_log(LogConfig(max_message_bytes=len(batch)))
    log.append_as_leader(batch, leader_epoch=0)

    log.reconfigure(LogConfig(max_message_bytes=len(batch) - 1))
    with pytest.raises(MessageTooLarge) as caught:
        log.append_as_leader(batch, leader_epoch=0)

    assert (caught.value.size_bytes, caught.value.accepted_bytes) == (len(batch), len(batch) - 1)


def test_a_request_larger_than_a_segment_is_refused(open_log, batch_of):
    log = open_log(LogConfig(segment_bytes=100))

    with pytest.raises(RecordListTooLarge):
        log.append_as_leader(batch_of(1, value=bytes(100)), leader_epoch=0)


def test_log_append_time_stamps_every_batch(open_log, batch_of, wall_ms):
    log = open_log(LogConfig(message_timestamp_type="LogAppendTime"))
    wall_ms.now_ms += 123_456

    appended = log.append_as_leader(batch_of(2), leader_epoch=0)
    log.append_as_leader(batch_of(1), leader_epoch=0)

    assert appended.log_append_time_ms == wall_ms.now_ms
    assert [h.max_timestamp for h in headers_of(log)] == [wall_ms.now_ms] * 2
    assert log.offset_for_timestamp(wall_ms.now_ms) == (0, wall_ms.now_ms, 0)
    assert log.offset_for_timestamp(wall_ms.now_ms + 1) is None


def test_timestamps_far_behind_are_refused_where_that_is_set(open_log, batch_of, wall_ms):
    log = open_log(LogConfig(message_timestamp_before_max_ms=1000))
    log.append_as_leader(batch_of(1, timestamp_ms=wall_ms.now_ms - 1000), leader_epoch=0)

    with pytest.raises(InvalidTimestamp, match="1001 ms behind"):
        log.append_as_leader(batch_of(1, timestamp_ms=wall_ms.now_ms - 1001), leader_epoch=0)


# Idempotence.


def test_a_batch_sent_twice_is_answered_with_its_first_offsets(log, batch_of):
    sent = [batch_of(2, producer_id=7, producer_epoch=0, base_sequence=i * 2) for i in range(6)]
    for batch in sent:
        log.append_as_leader(batch, leader_epoch=0)

    assert log.append_as_leader(sent[1], leader_epoch=0) == Appended(2, 3, -1, 0, True)
    with pytest.raises(OutOfOrderSequence):
        log.append_as_leader(sent[0], leader_epoch=0)
    assert log.log_end_offset == 12


def test_a_batch_sent_twice_is_answered_with_the_time_that_it_was_given(
    open_log, batch_of, disk, root, wall_ms
):
    config = LogConfig(message_timestamp_type="LogAppendTime")
    log = open_log(config)
    sent = [batch_of(2, producer_id=7, producer_epoch=0, base_sequence=i * 2) for i in range(2)]
    given_ms = wall_ms.now_ms
    first = log.append_as_leader(sent[0], leader_epoch=0)
    assert first == Appended(0, 1, given_ms, 0, False)
    copy = Log.create(disk, f"{root}/copy-0", config, topic_id=TOPIC_ID, wall_ms=wall_ms)
    copy.append_as_follower(log.segments[0].file.read(0, log.size_bytes))
    wall_ms.now_ms += 1000

    def again():
        return log.append_as_leader(sent[0], leader_epoch=0)

    assert again() == first._replace(duplicate=True)
    assert copy.append_as_leader(sent[0], leader_epoch=0) == first._replace(duplicate=True)
    for clean in (True, False):  # from a snapshot, and from the batches
        log.close(clean=clean)
        log = open_log(config, clean=clean)
        assert again() == first._replace(duplicate=True)
    log.reconfigure(LogConfig())
    assert again() == first._replace(duplicate=True)
    assert log.append_as_leader(sent[1], leader_epoch=0).log_append_time_ms == -1


def test_duplicates_are_known_after_restarts_truncation_and_on_followers(
    open_log, batch_of, disk, root, wall_ms
):
    sent = [batch_of(3, producer_id=7, producer_epoch=1, base_sequence=i * 3) for i in range(60)]
    log = open_log()
    for batch in sent:
        log.append_as_leader(batch, leader_epoch=0)
    assert len(log.segments) == 3
    copy = Log.create(disk, f"{root}/copy-0", SMALL, topic_id=TOPIC_ID, wall_ms=wall_ms)
    copy.append_as_follower(b"".join(s.file.read(0, s.size_bytes) for s in log.segments))
    log.close()

    for reopened in (open_log(), open_log(clean=False), copy):
        assert reopened.append_as_leader(sent[58], leader_epoch=0) == (174, 176, -1, 0, True)
        with pytest.raises(InvalidProducerEpoch):
            reopened.append_as_leader(
                batch_of(1, producer_id=7, producer_epoch=0, base_sequence=180), leader_epoch=0
            )

    log = open_log()
    log.truncate_to(90)
    assert log.append_as_leader(sent[29], leader_epoch=0).duplicate
    assert log.append_as_leader(sent[30], leader_epoch=0) == (90, 92, -1, 0, False)


def test_an_idle_producer_is_forgotten_by_retention(log, batch_of, wall_ms):
    log.append_as_leader(
        batch_of(1, producer_id=7, producer_epoch=0, base_sequence=0), leader_epoch=0
    )
    wall_ms.now_ms += SMALL.producer_id_expiration_ms

    log.apply_retention(0)

    assert len(log.producers) == 0


# Appending as follower.


def test_a_follower_takes_offsets_and_epochs_as_they_are(log, batch_of):
    sent = (
        batch_of(3, base_offset=0, leader_epoch=1)
        + batch_of(1, base_offset=3, leader_epoch=4)
        + batch_of(2, base_offset=9, leader_epoch=4)  # compaction has left a gap
    )

    assert log.append_as_follower(sent) == 11

    assert log.read(0, bytes_max=1 << 20, end_offset=11).read_bytes() == sent
    assert log.end_offset_for_epoch(1) == (1, 3)
    assert log.end_offset_for_epoch(4) == (4, 11)


@pytest.mark.parametrize(("base_offset", "epoch"), [(2, 3), (0, 3), (3, 2)])
def test_a_follower_refuses_what_goes_back(log, batch_of, base_offset, epoch):
    log.append_as_follower(batch_of(3, base_offset=0, leader_epoch=3))

    with pytest.raises(NotContinuous):
        log.append_as_follower(
            batch_of(1, base_offset=3, leader_epoch=3)
            + batch_of(1, base_offset=base_offset, leader_epoch=epoch)
        )

    assert log.log_end_offset == 3


def test_a_follower_refuses_batches_that_no_segment_holds_together(log, batch_of):
    far = [batch_of(1, base_offset=base, leader_epoch=3) for base in (2**30, 2**31 - 1, 2**31)]

    with pytest.raises(NotContinuous, match="offset 2147483648 is too far from -1"):
        log.append_as_follower(b"".join(far))
    log.append_as_follower(b"".join(far[:2]))
    log.append_as_follower(far[2])

    assert [h.base_offset for h in headers_of(log)] == [2**30, 2**31 - 1, 2**31]


def test_a_follower_refuses_an_epoch_that_its_leader_cannot_know(log, batch_of):
    log.append_as_follower(batch_of(3, base_offset=0, leader_epoch=3), leader_epoch=4)

    with pytest.raises(NotContinuous, match="claims leader epoch 5, and comes from the leader of"):
        log.append_as_follower(batch_of(1, base_offset=3, leader_epoch=5), leader_epoch=4)

    assert (log.log_end_offset, log.latest_epoch, log.failed) == (3, 3, None)


def test_no_epoch_begins_before_that_of_the_last_record(log, batch_of):
    log.append_as_follower(batch_of(3, base_offset=0, leader_epoch=4101))

    with pytest.raises(LogDamaged, match="last records are of leader epoch 4101"):
        log.start_epoch(7)

    assert log.failed is not None


def test_an_epoch_without_records_gives_way_to_an_earlier_one(log, batch_of):
    log.append_as_follower(batch_of(3, base_offset=0, leader_epoch=5))
    log.start_epoch(9)
    log.start_epoch(7)

    assert log.latest_epoch == 7


def test_a_follower_refuses_damaged_batches(log, batch_of):
    with pytest.raises(CorruptBatch):
        log.append_as_follower(damaged(batch_of(3, base_offset=0, leader_epoch=3)))

    assert log.log_end_offset == 0


def test_a_batch_with_all_producer_fields_survives_unchanged(log, batch_of):
    header = BatchHeader(0, 0, 3, 2, 0, 0, 0, 5, 5, 77, 6, 0, 1)
    log.append_as_follower(make_batch(header, batch_of(1)[61:]))

    (stored,) = headers_of(log)

    assert (stored.producer_id, stored.producer_epoch, stored.base_sequence) == (77, 6, 0)
