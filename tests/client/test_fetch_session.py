"""What a request of a session has to name, so that the broker knows all that is wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.fetch_session import FetchedTopic, FetchSessionHandler
from protocol.api.fetch import FetchPartition, FetchRequest, FetchResponse
from protocol.errors import ErrorCode

ORDERS, EVENTS = FetchedTopic("orders", b"1" * 16), FetchedTopic("events", b"2" * 16)


@pytest.fixture
def session():
    return FetchSessionHandler()


def at(partition: int, offset: int = 0) -> FetchPartition:
    return FetchPartition(partition=partition, fetch_offset=offset)


def named(session: FetchSessionHandler) -> FetchRequest:
    request = FetchRequest()
    session.name(request)
    return request


def places(topics) -> list[tuple[str, int]]:
    return [
        (t.topic, p if isinstance(p, int) else p.partition) for t in topics for p in t.partitions
    ]


def granted(session: FetchSessionHandler, session_id: int = 7) -> FetchRequest:
    request = named(session)
    session.answered(FetchResponse(session_id=session_id))
    return request


def test_a_session_begins_with_everything_and_goes_on_with_what_changes(session):
    session.want(ORDERS, at(0))
    session.want(EVENTS, at(0))
    first = granted(session)
    assert (first.session_id, first.session_epoch) == (0, 0)
    assert places(first.topics) == [("orders", 0), ("events", 0)]

    session.want(ORDERS, at(0))
    session.want(EVENTS, at(0, 5))
    session.want(EVENTS, at(1))
    second = granted(session)
    assert (second.session_id, second.session_epoch) == (7, 1)
    assert places(second.topics) == [("events", 0), ("events", 1)]

    session.forget(ORDERS, 0)
    third = granted(session)
    assert (third.session_epoch, third.topics) == (2, [])
    assert places(third.forgotten_topics_data) == [("orders", 0)]
    assert named(session).forgotten_topics_data == []


def test_what_comes_back_before_it_was_forgotten_is_not_forgotten(session):
    session.want(ORDERS, at(0))
    granted(session)

    session.forget(ORDERS, 0)
    session.want(ORDERS, at(0, 3))

    request = named(session)
    assert places(request.topics) == [("orders", 0)]
    assert request.forgotten_topics_data == []


def test_without_a_session_everything_is_named_each_time(session):
    session.want(ORDERS, at(0))
    for _ in range(3):
        request = granted(session, session_id=0)
        assert (request.session_id, request.session_epoch) == (0, 0)
        assert places(request.topics) == [("orders", 0)]
    session.forget(ORDERS, 0)
    assert named(session).forgotten_topics_data == []


def test_a_lost_answer_ends_the_session_and_begins_another(session):
    session.want(ORDERS, at(0))
    granted(session)
    named(session)

    session.lost()

    request = named(session)
    assert (request.session_id, request.session_epoch) == (7, 0)
    assert places(request.topics) == [("orders", 0)]


def test_a_session_that_the_broker_does_not_know_is_not_named_again(session):
    session.want(ORDERS, at(0))
    granted(session)
    named(session)

    session.answered(FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND))

    request = named(session)
    assert (request.session_id, request.session_epoch) == (0, 0)
    assert places(request.topics) == [("orders", 0)]


def test_a_session_that_the_broker_ends_is_followed_by_a_new_one(session):
    session.want(ORDERS, at(0))
    granted(session)

    granted(session, session_id=0)

    assert (named(session).session_id, named(session).session_epoch) == (0, 0)


def test_a_session_is_ended_once_and_by_its_id(session):
    session.want(ORDERS, at(0))
    assert session.end() is None, "none was granted"
    granted(session)

    last = session.end()
    assert last is not None
    assert (last.session_id, last.session_epoch, last.topics) == (7, -1, [])
    assert session.end() is None
    anew = named(session)
    assert (anew.session_id, anew.session_epoch) == (0, 0)
    assert places(anew.topics) == [("orders", 0)]


def test_ids_and_names_have_sessions_of_their_own(session):
    session.want(ORDERS, at(0))
    granted(session)

    session.go_by(topic_ids=False)
    session.want_only({(FetchedTopic("orders"), 0): at(0)})

    request = named(session)
    assert (request.session_id, request.session_epoch) == (7, 0)
    assert [t.topic_id for t in request.topics] == [bytes(16)]
    assert request.forgotten_topics_data == []


def test_the_epoch_after_the_last_is_the_first_incremental_one(session):
    session.want(ORDERS, at(0))
    granted(session)
    session._epoch = 2**31 - 1

    granted(session)

    assert named(session).session_epoch == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("forget"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["fetch", "lose", "evict", "decline"])),
    )
)


@given(STEPS)
def test_a_broker_always_knows_what_is_wanted(steps):
    session, wanted = FetchSessionHandler(), {}
    known: dict[int, int] = {}
    broker_session, epoch, sessions = 0, 0, 0
    for kind, *facts in [*steps, ("fetch",), ("fetch",)]:
        if kind == "want":
            wanted[facts[0]] = facts[1]
            session.want(ORDERS, at(*facts))
        elif kind == "forget":
            wanted.pop(facts[0], None)
            session.forget(ORDERS, facts[0])
        elif kind == "evict":
            broker_session = 0
        else:
            request = named(session)
            if request.session_epoch == 0:
                known, sessions = {}, sessions + 1
                broker_session, epoch = (0 if kind == "decline" else sessions), 0
            elif broker_session == 0 or request.session_id != broker_session:
                session.answered(FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND))
                continue
            assert request.session_epoch == epoch
            epoch += 1
            for topic in request.topics:
                known.update({p.partition: p.fetch_offset for p in topic.partitions})
            for topic in request.forgotten_topics_data:
                for index in topic.partitions:
                    known.pop(index, None)  # what never came to a request is unknown
            assert known == wanted
            if kind == "lose":
                session.lost()
            else:
                session.answered(FetchResponse(session_id=broker_session))
