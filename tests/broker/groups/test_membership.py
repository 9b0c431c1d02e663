"""A group's membership as bytes."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.groups.membership import MembershipUnreadable, encode_membership, restore_membership
from broker.groups.state import State
from tests.broker.groups.stage import Stage

PROTOCOLS = st.lists(
    st.tuples(st.text(max_size=5), st.binary(max_size=5)), min_size=1, max_size=3
).map(tuple)


@settings(deadline=None)
@given(
    protocols=PROTOCOLS,
    instances=st.lists(st.none() | st.text(min_size=1, max_size=5), min_size=1, max_size=4),
    parts=st.lists(st.binary(max_size=9), min_size=4, max_size=4),
    session_ms=st.integers(6_000, 1_800_000),
)
def test_what_one_owner_stores_the_next_one_restores(protocols, instances, parts, session_ms):
    stage = Stage()
    named = [i for i in instances if i is not None]
    names = [f"c{number}" for number in range(len(instances))]
    for name, instance in zip(names, instances, strict=True):
        client = stage.client(name)
        client.protocols, client.session_ms, client.version = protocols, session_ms, 3
        client.instance = instance if named.count(instance) == 1 else None
        stage.join(name)
    stage.pass_time(6)
    for name in names:
        stage.sync(name, dict(zip(names, parts, strict=False)))
    before = stage.group
    assert before.state is State.STABLE

    stage.take_over()
    after = stage.group
    for field in ("state", "generation_id", "protocol_type", "protocol_name", "leader_id"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.empty_since_ms == before.empty_since_ms
    for old, new in zip(before.members, after.members, strict=True):
        assert new.heard_at == stage.now
        for field in (
            "member_id",
            "group_instance_id",
            "client_id",
            "client_host",
            "session_timeout_ms",
            "rebalance_timeout_ms",
            "protocols",
            "assignment",
        ):
            assert getattr(new, field) == getattr(old, field), field
    assert encode_membership(after) == encode_membership(before)


def test_a_group_that_was_never_stored_is_new():
    group = Stage().group
    restore_membership(group, b"", now=5.0)

    assert (group.state, group.generation_id) == (State.EMPTY, 0)


def test_a_group_that_is_empty_goes_on_counting_generations():
    stage = Stage()
    stage.join("a")
    stage.join("a")
    stage.pass_time(3)
    stage.leave(stage.client("a").member_id)
    stage.pass_time(100)
    stage.take_over()

    assert (stage.group.state, stage.group.generation_id) == (State.EMPTY, 2)
    assert stage.group.empty_since_ms == 1_003_000


def test_a_half_done_rebalance_is_not_written():
    stage = Stage()
    stage.client("a").version = 3
    stage.join("a")

    assert stage.group.state is State.PREPARING
    with pytest.raises(AssertionError):
        encode_membership(stage.group)


def stored() -> dict:
    stage = Stage()
    stage.client("a").version = 3
    stage.join("a")
    stage.pass_time(3)
    stage.sync("a", {})
    return msgpack.unpackb(stage.durable)


@pytest.mark.parametrize(
    "damage",
    [
        lambda fields: fields.pop("members"),
        lambda fields: fields.pop("format"),
        lambda fields: fields.update(generation_id="one"),
        lambda fields: fields.update(generation_id=None),
        lambda fields: fields.update(members=[["a"]]),
        lambda fields: fields.update(members=[1]),
        lambda fields: fields["members"][0].__setitem__(0, 7),
        lambda fields: fields["members"][0].__setitem__(4, "soon"),
        lambda fields: fields["members"][0].__setitem__(6, [["range"]]),
        lambda fields: fields["members"][0].__setitem__(7, None),
    ],
)
def test_what_is_no_membership_is_said_to_be_none(damage):
    fields = stored()
    damage(fields)

    with pytest.raises(MembershipUnreadable, match="'g'"):
        restore_membership(Stage().group, msgpack.packb(fields), now=0.0)


@pytest.mark.parametrize("packed", [b"\xc1", b"\x93", b"\x01", b"\xc0", b"abc", b"\x91\x01"])
def test_bytes_that_are_no_membership_are_said_to_be_none(packed):
    with pytest.raises(MembershipUnreadable, match="'g'"):
        restore_membership(Stage().group, packed, now=0.0)


def test_a_newer_releases_membership_is_left_to_it():
    fields = stored()
    fields["format"] = 2

    with pytest.raises(MembershipUnreadable, match="newer release"):
        restore_membership(Stage().group, msgpack.packb(fields), now=0.0)
