"""The laws of the store port, checked on every implementation of it.

Each test gets `connect`: a factory of sessions with one cluster that is empty at first.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
import trio.testing

from coordinator.memory import MemoryCluster
from coordinator.store import (
    ANY_VERSION,
    REQUEST_BYTES_MAX,
    BadVersion,
    Check,
    Create,
    Delete,
    MultiFailed,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    SessionLost,
    Set,
    TooLarge,
)
from coordinator.zookeeper import connect_zookeeper

PATIENCE_S = 5.0


@pytest.fixture(
    params=["memory", "embedded", pytest.param("zookeeper", marks=pytest.mark.zookeeper)]
)
def connect(request):
    """Sessions of one cluster. With a server, every test has a root of its own there."""
    if request.param == "memory":
        return MemoryCluster().connect
    server = request.getfixturevalue(request.param)
    return partial(connect_zookeeper, f"{server.hosts}/{request.node.name}")


@pytest.fixture
async def sessions(connect):
    """Two sessions with one cluster."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect()) for _ in range(2)]


@pytest.fixture
async def store(connect):
    """A session."""
    async with connect() as store:
        yield store


class Bell:
    """A watch: counts its calls, and can be waited for."""

    def __init__(self) -> None:
        self.count = 0
        self._rang = trio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._rang.set()

    async def wait(self) -> None:
        with trio.fail_after(PATIENCE_S):
            await self._rang.wait()


async def names(store):
    """The znodes at the top, without ZooKeeper's own."""
    return [name for name in await store.children("/") if name != "zookeeper"]


# --- create ----------------------------------------------------------------------------------


async def test_a_created_znode_is_returned_with_its_path_and_stat(store):
    path, stat = await store.create("/a", b"value")

    assert path == "/a"
    assert (stat.version, stat.children_version, stat.children, stat.owner) == (0, 0, 0, 0)
    assert stat.czxid == stat.mzxid > 0
    assert await store.get("/a") == (b"value", stat)


async def test_create_refuses_what_exists(store):
    await store.create("/a")

    with pytest.raises(NodeExists):
        await store.create("/a")


async def test_create_needs_the_parent(store):
    with pytest.raises(NoNode):
        await store.create("/a/b")


async def test_an_ephemeral_znode_names_its_owner(store):
    _, stat = await store.create("/e", ephemeral=True)

    assert stat.owner == store.session_id != 0


async def test_an_ephemeral_znode_has_no_children(store):
    await store.create("/e", ephemeral=True)

    with pytest.raises(NoChildrenForEphemerals):
        await store.create("/e/child")


async def test_sequential_znodes_are_numbered_by_the_children_ever_created(store):
    await store.create("/q")
    first, _ = await store.create("/q/n-", sequence=True)
    await store.create("/q/other")
    await store.delete("/q/other")
    second, _ = await store.create("/q/n-", sequence=True)
    third, _ = await store.create("/q/m-", sequence=True, ephemeral=True)

    assert (first, second, third) == ("/q/n-0000000000", "/q/n-0000000002", "/q/m-0000000003")


async def test_an_empty_value_and_a_binary_one_are_kept(store):
    await store.create("/empty")
    await store.create("/binary", bytes(range(256)))

    assert (await store.get("/empty"))[0] == b""
    assert (await store.get("/binary"))[0] == bytes(range(256))


async def test_names_may_be_of_any_script(store):
    path, _ = await store.create("/тема-主题", b"v")

    assert path == "/тема-主题"
    assert await names(store) == ["тема-主题"]


# --- read ------------------------------------------------------------------------------------


async def test_get_and_children_refuse_what_does_not_exist(store):
    with pytest.raises(NoNode):
        await store.get("/missing")
    with pytest.raises(NoNode):
        await store.children("/missing")


async def test_exists_tells_the_stat_or_none(store):
    _, stat = await store.create("/a")

    assert await store.exists("/a") == stat
    assert await store.exists("/b") is None


async def test_children_are_sorted_names(store):
    for path in ("/b", "/a", "/c", "/a/z", "/a/y"):
        await store.create(path)

    assert await names(store) == ["a", "b", "c"]
    assert await store.children("/a") == ["y", "z"]
    assert await store.children("/b") == []


async def test_the_parent_counts_its_children_and_their_changes(store):
    _, created = await store.create("/a")
    await store.create("/a/b")
    await store.create("/a/c")
    await store.delete("/a/b")
    stat = await store.exists("/a")

    assert (stat.children, stat.children_version, stat.version) == (1, 3, 0)
    assert (stat.czxid, stat.mzxid) == (created.czxid, created.mzxid)


async def test_a_session_reads_what_another_has_written(sessions):
    one, other = sessions
    _, stat = await one.create("/a", b"1")
    await other.set("/a", b"2", version=stat.version)

    value, seen = await one.get("/a")
    assert (value, seen.version) == (b"2", 1)


# --- set and delete --------------------------------------------------------------------------


async def test_set_replaces_the_value_and_counts_its_version(store):
    _, created = await store.create("/a", b"0")
    first = await store.set("/a", b"1", version=0)
    second = await store.set("/a", b"2", version=ANY_VERSION)

    assert (first.version, second.version) == (1, 2)
    assert created.czxid == second.czxid < first.mzxid < second.mzxid
    assert await store.get("/a") == (b"2", second)


async def test_set_refuses_another_version_and_changes_nothing(store):
    await store.create("/a", b"0")

    with pytest.raises(BadVersion):
        await store.set("/a", b"1", version=1)
    value, stat = await store.get("/a")
    assert (value, stat.version) == (b"0", 0)


async def test_set_and_delete_refuse_what_does_not_exist(store):
    with pytest.raises(NoNode):
        await store.set("/missing", b"")
    with pytest.raises(NoNode):
        await store.delete("/missing")


async def test_delete_refuses_another_version(store):
    await store.create("/a")
    await store.set("/a", b"1")

    with pytest.raises(BadVersion):
        await store.delete("/a", version=0)
    await store.delete("/a", version=1)
    assert await store.exists("/a") is None


async def test_delete_refuses_a_parent(store):
    await store.create("/a")
    await store.create("/a/b")

    with pytest.raises(NotEmpty):
        await store.delete("/a")


async def test_a_recreated_znode_begins_again_under_a_new_czxid(store):
    _, before = await store.create("/a", b"1")
    await store.set("/a", b"2")
    await store.delete("/a")
    _, after = await store.create("/a", b"3")

    assert after.version == 0
    assert after.czxid > before.czxid


# --- size ------------------------------------------------------------------------------------


async def test_a_value_near_the_limit_is_kept(store):
    value = b"x" * (REQUEST_BYTES_MAX - 100)
    await store.create("/large", value)
    await store.set("/large", value)

    assert (await store.get("/large"))[0] == value


async def test_a_request_over_the_limit_is_refused_and_the_session_goes_on(store):
    value = b"x" * REQUEST_BYTES_MAX
    half = value[: REQUEST_BYTES_MAX // 2]
    await store.create("/a")

    with pytest.raises(TooLarge):
        await store.create("/large", value)
    with pytest.raises(TooLarge):
        await store.set("/a", value)
    with pytest.raises(TooLarge):
        await store.multi([Set("/a", half), Set("/a", half)])
    assert await names(store) == ["a"]


# --- multi -----------------------------------------------------------------------------------


async def test_a_multi_does_all_and_tells_each_result(store):
    await store.create("/a", b"0")
    results = await store.multi(
        [
            Check("/a", 0),
            Set("/a", b"1", version=0),
            Create("/a/b", b"child"),
            Create("/a/n-", sequence=True),
            Create("/gone"),
            Delete("/gone"),
            Check("/a", 1),
        ]
    )
    stat = await store.exists("/a")

    assert results[0] is results[5] is results[6] is None
    assert (results[1].version, results[1].mzxid) == (1, stat.mzxid)
    assert results[2:5] == ["/a/b", "/a/n-0000000001", "/gone"]
    assert await names(store) == ["a"]
    assert await store.get("/a/b") == (b"child", await store.exists("/a/b"))


async def test_all_of_a_multi_has_one_zxid(store):
    await store.multi([Create("/a"), Create("/b"), Create("/c")])

    assert len({(await store.exists(path)).czxid for path in ("/a", "/b", "/c")}) == 1


@pytest.mark.parametrize("index", range(4))
async def test_a_refused_multi_names_the_culprit_and_changes_nothing(store, index):
    await store.create("/a", b"0")
    operations = [Set("/a", b"1"), Create("/b"), Delete("/b"), Create("/c", ephemeral=True)]
    operations.insert(index, Check("/a", 7))

    with pytest.raises(MultiFailed) as refused:
        await store.multi(operations)
    assert refused.value.index == index
    assert type(refused.value.cause) is BadVersion
    assert await names(store) == ["a"]
    assert (await store.get("/a"))[0] == b"0"


@pytest.mark.parametrize(
    ("operation", "cause"),
    [
        (Create("/a"), NodeExists),
        (Create("/missing/b"), NoNode),
        (Create("/e/child"), NoChildrenForEphemerals),
        (Set("/missing", b""), NoNode),
        (Set("/a", b"", version=3), BadVersion),
        (Delete("/missing"), NoNode),
        (Delete("/a", version=3), BadVersion),
        (Delete("/p"), NotEmpty),
        (Check("/missing"), NoNode),
        (Check("/a", 3), BadVersion),
    ],
)
async def test_a_multi_is_refused_for_the_reason_of_its_operation(store, operation, cause):
    await store.create("/a")
    await store.create("/p")
    await store.create("/p/child")
    await store.create("/e", ephemeral=True)

    with pytest.raises(MultiFailed) as refused:
        await store.multi([Check("/a", 0), operation, Create("/never")])
    assert (refused.value.index, type(refused.value.cause)) == (1, cause)
    assert await store.exists("/never") is None


async def test_the_operations_of_a_multi_see_those_before_them(store):
    await store.multi(
        [Create("/a"), Create("/a/b"), Set("/a/b", b"1", version=0), Check("/a/b", 1)]
    )

    with pytest.raises(MultiFailed) as refused:
        await store.multi([Delete("/a/b"), Delete("/a"), Check("/a")])
    assert (refused.value.index, type(refused.value.cause)) == (2, NoNode)


async def test_an_empty_multi_does_nothing(store):
    assert await store.multi([]) == []


# --- watches ---------------------------------------------------------------------------------


async def test_a_watch_of_a_value_is_called_once(sessions):
    one, other = sessions
    await one.create("/a", b"0")
    bell = Bell()
    await one.get("/a", watch=bell)
    await other.set("/a", b"1")
    await bell.wait()
    await other.set("/a", b"2")
    await one.exists("/a")

    assert bell.count == 1


@pytest.mark.parametrize("read", ["get", "exists"])
async def test_a_watch_of_a_znode_is_called_when_it_is_deleted(sessions, read):
    one, other = sessions
    await one.create("/a")
    bell = Bell()
    await getattr(one, read)("/a", watch=bell)
    await other.delete("/a")

    await bell.wait()


async def test_a_watch_of_what_does_not_exist_is_called_when_it_is_created(sessions):
    one, other = sessions
    bell = Bell()
    assert await one.exists("/a", watch=bell) is None
    await other.create("/a")

    await bell.wait()


async def test_a_watch_of_a_read_that_was_refused_is_never_called(store):
    bell = Bell()
    with pytest.raises(NoNode):
        await store.get("/a", watch=bell)
    await store.create("/a")
    await store.set("/a", b"1")
    await store.delete("/a")

    assert bell.count == 0


@pytest.mark.parametrize("change", [Create("/p/new"), Delete("/p/old")])
async def test_a_watch_of_children_is_called_when_one_comes_or_goes(sessions, change):
    one, other = sessions
    await one.create("/p")
    await one.create("/p/old")
    bell = Bell()
    await one.children("/p", watch=bell)
    await other.multi([change])

    await bell.wait()


async def test_a_watch_of_children_is_called_when_the_parent_is_deleted(sessions):
    one, other = sessions
    await one.create("/p")
    bell = Bell()
    await one.children("/p", watch=bell)
    await other.delete("/p")

    await bell.wait()


async def test_a_watch_of_children_sleeps_through_changes_of_values(sessions):
    one, other = sessions
    await one.create("/p")
    await one.create("/p/child")
    bell = Bell()
    await one.children("/p", watch=bell)
    await other.set("/p", b"1")
    await other.set("/p/child", b"1")
    await one.exists("/p")
    assert bell.count == 0

    await other.delete("/p/child")
    await bell.wait()


async def test_a_watch_of_a_value_sleeps_through_changes_of_children(sessions):
    one, other = sessions
    await one.create("/p")
    bell = Bell()
    await one.get("/p", watch=bell)
    await other.create("/p/child")
    await one.exists("/p")
    assert bell.count == 0

    await other.set("/p", b"1")
    await bell.wait()


async def test_every_watch_of_a_znode_is_called(store):
    await store.create("/a")
    bells = [Bell() for _ in range(3)]
    await store.get("/a", watch=bells[0])
    await store.exists("/a", watch=bells[1])
    await store.children("/a", watch=bells[2])
    await store.delete("/a")

    for bell in bells:
        await bell.wait()


async def test_a_refused_write_calls_no_watch(store):
    await store.create("/a")
    bell = Bell()
    await store.get("/a", watch=bell)
    with pytest.raises(MultiFailed):
        await store.multi([Set("/a", b"1"), Check("/missing")])
    await store.exists("/a")

    assert bell.count == 0


async def test_what_a_watch_tells_is_seen_by_the_read_after_it(sessions):
    one, other = sessions
    await one.create("/a", b"0")
    for value in (b"1", b"2", b"3"):
        bell = Bell()
        await one.get("/a", watch=bell)
        await other.set("/a", value)
        await bell.wait()
        assert (await one.get("/a"))[0] == value


# --- sessions --------------------------------------------------------------------------------


async def test_sessions_have_ids_of_their_own(sessions):
    assert sessions[0].session_id != sessions[1].session_id


async def test_closing_a_session_removes_its_ephemerals_and_tells_the_others(connect):
    bell = Bell()
    async with connect() as observer:
        async with connect() as owner:
            await owner.create("/stays")
            await owner.create("/e", ephemeral=True)
            await observer.exists("/e", watch=bell)
        await bell.wait()

        assert await names(observer) == ["stays"]


async def test_another_session_may_delete_an_ephemeral(sessions):
    one, other = sessions
    await one.create("/e", ephemeral=True)
    await other.delete("/e")

    assert await one.exists("/e") is None


async def test_every_call_of_a_closed_session_raises_session_lost(connect):
    async with connect() as store:
        await store.create("/a")

    calls = [
        partial(store.create, "/b"),
        partial(store.get, "/a"),
        partial(store.exists, "/a"),
        partial(store.children, "/"),
        partial(store.set, "/a", b""),
        partial(store.delete, "/a"),
        partial(store.multi, [Check("/a")]),
    ]
    for call in calls:
        with pytest.raises(SessionLost):
            await call()
    with trio.fail_after(PATIENCE_S):
        await store.wait_lost()


async def test_closing_a_session_calls_its_watches_and_wakes_who_waits_for_its_end(
    connect, nursery
):
    bell, lost = Bell(), trio.Event()

    async def wait_lost(store):
        await store.wait_lost()
        lost.set()

    async with connect() as store:
        await store.exists("/a", watch=bell)
        nursery.start_soon(wait_lost, store)
        await trio.testing.wait_all_tasks_blocked()
        assert not lost.is_set()

    await bell.wait()
    with trio.fail_after(PATIENCE_S):
        await lost.wait()


async def test_the_lease_lasts_for_the_session_timeout_and_never_falls(store):
    leases = []
    for _ in range(20):
        await store.set("/", b"")
        asked_at, lease = trio.current_time(), store.lease_until
        assert asked_at < lease <= trio.current_time() + store.session_timeout_s
        leases.append(lease)

    assert leases == sorted(leases)


async def test_an_exception_of_the_holder_passes_through_unwrapped(connect):
    with pytest.raises(ZeroDivisionError):
        async with connect():
            raise ZeroDivisionError


# --- many at once ----------------------------------------------------------------------------


async def test_hundreds_of_calls_at_once_are_all_answered_in_order(store):
    await store.create("/q")
    created = {}

    async def create(number):
        created[number], _ = await store.create("/q/", sequence=True)

    async with trio.open_nursery() as nursery:
        for number in range(400):
            nursery.start_soon(create, number)

    assert len(set(created.values())) == 400
    assert len(await store.children("/q")) == 400


async def test_a_cancelled_call_is_abandoned_and_the_session_goes_on(store):
    await store.create("/a", b"0")
    for number in range(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.set, "/a", b"%d" % number)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    await store.set("/a", b"last")
    assert (await store.get("/a"))[0] == b"last"


async def test_of_two_writers_of_a_version_one_wins(sessions):
    await sessions[0].create("/a")
    outcomes = []

    async def write(store):
        try:
            await store.set("/a", b"mine", version=0)
        except BadVersion:
            outcomes.append("lost")
        else:
            outcomes.append("won")

    async with trio.open_nursery() as nursery:
        for store in sessions:
            nursery.start_soon(write, store)

    assert sorted(outcomes) == ["lost", "won"]
