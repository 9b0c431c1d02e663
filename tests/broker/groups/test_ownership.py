"""The groups of one session: claimed before they are served, given up when they are another's."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from broker.groups.config import GroupConfig
from broker.groups.errors import UnknownMember
from broker.groups.hosted import HostedGroup
from broker.groups.living import heartbeat
from broker.groups.member import Joined, Joining, Syncing
from broker.groups.membership import encode_membership
from broker.groups.serving import GroupsHouse, GroupsSession
from broker.groups.state import State
from broker.groups.waiting import GROUP_TIMEOUT_S, settled
from broker.view import ClusterView
from coordinator import paths
from coordinator.bootstrap import prepare
from coordinator.cluster import PartitionState, TopicState
from coordinator.errors import NotGroupOwner
from coordinator.groups import znodes
from coordinator.groups.change import Change, TopicChange, plan
from coordinator.groups.image import CommittedOffset
from coordinator.memory import MemoryCluster
from coordinator.records import encode_topic
from coordinator.store import SessionLost
from protocol.errors import CoordinationError, ErrorCode, OttlaError, RequestError
from tests.support.faulty_store import FaultyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from coordinator.store import Store

BROKER_ID = 1
OTHER_ID = 2
OLD_ID, NEW_ID = b"old topic's id..", b"new topic's id.."
HOUR_MS = 3_600_000


def topic(topic_id: bytes, name: str = "t") -> TopicState:
    partition = PartitionState(replicas=(1,), leader_id=1, leader_epoch=0, isr=(1,))
    return TopicState(name, topic_id, {}, (partition,), version=0)


def commit(offset: int, *, topic_id: bytes = OLD_ID, committed_ms: int = 0) -> Change:
    committed = CommittedOffset(offset, committed_ms=committed_ms)
    return Change({"t": TopicChange(topic_id, {0: committed})})


def joining(member_id: str = "", **facts) -> Joining:
    return Joining(
        member_id=member_id, group_instance_id=None, client_id="c", client_host="h",
        session_timeout_ms=10_000, rebalance_timeout_ms=10_000, protocol_type="consumer",
        protocols=(("range", b""),), **facts,
    )  # fmt: skip


class House:
    """Everything that a session of groups stands on, for tests to move."""

    def __init__(self) -> None:
        self.mine: Callable[[str], bool] = lambda _: True
        self.now_ms = 0
        self.tidying_ms = 1_000
        self.view = ClusterView()
        self.memory = MemoryCluster()
        self.show(topics={"t": topic(OLD_ID)})

    def facts(self) -> GroupsHouse:
        numbers = count()
        return GroupsHouse(
            broker_id=BROKER_ID,
            config=GroupConfig(
                group_initial_rebalance_delay_ms=0,
                offsets_retention_minutes=60,
                offsets_retention_check_interval_ms=self.tidying_ms,
            ),
            view=self.view,
            is_mine=self._is_mine,
            new_id=lambda: f"id-{next(numbers)}",
            wall_ms=lambda: self.now_ms,
        )

    def _is_mine(self, group_id: str) -> bool:
        return self.mine(group_id)

    def show(self, **facts) -> None:
        self.view.latest = replace(self.view.latest, **facts)
        self.view.publish(self.view.latest)

    def change_owners(self, mine: Callable[[str], bool]) -> None:
        self.mine = mine
        self.show(brokers={})


class Serving:
    """A session at work."""

    def __init__(self, house: House, store: FaultyStore) -> None:
        self.house = house
        self.store = store
        self.session: GroupsSession
        self._life = trio.CancelScope()

    async def run(self) -> None:
        """Serve until the session with the store is lost, as a broker does."""
        with self._life:
            try:
                async with trio.open_nursery() as nursery:
                    self.session = GroupsSession(self.store, self.house.facts(), nursery)
                    await self.session.run()
            except* SessionLost:
                self.end()

    def end(self) -> None:
        self._life.cancel()

    async def enter(self, act, group_id: str = "g", *, create: bool = True):
        with trio.fail_after(60):
            return await settled(self.session.enter(group_id, act, create=create))

    async def host(self, group_id: str = "g") -> HostedGroup:
        return await self.enter(lambda hosted: hosted, group_id)

    async def submit(self, change: Change, group_id: str = "g") -> None:
        with trio.fail_after(60):
            await (await self.host(group_id)).queue.submit(change).wait()

    async def settle(self) -> dict[int, int]:
        """Give the durable offsets of group g in topic t."""
        hosted = await self.host()
        await hosted.settle_offsets().wait()
        kept = hosted.offsets.get("t")
        return {} if kept is None else {i: c.offset for i, c in kept.partitions.items()}

    async def join(self, group_id: str = "g") -> str:
        """Make somebody the only member, with an assignment."""
        now = trio.current_time()
        reply = await self.enter(lambda hosted: hosted.join(joining(), now=now), group_id)
        joined = await reply.wait()
        assert isinstance(joined, Joined)
        member_id, generation = joined.member_id, joined.generation_id
        hosted = self.session.hosted[group_id]
        syncing = Syncing(member_id, None, generation, {member_id: b"all"})
        synced = hosted.sync(syncing, now=now)
        await synced.wait()
        return member_id


@asynccontextmanager
async def serving(house: House | None = None) -> AsyncIterator[Serving]:
    house = house or House()
    async with house.memory.connect() as raw, trio.open_nursery() as nursery:
        store = FaultyStore(raw, nursery, rng=random.Random(1))
        await prepare(store, new_cluster_id=lambda: "c")
        here = Serving(house, store)
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        yield here
        nursery.cancel_scope.cancel()


async def claim_elsewhere(house: House, group_id: str = "g") -> znodes.OwnedGroup:
    async with house.memory.connect() as store:
        owned = await znodes.claim(store, group_id, owner_id=OTHER_ID)
    assert owned is not None
    return owned


async def make_groups(store: Store, number: int) -> None:
    for index in range(number):
        await znodes.create(store, f"g{index}", owner_id=OTHER_ID, incarnation="1")


# Claiming.


async def test_a_group_is_made_only_where_that_was_asked_for(autojump_clock):
    async with serving() as here:
        assert await here.enter(lambda hosted: hosted, create=False) is None
        assert await znodes.list_groups(here.store) == []

        hosted = await here.host()

        assert await here.enter(lambda again: again is hosted, create=False)


async def test_what_is_asked_while_a_group_is_claimed_is_done_in_that_order(autojump_clock):
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, 0.1)
        done: list[int] = []
        outcomes = [
            here.session.enter("g", lambda _, n=n: done.append(n), create=n == 5) for n in range(10)
        ]
        for outcome in outcomes:
            await settled(outcome)

        assert done == list(range(10))


async def test_what_was_asked_for_a_group_is_not_done_once_whoever_asked_has_left(autojump_clock):
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, 0.2)
        done: list[str] = []
        left = here.session.enter("g", lambda _: done.append("left"), create=True)
        stays = here.session.enter("g", lambda _: done.append("stays"))
        with trio.move_on_after(0.1):
            await settled(left)
        await settled(stays)

        assert done == ["stays"]


async def test_what_has_waited_for_its_group_for_too_long_is_not_done(autojump_clock):
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, GROUP_TIMEOUT_S)
        done: list[str] = []
        late = here.session.enter("g", lambda _: done.append("late"), create=True)
        with pytest.raises(RequestError, match="ask again") as caught:
            await settled(late)
        assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
        await here.enter(lambda _: done.append("asked again"), create=False)

        assert done == ["asked again"]


async def test_no_more_groups_are_read_at_once_than_there_is_memory_for(
    autojump_clock, monkeypatch
):
    monkeypatch.setattr("broker.groups.serving.LOADING_MAX", 3)
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, 0.1)
        waiting = [here.session.enter(f"g{n}", lambda _: "done") for n in range(3)]

        with pytest.raises(RequestError, match="ask again") as caught:
            here.session.enter("another", lambda _: "done")
        again = here.session.enter("g0", lambda _: "done")

        assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert [await settled(one) for one in (*waiting, again)] == ["done"] * 4
        assert await settled(here.session.enter("another", lambda _: "done")) == "done"


async def test_a_bug_in_what_waits_for_a_claim_is_raised_where_it_was_asked_for(autojump_clock):
    async with serving() as here:
        broken = here.session.enter("g", lambda _: {}["no such key"], create=True)
        sound = here.session.enter("g", lambda hosted: hosted.group.group_id)

        with pytest.raises(KeyError, match="no such key"):
            await settled(broken)
        assert await settled(sound) == "g"


async def test_a_group_that_is_another_brokers_is_refused(autojump_clock):
    async with serving() as here:
        here.house.change_owners(lambda _: False)
        with pytest.raises(NotGroupOwner):
            await here.host()


async def test_a_group_that_moves_on_while_it_waits_for_its_turn_is_not_claimed(autojump_clock):
    house = House()
    async with serving(house) as here:
        house.mine = lambda _: False
        await make_groups(here.store, 40)
        house.mine, house.memory.latency = (lambda _: True), partial(trio.sleep, 0.1)
        outcomes = [here.session.enter(f"g{n}", lambda hosted: hosted) for n in range(40)]
        await trio.sleep(0.05)
        house.change_owners(lambda _: False)
        for outcome in outcomes:
            with pytest.raises(NotGroupOwner):
                await settled(outcome)

        epochs = [(await claim_elsewhere(house, f"g{n}")).header.owner_epoch for n in range(40)]
        assert epochs.count(3) == 32  # those that were being claimed already
        assert epochs.count(2) == 8


async def test_a_group_that_moves_on_while_it_is_claimed_is_refused(autojump_clock):
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, 0.1)
        outcome = here.session.enter("g", lambda hosted: hosted, create=True)
        house.change_owners(lambda _: False)
        with pytest.raises(NotGroupOwner):
            await settled(outcome)
        assert not here.session.hosted


async def test_the_next_owner_goes_on_with_members_generation_and_offsets(autojump_clock):
    house = House()
    async with serving(house) as here:
        member_id = await here.join()
        await here.submit(commit(5))
    async with serving(house) as here:
        hosted = await here.host()

        assert (hosted.group.state, hosted.group.generation_id) == (State.STABLE, 1)
        assert hosted.group.members.find(member_id).assignment == b"all"
        assert await here.settle() == {0: 5}


async def test_groups_that_have_become_ours_are_claimed_unasked(autojump_clock):
    house = House()
    house.mine = lambda _: False
    async with serving(house) as here:
        await make_groups(here.store, 100)
        house.change_owners(lambda group_id: group_id != "g7")
        await trio.testing.wait_all_tasks_blocked()

        assert set(here.session.hosted) == {f"g{i}" for i in range(100)} - {"g7"}
        assert (await claim_elsewhere(house, "g9")).header.owner_epoch == 3
        assert (await claim_elsewhere(house, "g7")).header.owner_epoch == 2


async def test_who_asks_does_not_wait_for_thousands_of_groups_that_nobody_asked_for(
    autojump_clock,
):
    house = House()
    house.mine, house.tidying_ms = (lambda _: False), HOUR_MS
    async with serving(house) as here:
        await make_groups(here.store, 1_000)
        house.memory.latency = partial(trio.sleep, 0.01)
        house.change_owners(lambda _: True)
        await trio.sleep(0.05)
        began = trio.current_time()

        await here.host("g999")

        assert trio.current_time() - began < 0.2
        assert len(here.session.hosted) < 100
        await here.session.wait_claimed()
        assert len(here.session.hosted) == 1_000


async def test_listing_waits_for_claims_that_are_about_to_begin(autojump_clock):
    house = House()
    house.mine = lambda _: False
    async with serving(house) as here:
        await make_groups(here.store, 3)
        house.memory.latency = partial(trio.sleep, 0.01)
        house.change_owners(lambda _: True)
        await here.session.wait_claimed()

        assert len(here.session.hosted) == 3


# Groups that cannot be read.


@pytest.mark.parametrize("damage", ["header", "membership", "offsets"])
async def test_one_unreadable_group_is_refused_and_all_others_are_served(damage, autojump_clock):
    house = House()
    async with serving(house) as here:
        for group_id in ("bad", "good"):
            await here.submit(commit(5), group_id)
    async with house.memory.connect() as store:
        owned = await claim_elsewhere(house, "bad")
        if damage == "header":
            await store.set(owned.path, b"garbage")
        elif damage == "membership":
            await store.multi(plan(owned, [Change(membership=b"garbage")]).operations)
        else:
            await store.set(paths.group_offsets(owned.path, "t"), b"garbage")

    async with serving(house) as here:
        await here.session.wait_claimed()
        with pytest.raises(RequestError, match="bad") as caught:
            await here.host("bad")
        assert caught.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE

        assert set(here.session.hosted) == {"good"}
        await here.submit(commit(6), "good")


async def test_a_group_that_becomes_unreadable_is_given_up_and_may_come_back(autojump_clock):
    async with serving() as here:
        hosted = await here.host()
        await here.submit(commit(5))
        path = paths.group_offsets(hosted.queue.owned.path, "t")
        value, _ = await here.store.get(path)
        await here.store.set(path, b"garbage")
        here.store._rng.choice = lambda _: "never"
        here.store.losing = 1.0
        write = hosted.write_offsets(commit(6).topics)
        await trio.sleep(0.001)
        here.store.losing = 0.0
        with pytest.raises(CoordinationError):
            await write.wait()
        assert not here.session.hosted

        await here.store.set(path, value)

        assert await here.settle() == {0: 5}


# Giving up.


async def test_members_of_a_group_that_moves_are_told_to_look_for_it(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.join()
        hosted = here.session.hosted["g"]
        reply = hosted.join(joining(), now=trio.current_time())

        house.change_owners(lambda _: False)

        with pytest.raises(NotGroupOwner):
            await reply.wait()
        assert not here.session.hosted
        with pytest.raises(NotGroupOwner):
            await hosted.write_offsets(commit(9).topics).wait()


async def test_an_owner_that_was_deposed_unawares_gives_up_at_its_next_write(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
        hosted = await here.host()
        theirs = await claim_elsewhere(house)
        async with house.memory.connect() as store:
            await store.multi(plan(theirs, [commit(8)]).operations)

        with pytest.raises(NotGroupOwner):
            await hosted.settle_offsets().wait()

        # Asked again, for it believes to be the owner still, it claims and finds what was written.
        assert await here.settle() == {0: 8}


async def test_what_was_given_up_does_not_write_once_it_is_claimed_anew(autojump_clock):
    house = House()
    async with serving(house) as here:
        member_id = await here.join()
        before = here.session.hosted["g"]
        house.change_owners(lambda _: False)
        await trio.testing.wait_all_tasks_blocked()
        house.change_owners(lambda _: True)
        now = await here.host()
        assert now is not before

        before.leave(member_id, None, reason=None, now=trio.current_time())
        await trio.sleep(5)

        stored = (await claim_elsewhere(house)).header.membership
        assert stored == encode_membership(now.group) != encode_membership(before.group)


async def test_a_claim_that_the_end_of_the_session_cuts_off_is_refused_as_members_expect(
    autojump_clock,
):
    house = House()
    async with serving(house) as here:
        house.memory.latency = partial(trio.sleep, 1)
        outcome = here.session.enter("g", lambda hosted: hosted, create=True)
        await trio.sleep(0.5)
        house.memory.expire(here.store.session_id)
        with pytest.raises(RequestError) as caught:
            await settled(outcome)

    assert caught.value.code in (ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.NOT_COORDINATOR)


async def test_the_end_of_a_session_leaves_nobody_waiting(autojump_clock):
    house = House()
    refused = []

    async def ask(here: Serving, group_id: str, change: Change) -> None:
        try:
            await here.submit(change, group_id)
        except OttlaError as error:
            refused.append(error)

    async with serving(house) as here, trio.open_nursery() as asking:
        await here.host("claimed")
        house.memory.latency = partial(trio.sleep, 1)
        for group_id in ("claimed", "claimed", "being claimed"):
            asking.start_soon(ask, here, group_id, commit(1))
        await trio.sleep(0.5)
        house.memory.expire(here.store.session_id)
        here.end()

    assert [type(error) for error in refused] == [NotGroupOwner] * 3


# Deletion and housekeeping.


async def test_a_group_may_be_deleted_in_the_moment_its_last_member_leaves(autojump_clock):
    house = House()
    async with serving(house) as here:
        member_id = await here.join()
        hosted = here.session.hosted["g"]
        house.memory.latency = partial(trio.sleep, 0.1)
        hosted.leave(member_id, None, reason=None, now=trio.current_time())
        assert hosted.is_storing

        await hosted.delete().wait()

        await trio.sleep(1)
        assert await znodes.list_groups(here.store) == []
        await here.host()  # and it can be made again


async def test_who_asks_while_a_group_is_deleted_finds_it_gone(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
        hosted = await here.host()
        house.memory.latency = partial(trio.sleep, 0.1)
        deletion = hosted.delete()

        assert await here.enter(lambda found: found, create=False) is None
        await deletion.wait()
        assert await here.settle() == {}


async def test_a_deletion_and_a_join_that_waited_for_the_claim_happen_in_order(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
    house.mine = lambda _: False
    async with serving(house) as here:
        house.mine = lambda _: True
        assert not here.session.hosted
        delete = here.session.enter("g", lambda hosted: hosted.delete())
        after = here.session.enter("g", lambda hosted: hosted.offsets, create=True)
        await (await settled(delete)).wait()

        assert await settled(after) == {}


async def test_a_deletion_that_the_store_refuses_leaves_the_group_as_it_was(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
        hosted = await here.host()
        await here.store.create(f"{hosted.queue.owned.path}/unknown")  # deletion finds it not empty
        await here.store.create(f"{hosted.queue.owned.path}/unknown/child")

        with pytest.raises(OttlaError):
            await hosted.delete().wait()

        await here.store.delete(f"{hosted.queue.owned.path}/unknown/child")
        await here.store.delete(f"{hosted.queue.owned.path}/unknown")
        assert await here.settle() == {0: 5}


async def test_a_group_of_no_use_is_forgotten_in_time(autojump_clock):
    async with serving() as here:
        await here.host()
        await here.join("with members")
        await here.submit(commit(1), "with offsets")
        await trio.sleep(5)

        assert set(await znodes.list_groups(here.store)) == {"with members", "with offsets"}


async def test_a_commit_on_its_way_is_not_lost_to_housekeeping(autojump_clock):
    house = House()
    async with serving(house) as here:
        hosted = await here.host()
        write = hosted.write_offsets(commit(5).topics)
        here.session._tidy(hosted)  # of no use, as far as durable
        await write.wait()
        await trio.sleep(5)

        assert await here.settle() == {0: 5}


async def test_a_new_commit_on_its_way_is_not_forgotten_for_the_age_of_the_one_before(
    autojump_clock,
):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5, committed_ms=0))
        house.now_ms = 2 * HOUR_MS
        hosted = await here.host()
        write = hosted.write_offsets(commit(6, committed_ms=house.now_ms).topics)
        here.session._tidy(hosted)
        await write.wait()

        assert await here.settle() == {0: 6}


async def test_old_offsets_are_forgotten_in_time(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5, committed_ms=0))
        house.now_ms = 2 * HOUR_MS
        await trio.sleep(5)

        assert await znodes.list_groups(here.store) == []


# Topics that come and go.


async def test_offsets_of_a_deleted_topic_are_forgotten_at_once(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
        house.show(topics={}, deleted_topics={OLD_ID: "t"})
        await trio.sleep(0.1)

        assert await here.settle() == {}


async def test_offsets_of_a_topic_that_was_deleted_unnoticed_are_forgotten_when_claimed(
    autojump_clock,
):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
    house.show(topics={"t": topic(NEW_ID)})
    async with house.memory.connect() as store:
        await store.create(paths.topic("t"), encode_topic(topic(NEW_ID)))

    async with serving(house) as here:
        assert await here.settle() == {}
        assert "t" not in (await claim_elsewhere(house)).offsets


async def test_offsets_of_a_topic_that_was_deleted_unnoticed_are_forgotten_in_time(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5))
        house.show(topics={})
        await trio.sleep(5)

        assert await znodes.list_groups(here.store) == []


async def test_offsets_of_a_topic_that_is_not_known_here_yet_are_waited_for(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5, topic_id=NEW_ID))
    async with house.memory.connect() as store:
        await store.create(paths.topic("t"), encode_topic(topic(NEW_ID)))

    async with serving(house) as here, trio.open_nursery() as nursery:
        found = []

        async def ask() -> None:
            found.append(await here.settle())

        nursery.start_soon(ask)
        await trio.sleep(1)
        assert not found
        house.show(topics={"t": topic(NEW_ID)})

    assert found == [{0: 5}]


async def test_a_topic_that_is_never_seen_here_makes_who_asks_come_again(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5, topic_id=NEW_ID))
        async with house.memory.connect() as store:
            await store.create(paths.topic("t"), encode_topic(topic(NEW_ID)))
        await trio.sleep(60)  # and housekeeping goes on

        assert await here.settle() == {0: 5}
    async with serving(house) as here:
        with pytest.raises(RequestError, match="'t'"):
            await here.host()


async def test_offsets_of_a_topic_that_goes_while_it_is_waited_for_are_forgotten(autojump_clock):
    house = House()
    async with serving(house) as here:
        await here.submit(commit(5, topic_id=NEW_ID))
    async with house.memory.connect() as store:
        await store.create(paths.topic("t"), encode_topic(topic(NEW_ID)))
        async with serving(house) as here, trio.open_nursery() as nursery:
            nursery.start_soon(here.host)
            await trio.sleep(1)
            assert not here.session.hosted
            await store.delete(paths.topic("t"))
            house.show(topics={})
            await trio.testing.wait_all_tasks_blocked()

            assert await here.settle() == {}


# Members' deadlines.


async def test_a_member_that_is_silent_is_let_go_on_the_new_owner_too(autojump_clock):
    house = House()
    async with serving(house) as here:
        member_id = await here.join()
    async with serving(house) as here:
        hosted = await here.host()
        await trio.sleep(9)
        heartbeat(hosted.group, member_id, None, 1, now=trio.current_time())
        await trio.sleep(11)

        with pytest.raises(UnknownMember):
            heartbeat(hosted.group, member_id, None, 1, now=trio.current_time())
