"""The store port, single operations: what they do, tell and refuse."""

from __future__ import annotations

import pytest

from coordinator.store import (
    ANY_VERSION,
    REQUEST_BYTES_MAX,
    BadVersion,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    Set,
    TooLarge,
)

# --- create ---------------------------------------------------------------------------------------


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


async def test_names_may_be_of_any_script(store, names):
    path, _ = await store.create("/тема-主题", b"v")

    assert path == "/тема-主题"
    assert await names(store) == ["тема-主题"]


# --- read -----------------------------------------------------------------------------------------


async def test_get_and_children_refuse_what_does_not_exist(store):
    with pytest.raises(NoNode):
        await store.get("/missing")
    with pytest.raises(NoNode):
        await store.children("/missing")


async def test_exists_tells_the_stat_or_none(store):
    _, stat = await store.create("/a")

    assert await store.exists("/a") == stat
    assert await store.exists("/b") is None


async def test_children_are_sorted_names(store, names):
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


# --- set and delete -------------------------------------------------------------------------------


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


# --- size -----------------------------------------------------------------------------------------


async def test_a_value_near_the_limit_is_kept(store):
    value = b"x" * (REQUEST_BYTES_MAX - 100)
    await store.create("/large", value)
    await store.set("/large", value)

    assert (await store.get("/large"))[0] == value


async def test_a_request_over_the_limit_is_refused_and_the_session_goes_on(store, names):
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
