"""Groups served over a slow store: what meets while a write is on its way."""

from __future__ import annotations

from contextlib import suppress
from itertools import count

import pytest
import trio
import trio.lowlevel
from msgspec.structs import replace

from broker.groups.config import GroupConfig
from broker.groups.errors import FencedInstance, MemberIdRequired, UnknownMember
from broker.groups.member import Joining, Syncing
from broker.groups.membership import encode_membership
from broker.groups.serving import GroupsHouse, GroupsSession
from broker.groups.state import State
from broker.groups.waiting import Deferred, settled
from broker.view import ClusterView
from coordinator import paths
from coordinator.errors import NotGroupOwner
from coordinator.groups.change import TopicChange
from coordinator.groups.image import CommittedOffset
from coordinator.groups.znodes import claim
from coordinator.memory import MemoryCluster
from protocol.errors import ErrorCode, RequestError

STORE_S = 0.3
"""From a request to the store until its answer."""

OFFSET = {"t": TopicChange(bytes(16), {0: CommittedOffset(5)})}


class Station:
    """One broker's groups, and the store that they are in."""

    def __init__(self, cluster: MemoryCluster, store, nursery: trio.Nursery) -> None:
        ids = count(1)
        self.view = ClusterView()
        self.store = store
        self.is_mine = True
        house = GroupsHouse(
            broker_id=1,
            config=GroupConfig(group_initial_rebalance_delay_ms=0),
            view=self.view,
            is_mine=lambda group_id: self.is_mine,
            new_id=lambda: str(next(ids)),
            wall_ms=lambda: int(trio.current_time() * 1000),
        )
        self.session = GroupsSession(store, house, nursery)
        self.running = trio.CancelScope()

    async def run(self) -> None:
        with self.running:
            await self.session.run()

    async def make(self, group_id: str = "g"):
        """Make a group, and give it."""
        return await settled(self.session.enter(group_id, lambda hosted: hosted, create=True))

    async def join(self, hosted, member_id: str = "", **facts):
        joining = replace(JOINING, member_id=member_id, **facts)
        return await hosted.join(joining, now=trio.current_time()).wait()

    async def enter(self, hosted, **facts):
        """Join and sync as the only member. Returns: the member id."""
        joined = await self.join(hosted, **facts)
        await self.sync(hosted, joined)
        return joined.member_id

    async def sync(self, hosted, joined, instance: str | None = None):
        syncing = Syncing(
            joined.member_id, instance, joined.generation_id, {joined.member_id: b"mine"}
        )
        return await hosted.sync(syncing, now=trio.current_time()).wait()

    def leave(self, hosted, member_id: str) -> None:
        hosted.leave(member_id, None, reason=None, now=trio.current_time())

    def let_others_have(self) -> None:
        """Let the cluster be one in which other brokers own all groups."""
        self.is_mine = False
        self.view.latest = replace(self.view.latest, brokers=dict(self.view.latest.brokers))
        self.view.publish(self.view.latest)


JOINING = Joining(
    member_id="",
    group_instance_id=None,
    client_id="c",
    client_host="/h",
    session_timeout_ms=10_000,
    rebalance_timeout_ms=60_000,
    protocol_type="consumer",
    protocols=(("range", b""),),
)


@pytest.fixture
async def cluster():
    async def slow() -> None:
        await trio.sleep(STORE_S / 2)

    return MemoryCluster(latency=slow)


@pytest.fixture
async def station(cluster, nursery):
    async with cluster.connect(session_timeout_s=60) as store:
        for path in (paths.ROOT, paths.GROUPS):
            await store.create(path)
        station = Station(cluster, store, nursery)
        nursery.start_soon(station.run)
        yield station
        nursery.cancel_scope.cancel()


async def test_what_is_asked_of_a_group_meanwhile_is_done_in_order(station, autojump_clock):
    done = []
    acts = [
        station.session.enter("g", lambda _hosted, n=number: done.append(n), create=number == 1)
        for number in range(5)
    ]
    assert all(isinstance(act, Deferred) for act in acts)
    for act in acts:
        await settled(act)

    assert done == [0, 1, 2, 3, 4]


async def test_a_group_that_nobody_makes_is_not_made(station, autojump_clock):
    assert await settled(station.session.enter("g", lambda hosted: hosted)) is None
    assert await station.store.children(paths.GROUPS) == []


async def test_a_group_is_deleted_while_its_emptiness_is_being_stored(station, autojump_clock):
    hosted = await station.make()
    member_id = await station.enter(hosted)
    station.leave(hosted, member_id)
    burial = hosted.delete()
    later = station.session.enter("g", lambda found: found)
    await burial.wait()

    assert await settled(later) is None
    assert await station.store.children(paths.GROUPS) == []


async def test_whoever_comes_while_a_group_is_being_deleted_finds_a_new_one(
    station, autojump_clock
):
    hosted = await station.make()
    await hosted.write_offsets(OFFSET).wait()
    hosted.delete()
    successor = await station.make()

    assert successor is not hosted
    assert (successor.group.state, dict(successor.offsets)) == (State.EMPTY, {})
    await station.enter(successor)
    assert station.session.hosted["g"] is successor


async def test_those_behind_one_who_deletes_the_group_wait_for_what_comes_after(
    station, autojump_clock
):
    await (await station.make()).write_offsets(OFFSET).wait()
    station.session._release(station.session.hosted["g"])
    deleting = station.session.enter("g", lambda hosted: hosted.delete())
    behind = station.session.enter("g", lambda hosted: hosted)
    makes = station.session.enter("g", lambda hosted: hosted, create=True)
    await (await settled(deleting)).wait()

    assert await settled(behind) is await settled(makes)
    assert dict((await settled(makes)).offsets) == {}


async def test_a_group_given_up_while_it_is_stored_is_stored_by_its_next_owner_alone(
    station, autojump_clock
):
    hosted = await station.make()
    joined = await station.join(hosted)
    failures = []

    async def sync() -> None:
        with pytest.raises(RequestError) as failure:
            await station.sync(hosted, joined)
        failures.append(failure.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync)
        await trio.sleep(STORE_S / 2)
        station.let_others_have()
    assert failures == [ErrorCode.NOT_COORDINATOR]
    station.is_mine = True
    again = await station.make()
    await trio.sleep(60)
    # The member's session has ended, but not in the group that was given up.
    assert (again.group.state, hosted.group.state) == (State.EMPTY, State.COMPLETING)
    assert again.queue.owned.header.membership == encode_membership(again.group)


async def test_everybody_who_waits_is_sent_away_when_the_group_is_given_up(station, autojump_clock):
    hosted = await station.make()
    await station.enter(hosted, group_instance_id="i")
    await station.enter(hosted, group_instance_id="i")
    refused = []

    async def join(**facts) -> None:
        with pytest.raises(NotGroupOwner):
            await station.join(hosted, **facts)
        refused.append(facts)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: join(group_instance_id="i"))
        await trio.lowlevel.checkpoint()
        station.let_others_have()
    async with trio.open_nursery() as nursery:
        station.is_mine = True
        hosted = await station.make()
        nursery.start_soon(join)
        await trio.lowlevel.checkpoint()
        station.let_others_have()
    assert len(refused) == 2


async def test_everybody_who_waits_is_sent_away_when_the_session_ends(station, autojump_clock):
    hosted = await station.make()
    await station.enter(hosted)
    waiting = hosted.join(JOINING, now=trio.current_time())
    loading = station.session.enter("other", lambda found: found, create=True)
    station.running.cancel()

    with pytest.raises(NotGroupOwner):
        await waiting.wait()
    with pytest.raises(NotGroupOwner):
        await settled(loading)


async def test_a_deposed_owner_hears_of_it_by_its_next_write(station, cluster, autojump_clock):
    hosted = await station.make()
    joined = await station.join(hosted)
    async with cluster.connect() as other:
        await claim(other, "g", owner_id=2)
    with pytest.raises(NotGroupOwner):
        await station.sync(hosted, joined)
    assert station.session.hosted == {}


async def test_static_members_that_restart_while_one_is_being_stored_are_all_stored(
    station, autojump_clock
):
    hosted = await station.make()
    first = await station.join(hosted, group_instance_id="i")
    await station.sync(hosted, first, "i")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            reply = hosted.join(replace(JOINING, group_instance_id="i"), now=trio.current_time())
            nursery.start_soon(ask_until_fenced, reply)
            await trio.sleep(STORE_S / 4)
    last_id = next(iter(hosted.group.members)).member_id
    station.session._release(station.session.hosted["g"])
    taken = await station.make()
    assert [member.member_id for member in taken.group.members] == [last_id]


async def ask_until_fenced(reply) -> None:
    with suppress(FencedInstance):
        await reply.wait()


async def test_a_half_done_rebalance_is_not_what_the_next_owner_goes_on_with(
    station, autojump_clock
):
    hosted = await station.make()
    member_id = await station.enter(hosted)
    joined = await station.join(hosted, member_id)
    second = Syncing(member_id, None, joined.generation_id, {member_id: b"second"})
    hosted.sync(second, now=trio.current_time())
    # While that is being stored the group becomes empty, and then another member comes.
    station.leave(hosted, member_id)
    await station.join(hosted)
    assert (hosted.group.state, hosted.group.generation_id) == (State.COMPLETING, 4)
    await trio.sleep(3 * STORE_S)
    station.session._release(station.session.hosted["g"])
    taken = (await station.make()).group

    assert (taken.state, taken.generation_id) == (State.STABLE, 2)
    assert [member.assignment for member in taken.members] == [b"second"]


async def test_a_refusal_may_give_an_id_out_that_is_forgotten_in_time(station, autojump_clock):
    hosted = await station.make()
    with pytest.raises(MemberIdRequired) as refusal:
        hosted.join(replace(JOINING, needs_member_id=True), now=trio.current_time())
    await trio.sleep(11)

    assert len(hosted.group.pending) == 0
    with pytest.raises(UnknownMember):
        hosted.join(replace(JOINING, member_id=refusal.value.member_id), now=trio.current_time())
