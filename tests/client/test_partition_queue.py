from __future__ import annotations

import random

import pytest

from client.backoff import Backoff
from client.delivery import Batch
from client.errors import WaitTimedOut
from client.identity import ProducerIdentity
from client.partition_queue import PartitionQueue, SequenceLost
from client.records import TopicPartition

PLACE = TopicPartition("orders", 0)
CAUSE = WaitTimedOut("a test", 1, last_cause=None)
BROKER = 1


@pytest.fixture
def settled():
    return []


@pytest.fixture
def queue(settled):
    queue = PartitionQueue(
        PLACE, in_flight_max=5, backoff=Backoff(random.Random(1)), settled=settled.append
    )
    queue.adopt(ProducerIdentity(1000, 0))
    return queue


def put(queue, *counts):
    batches = []
    for count in counts:
        batch = queue.open = Batch(PLACE, opened_at=0.0)
        for _ in range(count):
            batch.builder.append(0, None, b"value")
        queue.close_open()
        batches.append(batch)
    return batches


def send_all(queue):
    sent = []
    while queue.may_send:
        sent.append(queue.take(BROKER))
    return sent


def greet(queue):
    """Have the broker know the producer id, so that the window is open."""
    put(queue, 1)
    (batch,) = send_all(queue)
    queue.complete(batch, base_offset=0, log_append_time_ms=-1)


def test_the_first_batch_of_a_producer_id_goes_alone_then_five_are_in_flight(queue):
    put(queue, *[1] * 9)

    assert len(send_all(queue)) == 1
    queue.complete(next(queue.batches()), base_offset=0, log_append_time_ms=-1)
    assert len(send_all(queue)) == 5


def test_sequence_numbers_follow_the_order_of_sending(queue):
    greet(queue)
    put(queue, 3, 4, 1)

    assert [batch.base_sequence for batch in send_all(queue)] == [1, 4, 8]


def test_sequence_numbers_wrap(queue):
    queue._next_sequence = 2**31 - 2
    greet(queue)
    put(queue, 3, 1)

    assert [batch.base_sequence for batch in send_all(queue)] == [2**31 - 1, 2]


def test_a_retry_waits_for_those_behind_it_and_all_keep_order_and_sequence(queue):
    greet(queue)
    first, second, third = put(queue, 1, 1, 1)
    send_all(queue)

    queue.retry(second, CAUSE, in_doubt=False, now=0.0)
    assert not queue.may_send
    queue.retry(first, CAUSE, in_doubt=False, now=0.0)
    assert not queue.may_send
    queue.retry(third, CAUSE, in_doubt=False, now=0.0)

    assert queue.retry_at > 0
    assert send_all(queue) == [first, second, third]
    assert [batch.base_sequence for batch in (first, second, third)] == [1, 2, 3]


def test_nothing_new_is_sent_until_all_that_goes_again_is_settled(queue):
    greet(queue)
    (first,) = put(queue, 1)
    send_all(queue)
    queue.retry(first, CAUSE, in_doubt=True, now=0.0)
    (new,) = put(queue, 1)

    assert send_all(queue) == [first]
    queue.complete(first, base_offset=1, log_append_time_ms=-1)
    assert send_all(queue) == [new]


def test_what_was_acknowledged_is_not_sent_again_with_the_rest(queue, settled):
    greet(queue)
    first, second = put(queue, 1, 1)
    send_all(queue)

    queue.retry(first, CAUSE, in_doubt=True, now=0.0)
    queue.complete(second, base_offset=7, log_append_time_ms=-1)

    assert send_all(queue) == [first]
    assert settled[-1] is second


def test_after_a_failure_what_was_never_sent_gets_numbers_of_a_new_producer_id(queue):
    greet(queue)
    first, second = put(queue, 2, 3)
    send_all(queue)
    spent = queue.identity

    queue.fail(first, CAUSE)
    assert queue.is_behind(second)
    queue.retry(second, CAUSE, in_doubt=False, now=0.0)

    assert (queue.identity, queue.spent_identity) == (None, spent)
    queue.adopt(ProducerIdentity(2000, 0))
    (sent,) = send_all(queue)
    assert sent is second
    assert (sent.identity.producer_id, sent.base_sequence) == (2000, 0)


def test_after_a_failure_what_may_have_been_written_fails_rather_than_be_doubled(queue, settled):
    greet(queue)
    first, second = put(queue, 2, 3)
    send_all(queue)

    queue.retry(second, CAUSE, in_doubt=True, now=0.0)
    queue.fail(first, CAUSE)

    assert settled[-2:] == [first, second]
    assert isinstance(second.failure.cause, SequenceLost)
    assert second.failure.may_be_written
    assert queue.is_idle


def test_a_split_batch_is_sent_as_halves_with_the_same_numbers(queue):
    greet(queue)
    whole, behind = put(queue, 5, 1)
    send_all(queue)

    queue.split(whole)
    assert queue.is_behind(behind)
    queue.retry(behind, CAUSE, in_doubt=False, now=0.0)

    sent = send_all(queue)
    assert [(len(batch), batch.base_sequence) for batch in sent] == [(2, 1), (3, 3), (1, 6)]


def test_a_batch_that_was_never_sent_leaves_no_gap_when_it_fails(queue):
    greet(queue)
    first, second = put(queue, 1, 1)

    queue.fail(first, CAUSE)

    assert queue.identity is not None
    assert send_all(queue) == [second]
    assert second.base_sequence == 1


def test_only_old_batches_that_no_broker_has_expire(queue):
    greet(queue)
    sent, _waiting = put(queue, 1, 1)
    queue.take(BROKER)
    (young,) = put(queue, 1)
    young.opened_at = 100.0

    assert sent not in queue.expired(50.0)
    assert queue.expired(50.0) == [_waiting]
