"""What each service makes of events, and that a crash changes nothing of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.social.feed import POSTS_KEPT, Feed
from examples.social.messages import GREETING, Messages
from examples.social.notifications import Notifications
from examples.social.people import PEOPLE, readers_of
from examples.social.trending import LATENESS_MS, WINDOW_MS, Trending
from examples.social.view import View
from tests.examples.events import apply_all, like, message, post, reborn, streams

LOGICS = [Feed, Notifications, Messages, Trending]


@pytest.mark.parametrize("make", LOGICS)
@given(stream=streams(), crashes=st.sets(st.integers(0, 40)))
def test_a_service_that_crashes_says_the_same_as_one_that_does_not(make, stream, crashes):
    steady, shaky = make(), make()
    for number, (event, partition) in enumerate(stream):
        if number in crashes:
            lost = reborn(shaky)  # read again from the state of before
            lost.apply(event, partition)
            shaky = reborn(shaky)
        assert shaky.apply(event, partition) == steady.apply(event, partition)

    assert shaky.plain() == steady.plain()


@given(stream=streams(), again=st.integers(0, 40))
def test_a_view_that_is_told_again_shows_nothing_twice(stream, again):
    told = [
        result
        for make in LOGICS
        for logic in [make()]
        for event, partition in stream
        for result in logic.apply(event, partition)
    ]
    once, twice = View(), View()
    for result in told:
        once.apply(result.topic, result.value)
    for result in [*told[:again], *told]:
        twice.apply(result.topic, result.value)

    for user in PEOPLE:
        assert twice.feed_of(user) == once.feed_of(user)
        assert twice.messages_of(user) == once.messages_of(user)
        assert twice.notifications_of(user) == once.notifications_of(user)
    assert twice.trending() == once.trending()


def test_a_post_reaches_its_author_and_all_who_follow_and_nobody_else():
    results = apply_all(Feed(), post(user="oskar"))

    assert {result.key for result in results} == set(readers_of("oskar"))
    assert "mira" not in readers_of("oskar")
    assert {"you", "teo", "lin", "oskar"} == set(readers_of("oskar"))


def test_a_like_is_counted_once_for_each_person():
    results = apply_all(
        Feed(), post(), like(2, user="teo"), like(3, user="teo"), like(4, user="lin")
    )

    assert results[-1].value["liked_by"] == ["teo", "lin"]


def test_a_like_of_what_nobody_posted_changes_no_feed():
    assert apply_all(Feed(), like(2)) == []


def test_the_feed_keeps_a_bounded_number_of_posts():
    feed = Feed()
    apply_all(feed, *(post(f"run:{number}") for number in range(POSTS_KEPT + 5)))

    assert len(feed.plain()["posts"]) == POSTS_KEPT
    assert apply_all(feed, like(9_999, "run:0")) == []


def test_every_event_has_a_receipt_and_one_that_is_seen_twice_is_told():
    feed = Feed()
    apply_all(feed, post("run:1"), like(2), message(4), like(2))

    (receipt,) = feed.summaries()
    assert receipt.value == {
        "run": "run",
        "ranges": [{"first": 1, "last": 2}, {"first": 4, "last": 4}],
        "twice": 1,
    }
    assert feed.summaries() == []


def test_an_author_hears_of_the_first_like_of_each_other_person():
    results = apply_all(
        Notifications(), post(), like(2, user="teo"), like(3, user="teo"), like(4, user="mira")
    )

    assert [(each.value["user_id"], each.value["liker"]) for each in results] == [("mira", "teo")]


def test_messages_are_numbered_in_their_conversation_from_both_sides():
    results = apply_all(
        Messages(),
        message(1, user="mira", to="teo"),
        message(2, user="teo", to="mira"),
        message(3, user="teo", to="lin"),
    )

    assert [(each.key, each.value["number"]) for each in results] == [
        ("mira~teo", 1),
        ("mira~teo", 2),
        ("lin~teo", 1),
    ]


def test_two_who_like_each_other_s_posts_begin_to_talk_and_only_once():
    messages = Messages()
    nothing = apply_all(
        messages,
        post("run:1", user="mira"),
        post("run:2", user="teo"),
        like(3, "run:1", user="teo"),
    )
    (greeting,) = apply_all(messages, like(4, "run:2", user="mira"))

    assert nothing == []
    assert (greeting.value["sender"], greeting.value["recipient"]) == ("mira", "teo")
    assert greeting.value["text"] == GREETING
    assert apply_all(messages, like(5, "run:1", user="teo"), like(6, "run:2", user="mira")) == []


def test_a_window_is_told_once_an_event_is_later_than_its_end_and_the_lateness():
    trending = Trending()
    end = WINDOW_MS
    early = apply_all(
        trending,
        like(1, "run:7", at=10),
        like(2, "run:7", user="lin", at=end - 1),
        like(3, "run:8", at=end - 1),
        like(4, "run:8", at=end),  # the next window's
        like(5, "run:8", user="juna", at=end + LATENESS_MS - 1),
    )
    (window,) = apply_all(trending, post("run:9", at=end + LATENESS_MS))

    assert early == []
    assert window.value["posts"] == [
        {"post_id": "run:7", "likes": 2},
        {"post_id": "run:8", "likes": 1},
    ]


def test_a_like_out_of_order_counts_within_the_lateness_and_is_late_beyond():
    trending = Trending()
    after = WINDOW_MS + LATENESS_MS
    apply_all(trending, like(1, at=after - 1), like(2, "run:7", at=5))
    (first,) = apply_all(trending, like(3, at=after))
    apply_all(trending, like(4, "run:7", at=6))
    (second,) = apply_all(trending, post("run:9", at=2 * WINDOW_MS + LATENESS_MS))

    assert first.value["posts"] == [{"post_id": "run:7", "likes": 1}]
    assert (first.value["late"], second.value["late"]) == (0, 1)


def test_partitions_do_not_wait_for_each_other():
    trending = Trending()
    trending.apply(like(1, at=0), 0)
    trending.apply(like(2, "run:2", at=0), 1)

    (window,) = trending.apply(post("run:3", at=WINDOW_MS + LATENESS_MS), 1)

    assert window.value["partition"] == 1


def test_the_view_puts_the_partitions_of_a_window_together():
    trending, view = Trending(), View()
    for partition in (0, 1):
        for event in (
            like(partition, f"run:{partition}", at=0),
            post("run:9", at=WINDOW_MS + LATENESS_MS),
        ):
            for result in trending.apply(event, partition):
                view.apply(result.topic, result.value)

    (window,) = view.trending()
    assert [each["post_id"] for each in window["posts"]] == ["run:0", "run:1"]
