"""What fits into requests is written, all of it and nothing else; the rest is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import paths
from coordinator.groups.change import Change, TopicChange, plan
from coordinator.groups.fitting import Fitted, fit
from coordinator.groups.image import CommittedOffset, GroupHeader, TopicOffsets
from coordinator.groups.znodes import OwnedGroup

PATH = paths.group_header("g", "1-1")
IDS = (b"1" * 16, b"2" * 16)
BYTES_MAX = 1_000
SLACK = 4
"""What a request may hold less than it could."""

committed = st.builds(
    CommittedOffset, st.integers(0, 2**40), metadata=st.integers(0, 500).map(lambda n: "x" * n)
)
topic_offsets = st.tuples(
    st.sampled_from(IDS),
    st.dictionaries(st.integers(0, 9), committed, min_size=1, max_size=4),
).map(lambda parts: TopicOffsets(*parts))
topic_changes = st.tuples(
    st.sampled_from(IDS),
    st.dictionaries(st.integers(0, 9), st.none() | committed, max_size=8),
).map(lambda parts: TopicChange(*parts))


def owned(kept: dict[str, TopicOffsets]) -> OwnedGroup:
    return OwnedGroup("g", PATH, GroupHeader(1, 1), version=7, offsets=kept)


def weight(group: OwnedGroup, topics: dict[str, TopicChange]) -> int:
    return plan(group, [Change(topics)]).size_bytes


groups = (
    st.dictionaries(st.sampled_from("abc"), topic_offsets)
    .map(owned)
    .filter(
        lambda group: all(
            weight(owned({}), {name: TopicChange(kept.topic_id, kept.partitions)}) <= BYTES_MAX
            for name, kept in group.offsets.items()
        )
    )
)
changes = st.dictionaries(st.sampled_from("abcd"), topic_changes)


@given(groups, changes)
def test_each_part_fits_and_together_they_are_all_but_what_is_refused(group, topics):
    fitted = fit(group, Change(topics), bytes_max=BYTES_MAX)

    done = [name for part in fitted.parts for name in part.topics]
    assert len(done) == len(set(done)), "a topic has one value"
    written = {
        (name, index): each
        for part in fitted.parts
        for name, wanted in part.topics.items()
        for index, each in wanted.partitions.items()
    }
    asked = {(n, i): each for n, t in topics.items() for i, each in t.partitions.items()}
    assert written == {key: asked[key] for key in asked.keys() - fitted.refused}
    for part in fitted.parts:
        assert weight(group, part.topics) <= BYTES_MAX


@given(groups, changes)
def test_nothing_is_refused_that_finds_room(group, topics):
    fitted = fit(group, Change(topics), bytes_max=BYTES_MAX)

    for name, index in fitted.refused:
        kept = {i: c for i, c in topics[name].partitions.items() if (name, i) not in fitted.refused}
        kept[index] = topics[name].partitions[index]
        grown = {name: TopicChange(topics[name].topic_id, kept)}
        assert weight(group, grown) > BYTES_MAX - SLACK


def test_few_topics_share_a_request_that_holds_them():
    kept = {0: CommittedOffset(1, metadata="x" * 400)}
    topics = {name: TopicChange(IDS[0], kept) for name in "abcd"}

    fitted = fit(owned({}), Change(topics), bytes_max=1_500)

    assert [[*part.topics] for part in fitted.parts] == [["a", "b"], ["c", "d"]]


def test_offsets_that_add_nothing_are_kept_where_nothing_else_finds_room():
    full = {i: CommittedOffset(5, metadata="x" * 400) for i in range(2)}
    wanted = {
        0: CommittedOffset(6, metadata="y" * 400),
        1: CommittedOffset(6),
        2: CommittedOffset(6, metadata="y" * 500),
    }

    fitted = fit(
        owned({"a": TopicOffsets(IDS[0], full)}),
        Change({"a": TopicChange(IDS[0], wanted)}),
        bytes_max=BYTES_MAX + 100,
    )

    assert fitted.refused == {("a", 2)}
    assert fitted.parts[0].topics["a"].partitions == {0: wanted[0], 1: wanted[1]}


def test_where_nothing_finds_room_it_is_asked_whether_the_group_is_ours():
    large = TopicChange(IDS[0], {0: CommittedOffset(1, metadata="x" * 2_000)})

    fitted = fit(owned({}), Change({"a": large}), bytes_max=BYTES_MAX)

    assert fitted == Fitted((Change(),), frozenset({("a", 0)}))


@pytest.mark.parametrize("change", [Change(membership=b"x" * 2_000), Change(deleted=True)])
def test_what_is_more_than_offsets_is_not_divided(change):
    assert fit(owned({}), change, bytes_max=BYTES_MAX) == Fitted((change,))
