"""Schemas that take long, or that there is no room for: everybody else goes on."""

from __future__ import annotations

import json

import pytest
import trio

from simulation.cluster import simulated_cluster
from tests.registry.test_failover import leader_of, schema_of
from tests.support.registries import registries

BOUND_S = 300


async def test_a_registration_does_not_wait_for_the_comparison_of_another(autojump_clock):
    begins: list[trio.Event | None] = []
    compared, goes_on = trio.Event(), trio.Event()

    async def elsewhere(compute):
        if (event := begins.pop(0) if begins else None) is not None:
            event.set()
            await goes_on.wait()
        compute()

    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1, elsewhere) as (_, (caller,), _nursery),
        ):
            first = '{"type":"enum","name":"E","symbols":["A"]}'
            second = '{"type":"enum","name":"E","symbols":["A","B"]}'
            await caller.register("slow", first)
            async with trio.open_nursery() as nursery:
                begins += [None, compared]  # it is parsed before
                nursery.start_soon(caller.register, "slow", second)
                await compared.wait()

                assert (await caller.register("quick", schema_of(1)))[0] == 200
                assert await caller.get("/subjects/slow/versions") == (200, [1])
                goes_on.set()

            assert await caller.get("/subjects/slow/versions") == (200, [1, 2])


@pytest.mark.parametrize("characters", range(1_048_300, 1_048_420, 40))
async def test_a_schema_for_which_a_record_has_no_room_leaves_the_leader_in_office(
    characters, autojump_clock
):
    text = json.dumps({"type": "record", "name": "R", "doc": "x" * characters, "fields": []})
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (running, (caller,), _nursery),
        ):
            leader = (await leader_of(running)).registry
            status, told = await caller.register("large", text)

            assert (status, told["error_code"]) == (500, 50001)
            assert "too large" in told["message"]
            assert leader.leads
