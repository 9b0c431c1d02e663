"""A group's znodes, on every store: whoever has claimed a group last writes it, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from coordinator import paths
from coordinator.groups import znodes
from coordinator.groups.change import Change, TopicChange, plan
from coordinator.groups.image import CommittedOffset, GroupHeader, TopicOffsets
from coordinator.records import RecordUnreadable
from coordinator.store import BadVersion, MultiFailed, NoNode, Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOPIC_ID = b"t" * 16


def commit(offset: int, *, index: int = 0, topic: str = "t") -> Change:
    return Change({topic: TopicChange(TOPIC_ID, {index: CommittedOffset(offset)})})


async def make(store: Store, group_id: str = "g", *, incarnation: str = "1") -> znodes.OwnedGroup:
    owned = await znodes.create(store, group_id, owner_id=1, incarnation=incarnation)
    assert owned is not None
    return owned


async def claim(store: Store, *, owner_id: int) -> znodes.OwnedGroup:
    owned = await znodes.claim(store, "g", owner_id=owner_id)
    assert owned is not None
    return owned


async def write(store: Store, owned: znodes.OwnedGroup, *changes: Change) -> None:
    await store.multi(plan(owned, changes).operations)


async def offsets_in(store: Store, owned: znodes.OwnedGroup) -> dict[str, TopicOffsets]:
    return await znodes.read_offsets(store, owned.path)


async def test_a_group_that_is_not_there_cannot_be_claimed(stores):
    assert await znodes.claim(stores[0], "g", owner_id=1) is None


async def test_a_claim_finds_all_that_the_owner_before_has_written(stores):
    mine = await make(stores[0])
    await write(stores[0], mine, commit(5), commit(7, topic="u"), Change(membership=b"members"))

    theirs = await claim(stores[1], owner_id=2)

    assert theirs.header == GroupHeader(owner_id=2, owner_epoch=2, membership=b"members")
    assert theirs.offsets == {
        "t": TopicOffsets(TOPIC_ID, {0: CommittedOffset(5)}),
        "u": TopicOffsets(TOPIC_ID, {0: CommittedOffset(7)}),
    }


async def test_writes_of_a_deposed_owner_are_refused_as_a_whole(stores):
    mine = await make(stores[0])
    await write(stores[0], mine, commit(5))
    theirs = await claim(stores[1], owner_id=2)

    for change in (commit(4), Change(membership=b"x"), Change(), Change(deleted=True)):
        with pytest.raises(MultiFailed) as caught:
            await write(stores[0], mine, change)
        assert (caught.value.index, type(caught.value.cause)) == (0, BadVersion)

    assert await offsets_in(stores[1], theirs) == theirs.offsets
    assert await znodes.renew(stores[0], mine) is False


class Overtaken:
    """A store in front of which another session always does one more thing."""

    def __init__(self, store: Store, first: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._first = first

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def set(self, path: str, value: bytes, **options):
        await self._first()
        return await self._store.set(path, value, **options)


async def test_what_the_owner_before_wrote_at_the_last_moment_is_found(stores):
    mine = await make(stores[0])

    async def last_word() -> None:
        await write(stores[0], mine, commit(6), commit(7, topic="u"))

    theirs = await claim(Overtaken(stores[1], last_word), owner_id=2)

    assert {name: kept.partitions[0].offset for name, kept in theirs.offsets.items()} == {
        "t": 6,
        "u": 7,
    }


async def test_who_claims_back_has_the_word_again(stores):
    await make(stores[0])
    theirs = await claim(stores[1], owner_id=2)
    mine = await claim(stores[0], owner_id=1)

    await write(stores[0], mine, commit(5))

    assert mine.header.owner_epoch == 3
    with pytest.raises(MultiFailed):
        await write(stores[1], theirs, commit(4))


async def test_a_group_that_was_made_again_is_not_taken_for_the_one_before(stores):
    mine = await make(stores[0])
    theirs = await claim(stores[1], owner_id=2)
    await write(stores[1], theirs, Change(deleted=True))
    again = await make(stores[1], incarnation="2")

    # The same name, the same version, the same owner epoch: yet not the same group.
    assert (mine.version, mine.header.owner_epoch) == (again.version, again.header.owner_epoch)
    for change in (commit(4), Change(membership=b"x"), Change(), Change(deleted=True)):
        with pytest.raises(MultiFailed) as caught:
            await write(stores[0], mine, change)
        assert (caught.value.index, type(caught.value.cause)) == (0, NoNode)
    assert await znodes.renew(stores[0], mine) is False
    assert await offsets_in(stores[1], again) == {}


async def test_of_two_who_make_a_group_one_does(stores):
    made = []

    async def make_one(number: int) -> None:
        owned = await znodes.create(stores[number], "g", owner_id=number, incarnation=f"{number}-1")
        made.append(owned)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make_one, 0)
        nursery.start_soon(make_one, 1)

    assert sum(owned is None for owned in made) == 1
    winner = next(owned for owned in made if owned is not None)
    found = await claim(stores[1], owner_id=9)
    assert found.path == winner.path


async def test_owners_who_claim_at_the_same_time_all_get_the_group_one_after_the_other(stores):
    await make(stores[0])
    epochs = []

    async def claim_some(number: int) -> None:
        for _ in range(5):
            owned = await claim(stores[number], owner_id=number)
            epochs.append(owned.header.owner_epoch)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(claim_some, 0)
        nursery.start_soon(claim_some, 1)

    assert sorted(epochs) == list(range(2, 12))


async def test_a_renewal_finds_what_was_done_and_fences_what_was_not(stores):
    owned = await make(stores[0])
    done = plan(owned, [commit(5), Change(membership=b"members")])
    not_done = plan(owned, [commit(4, index=1)])
    await stores[0].multi(done.operations)
    late = plan(owned, [commit(3)])

    assert await znodes.renew(stores[0], owned)

    assert owned.header == GroupHeader(1, 1, b"members")
    assert owned.offsets == {"t": TopicOffsets(TOPIC_ID, {0: CommittedOffset(5)})}
    for step in (done, not_done, late):
        with pytest.raises(MultiFailed):
            await stores[0].multi(step.operations)
    await write(stores[0], owned, commit(6))
    assert (await offsets_in(stores[0], owned))["t"].partitions == {0: CommittedOffset(6)}


async def test_a_group_may_have_any_id(stores):
    group_ids = [
        "g",
        ".",
        "..",
        "%2E",
        "a/b",
        "/",
        "ünïcode",
        "a\0b",
        " ",
        "x" * 1_024,
        "zookeeper",
    ]
    for number, group_id in enumerate(group_ids):
        await write(stores[0], await make(stores[0], group_id), commit(number))

    assert sorted(await znodes.list_groups(stores[0])) == sorted(group_ids)
    for number, group_id in enumerate(group_ids):
        owned = await znodes.claim(stores[0], group_id, owner_id=1)
        assert owned is not None
        assert owned.offsets["t"].partitions == {0: CommittedOffset(number)}
        await write(stores[0], owned, Change(deleted=True))
    assert await znodes.list_groups(stores[0]) == []


async def test_a_group_with_offsets_in_many_topics_is_read_whole(stores):
    owned = await make(stores[0])
    await write(stores[0], owned, *(commit(n, topic=f"topic-{n}") for n in range(300)))

    found = (await claim(stores[1], owner_id=2)).offsets

    assert {name: kept.partitions[0].offset for name, kept in found.items()} == {
        f"topic-{n}": n for n in range(300)
    }


@pytest.mark.parametrize("damage", ["header", "offsets", "second incarnation", "no incarnation"])
async def test_a_group_that_cannot_be_read_is_refused_by_its_path(damage, stores):
    owned = await make(stores[0])
    await write(stores[0], owned, commit(5))
    if damage == "header":
        await stores[0].set(owned.path, b"garbage")
    elif damage == "offsets":
        await stores[0].set(paths.group_offsets(owned.path, "t"), b"garbage")
    elif damage == "second incarnation":
        await stores[0].create(paths.group_header("g", "another"))
    else:
        await stores[0].delete(paths.group_offsets(owned.path, "t"))
        await stores[0].delete(owned.path)

    with pytest.raises(RecordUnreadable, match="/ottla/groups/g"):
        await znodes.claim(stores[0], "g", owner_id=2)
