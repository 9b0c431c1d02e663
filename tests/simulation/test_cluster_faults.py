"""Laws of a simulated machine's faults: clocks that jump, processes that are paused."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic, Producer
from protocol.errors import RequestError
from simulation.cluster import EPOCH_MS, PORT, SimulatedBroker, SimulatedCluster, simulated_cluster
from simulation.scheduling import deterministic_scheduling
from tests.cluster.orders import TOPIC, consume

SESSION_S = 6


async def create(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("admin")) as admin:
        await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=3))


async def produce(cluster: SimulatedCluster, value: bytes) -> None:
    async with Producer(cluster.bootstrap, environment=cluster.environment("client")) as producer:
        await producer.send(TOPIC, value, partition=0)


def leads(machine: SimulatedBroker) -> bool:
    try:
        for partition in machine.broker.partitions.led():
            partition.require_leader()
            return True
    except RequestError:
        pass
    return False


def only_leader(cluster: SimulatedCluster) -> SimulatedBroker:
    (leader,) = filter(leads, cluster.brokers.values())
    return leader


async def wait_in_sync(cluster: SimulatedCluster) -> None:
    async with Admin(cluster.bootstrap, environment=cluster.environment("watcher")) as admin:
        while True:
            topic = (await admin.describe_topics([TOPIC]))[TOPIC]
            if len(topic.partitions[0].isr) == 3:
                return
            await trio.sleep(0.05)


async def test_a_clock_that_jumps_is_seen_at_once_by_its_host_alone(autojump_clock):
    async with simulated_cluster(2) as cluster:
        one, two = (cluster.brokers[n].broker for n in (1, 2))
        client = cluster.environment("client")
        before = one.wall_ms()

        cluster.jump_clock("broker-1", 3600)
        assert one.wall_ms() == before + 3_600_000
        cluster.jump_clock("broker-1", -7200.5)
        assert one.wall_ms() == before - 3_600_500
        assert two.wall_ms() == client.wall_ms() == before
        assert cluster.environment("broker-1").wall_ms() == one.wall_ms()
        await trio.sleep(1)
        assert one.wall_ms() == pytest.approx(before - 3_600_500 + 1000, abs=1)
        assert client.wall_ms() == EPOCH_MS + int(trio.current_time() * 1000)


async def test_a_short_pause_costs_nothing_but_time(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        await produce(cluster, b"before")
        leader = only_leader(cluster)
        session_id = leader.store.session_id
        done_at: list[float] = []

        async def produce_meanwhile() -> None:
            await produce(cluster, b"meanwhile")
            done_at.append(trio.current_time())

        leader.pause()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce_meanwhile)
            await trio.sleep(SESSION_S / 2)
            resumed_at = trio.current_time()
            leader.resume()

        assert done_at[0] >= resumed_at
        assert only_leader(cluster) is leader
        assert leader.store.session_id == session_id
        assert await consume(cluster, 2) == [b"before", b"meanwhile"]


async def test_a_leader_paused_past_its_session_is_replaced_and_follows_afterwards(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        await produce(cluster, b"before")
        old = only_leader(cluster)

        old.pause()
        await produce(cluster, b"meanwhile")
        end_offsets = [partition.log.log_end_offset for partition in old.broker.partitions.led()]
        assert end_offsets == [1]
        old.resume()
        assert not leads(old)
        await wait_in_sync(cluster)

        await produce(cluster, b"after")
        assert await consume(cluster, 3) == [b"before", b"meanwhile", b"after"]


async def test_a_paused_broker_accepts_connections_and_answers_when_it_is_resumed(autojump_clock):
    async with simulated_cluster(1) as cluster:
        machine = cluster.brokers[1]
        machine.pause()
        stream = await cluster.network.host("client").connect(machine.host, PORT)
        # ApiVersions, version 0, correlation id 7, no client id
        await stream.send_all(bytes.fromhex("0000000a 0012 0000 00000007 ffff"))
        with trio.move_on_after(1000) as waiting:
            await stream.receive_some()
        assert waiting.cancelled_caught

        machine.resume()

        assert (await stream.receive_some())[4:8] == bytes.fromhex("00000007")


async def test_a_paused_broker_can_be_killed_and_started_again(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        await produce(cluster, b"before")
        machine = only_leader(cluster)
        machine.pause()

        with trio.fail_after(1):
            await machine.kill()
        assert not machine.is_running
        await machine.start()
        await wait_in_sync(cluster)

        assert await consume(cluster, 1) == [b"before"]


async def test_a_cluster_can_be_left_while_a_broker_is_paused(autojump_clock):
    with trio.fail_after(1):
        async with simulated_cluster(1) as cluster:
            cluster.brokers[1].pause()


async def test_resuming_does_not_reconnect_who_is_cut_off(autojump_clock):
    async with simulated_cluster(1) as cluster:
        machine = cluster.brokers[1]
        machine.pause()
        cluster.cut_from_store(1)
        machine.resume()

        assert not machine.store.connected


async def test_resuming_does_not_keep_the_session_of_an_earlier_process_alive(autojump_clock):
    async with simulated_cluster(1) as cluster:
        machine = cluster.brokers[1]
        session_id = machine.store.session_id
        await machine.kill()
        cluster.cut_from_store(1)
        await machine.start(wait_registered=False)
        machine.pause()
        cluster.reconnect_to_store(1)
        machine.resume()
        await trio.sleep(SESSION_S + 1)

        assert session_id not in cluster.memory.session_ids


async def test_brokers_work_over_links_that_are_slow(autojump_clock):
    async with simulated_cluster(3) as cluster:
        hosts = [machine.host for machine in cluster.brokers.values()]
        for source in hosts:
            for target in hosts:
                if source != target:
                    cluster.network.set_link(source, target, lambda: 0.05, bytes_per_s=1e6)
        await create(cluster)
        started_at = trio.current_time()
        await produce(cluster, b"x")

        assert trio.current_time() >= started_at + 0.1
        assert await consume(cluster, 1) == [b"x"]


def story(seed: int) -> list[tuple[float, object]]:
    async def main() -> list[tuple[float, object]]:
        told: list[tuple[float, object]] = []
        async with simulated_cluster(3, seed=seed) as cluster:
            chance = cluster.environment("links").random
            cluster.network.set_link("broker-1", "broker-2", lambda: chance.uniform(0, 0.2))
            await create(cluster)
            for number in range(6):
                machine = cluster.brokers[chance.randint(1, 3)]
                if number % 2:
                    machine.pause()
                else:
                    cluster.network.isolate(machine.host)
                with trio.move_on_after(chance.uniform(1, 10)):
                    await produce(cluster, b"%d" % number)
                    told.append((trio.current_time(), number))
                machine.resume()
                cluster.network.rejoin()
            await wait_in_sync(cluster)
            told.append((trio.current_time(), await consume(cluster, 1)))
        return told

    with deterministic_scheduling(seed):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_cluster_with_faults_tells_the_same_story_twice():
    assert story(3) == story(3)
    assert story(3) != story(4)


async def test_what_was_wrong_with_a_disk_excuses_one_process_and_not_the_next(autojump_clock):
    async with simulated_cluster(3) as cluster:
        await create(cluster)
        machine = cluster.brokers[1]
        machine.disk.fail_next_sync()
        with trio.fail_after(30):
            await produce(cluster, b"tea")
            await machine.wait_ended()
        assert machine.failure is not None
        assert not machine.disk.was_faulty

        await machine.start()
        machine.disk.was_faulty = True
        await machine.kill()
        assert not machine.disk.was_faulty
