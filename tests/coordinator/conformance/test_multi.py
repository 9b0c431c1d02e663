"""The store port, multi: all or nothing, and who was at fault."""

from __future__ import annotations

import pytest

from coordinator.store import (
    BadVersion,
    Check,
    Create,
    Delete,
    MultiFailed,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    Set,
)


async def test_a_multi_does_all_and_tells_each_result(store, names):
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
async def test_a_refused_multi_names_the_culprit_and_changes_nothing(store, index, names):
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


async def test_a_multi_may_only_check(store):
    await store.create("/a")

    assert await store.multi([Check("/a", 0)]) == [None]
    with pytest.raises(MultiFailed):
        await store.multi([Check("/a", 1)])
