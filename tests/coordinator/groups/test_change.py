"""Changes fold into one: what was asked last counts, and nothing is written that need not be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator import paths
from coordinator.groups.change import Change, TopicChange, plan
from coordinator.groups.image import CommittedOffset, GroupHeader, TopicOffsets
from coordinator.groups.records import decode_header, decode_offsets
from coordinator.groups.znodes import OwnedGroup
from coordinator.store import Check, Create, Delete, Set

PATH = paths.group_header("g", "1-1")
TOPICS = ("a", "b")
IDS = (b"1" * 16, b"2" * 16)

committed = st.builds(CommittedOffset, st.integers(0, 3))
topic_offsets = st.tuples(
    st.sampled_from(IDS),
    st.dictionaries(st.integers(0, 3), committed, min_size=1),
).map(lambda parts: TopicOffsets(*parts))
topic_changes = st.tuples(
    st.sampled_from(IDS),
    st.dictionaries(st.integers(0, 3), st.none() | committed),
).map(lambda parts: TopicChange(*parts))
changes = st.tuples(
    st.dictionaries(st.sampled_from(TOPICS), topic_changes),
    st.none() | st.sampled_from([b"", b"x", b"y"]),
).map(lambda parts: Change(*parts))


def owned(offsets: dict[str, TopicOffsets], *, membership: bytes = b"m") -> OwnedGroup:
    return OwnedGroup("g", PATH, GroupHeader(1, 1, membership), version=7, offsets=offsets)


groups = st.builds(owned, st.dictionaries(st.sampled_from(TOPICS), topic_offsets))


def expected(offsets: dict[str, TopicOffsets], asked: list[Change]) -> dict[str, TopicOffsets]:
    """Do one change after the other, the slow way."""
    found = dict(offsets)
    for change in asked:
        for name, wanted in change.topics.items():
            before = found.pop(name, TopicOffsets(wanted.topic_id, {}))
            if before.topic_id == wanted.topic_id:
                merged = {**before.partitions, **wanted.partitions}
            elif any(each is not None for each in wanted.partitions.values()):
                merged = wanted.partitions
            else:
                found[name] = before
                continue
            kept = {index: each for index, each in merged.items() if each is not None}
            if kept:
                found[name] = TopicOffsets(wanted.topic_id, kept)
    return found


@given(groups, st.lists(changes, max_size=5))
def test_folded_changes_give_what_one_after_the_other_gives(group, asked):
    step = plan(group, asked)

    memberships = [c.membership for c in asked if c.membership is not None]
    assert step.header == GroupHeader(1, 1, [b"m", *memberships][-1])
    assert step.offsets == expected(group.offsets, asked)


@given(groups, st.lists(changes, max_size=5))
def test_the_operations_lead_from_the_znodes_as_known_to_the_plan(group, asked):
    step = plan(group, asked)

    znodes = {paths.group_offsets(PATH, n): kept for n, kept in group.offsets.items()}
    fence, *writes = step.operations
    assert (fence.path, fence.version) == (PATH, 7)
    if isinstance(fence, Set):
        assert decode_header(PATH, fence.value) == step.header
    else:
        assert isinstance(fence, Check)
        assert step.header is group.header
    for write in writes:
        assert (write.path in znodes) is not isinstance(write, Create)
        if isinstance(write, Delete):
            del znodes[write.path]
        else:
            znodes[write.path] = decode_offsets(write.path, write.value)
    assert znodes == {paths.group_offsets(PATH, n): kept for n, kept in step.offsets.items()}


@given(groups, st.lists(changes, max_size=3), st.lists(changes, max_size=3))
def test_a_deletion_takes_everything_away_whatever_else_was_asked(group, before, after):
    step = plan(group, [*before, Change(deleted=True), *after])

    assert step.offsets == {}
    assert step.operations == (
        Check(PATH, version=7),
        *(Delete(paths.group_offsets(PATH, name)) for name in group.offsets),
        Delete(PATH, version=7),
        Delete(paths.group("g")),
    )


def test_to_ask_for_nothing_is_to_ask_whether_the_group_is_ours_still():
    assert plan(owned({}), [Change()]).operations == (Check(PATH, version=7),)


def test_what_is_to_be_forgotten_of_a_topic_spares_the_one_that_has_its_name_now():
    now = TopicOffsets(IDS[1], {0: CommittedOffset(5)})
    forget = Change({"a": TopicChange(IDS[0], {0: None})})

    step = plan(owned({"a": now}), [forget])

    assert step.offsets == {"a": now}
    assert len(step.operations) == 1


def test_offsets_in_a_topic_take_the_place_of_those_in_an_earlier_one_of_that_name():
    before = TopicOffsets(IDS[0], {0: CommittedOffset(500), 1: CommittedOffset(600)})
    commit = Change({"a": TopicChange(IDS[1], {1: CommittedOffset(3)})})

    step = plan(owned({"a": before}), [commit])

    assert step.offsets == {"a": TopicOffsets(IDS[1], {1: CommittedOffset(3)})}


def test_offsets_that_come_and_go_between_two_writes_leave_no_trace():
    come = Change({"a": TopicChange(IDS[0], {0: CommittedOffset(1)})})
    go = Change({"a": TopicChange(IDS[0], {0: None})})

    assert len(plan(owned({}), [come, go]).operations) == 1


def test_a_plan_knows_what_it_weighs():
    commit = Change({"a": TopicChange(IDS[0], {0: CommittedOffset(1)})}, membership=b"x" * 1_000)
    step = plan(owned({}), [commit])

    values = sum(len(getattr(each, "value", b"")) for each in step.operations)
    assert step.size_bytes == values + sum(64 + len(each.path) for each in step.operations)
