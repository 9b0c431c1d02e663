"""Laws of slow, blocked, isolated and broken links, on virtual time."""

from __future__ import annotations

import random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from simulation.network import MemoryNetwork, MemoryStream
from tests.support.effort import examples


@pytest.fixture
def network():
    return MemoryNetwork()


async def connected(network: MemoryNetwork) -> tuple[MemoryStream, MemoryStream]:
    """Connect a to b; gives the end of a and the end of b."""
    listener = await network.host("b").listen("b", 0)
    near = await network.host("a").connect("b", listener.port)
    return near, await listener.accept()


async def is_silent(stream: MemoryStream, seconds: float = 1000) -> bool:
    with trio.move_on_after(seconds) as waiting:
        await stream.receive_some()
    return waiting.cancelled_caught


# Latency and bandwidth.


async def test_bytes_arrive_after_the_latency_of_their_direction(network, autojump_clock):
    near, far = await connected(network)
    network.set_link("a", "b", lambda: 2.0)
    network.set_link("b", "a", lambda: 5.0)

    await near.send_all(b"there")
    assert trio.current_time() == 0
    assert await far.receive_some() == b"there"
    assert trio.current_time() == pytest.approx(2)
    await far.send_all(b"back")
    assert await near.receive_some() == b"back"
    assert trio.current_time() == pytest.approx(7)


async def test_a_connect_takes_a_round_trip_and_so_does_its_refusal(network, autojump_clock):
    network.set_link("a", "b", lambda: 2.0)
    network.set_link("b", "a", lambda: 5.0)

    await connected(network)
    assert trio.current_time() == pytest.approx(7)
    with pytest.raises(ConnectionRefusedError):
        await network.host("a").connect("b", 1)
    assert trio.current_time() == pytest.approx(14)


async def test_a_connect_given_up_halfway_is_seen_to_break(network, autojump_clock):
    listener = await network.host("b").listen("b", 9092)
    network.set_link("b", "a", lambda: 5.0)

    with trio.move_on_after(1):
        await network.host("a").connect("b", 9092)

    with pytest.raises(trio.BrokenResourceError):
        await (await listener.accept()).receive_some()


async def test_all_connections_of_a_link_share_its_bandwidth(network, autojump_clock):
    first, second = await connected(network), await connected(network)
    network.set_link("a", "b", bytes_per_s=100)

    await first[0].send_all(bytes(100))
    await second[0].send_all(bytes(200))

    assert await second[1].receive_some() == bytes(200)
    assert trio.current_time() == pytest.approx(3)
    assert await first[1].receive_some() == bytes(100)
    assert trio.current_time() == pytest.approx(3)


async def test_restored_links_are_quick(network, autojump_clock):
    near, far = await connected(network)
    network.set_link("a", "b", lambda: 1000.0, bytes_per_s=1)
    network.restore_links()

    await near.send_all(b"x" * 1000)

    assert await far.receive_some() == b"x" * 1000
    assert trio.current_time() == 0


async def test_a_close_is_seen_after_what_was_sent_and_after_the_latency(network, autojump_clock):
    near, far = await connected(network)
    network.set_link("a", "b", lambda: 2.0)

    await near.send_all(b"last")
    await near.aclose()
    await far.send_all(b"nobody knows yet")

    assert await far.receive_some() == b"last"
    assert await far.receive_some() == b""
    assert trio.current_time() == pytest.approx(2)
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


async def test_nothing_overtakes_what_was_sent_before_it_on_the_same_stream(
    network, autojump_clock
):
    near, far = await connected(network)
    delays = iter([100.0, 1.0, 1.0])
    network.set_link("a", "b", lambda: next(delays))
    await near.send_all(b"first")
    await near.send_all(b"second")
    await near.aclose()

    await trio.sleep(99)
    await far.send_all(b"the close has not arrived either")
    assert await far.receive_some() == b"first"
    assert trio.current_time() == pytest.approx(100)
    assert await far.receive_some() == b"second"
    assert await far.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")


async def test_a_sender_that_waits_for_room_learns_of_the_close_when_it_arrives(autojump_clock):
    network = MemoryNetwork(pipe_bytes=10)
    near, far = await connected(network)
    network.set_link("b", "a", lambda: 2.0)
    await far.aclose()

    with pytest.raises(trio.BrokenResourceError):
        await near.send_all(b"x" * 11)

    assert trio.current_time() == pytest.approx(2)


async def test_a_reset_overtakes_what_would_arrive_after_it(network, autojump_clock):
    near, far = await connected(network)
    network.set_link("a", "b", lambda: 1.0)
    await near.send_all(b"early")
    network.set_link("a", "b", lambda: 100.0)
    await near.send_all(b"late")
    network.set_link("a", "b", lambda: 2.0)

    network.kill("a")

    with pytest.raises(trio.BrokenResourceError):
        await near.receive_some()
    assert await far.receive_some() == b"early"
    with pytest.raises(trio.BrokenResourceError):
        await far.receive_some()
    assert trio.current_time() == pytest.approx(2)


# Silent faults.


async def test_a_blocked_link_holds_back_one_direction_and_then_delivers(network, autojump_clock):
    near, far = await connected(network)
    network.set_link("a", "b", lambda: 2.0)
    await near.send_all(b"under way ")
    network.block("a", "b")
    await near.send_all(b"held ")
    await near.send_all(b"back")

    await far.send_all(b"the way back is open")
    assert await near.receive_some() == b"the way back is open"
    assert await far.receive_some() == b"under way "
    assert await is_silent(far)
    unblocked_at = trio.current_time()
    network.unblock("a", "b")

    assert await far.receive_some() + await far.receive_some() == b"held back"
    assert trio.current_time() == pytest.approx(unblocked_at + 2)


async def test_a_sender_to_a_blocked_host_waits_only_once_the_stream_is_full(autojump_clock):
    network = MemoryNetwork(pipe_bytes=10)
    near, far = await connected(network)
    network.block("a", "b")

    await near.send_all(b"x" * 10)
    with trio.move_on_after(1000) as waiting:
        await near.send_all(b"x")

    assert waiting.cancelled_caught
    network.unblock("a", "b")
    assert await far.receive_some() == b"x" * 10


@pytest.mark.parametrize("ends", [("a", "b"), ("b", "a")], ids=["there", "back"])
async def test_a_connect_over_a_blocked_link_hangs_until_it_is_open(network, autojump_clock, ends):
    network.block(*ends)
    opened = trio.Event()

    async def connect() -> None:
        await connected(network)
        opened.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect)
        with trio.move_on_after(1000) as waiting:
            await opened.wait()
        assert waiting.cancelled_caught
        network.unblock(*ends)
        with trio.fail_after(1):
            await opened.wait()


@pytest.mark.parametrize("end", ["close", "kill"])
async def test_an_end_is_not_seen_over_a_blocked_link(network, autojump_clock, end):
    near, far = await connected(network)
    network.block("a", "b")

    await near.send_all(b"sent")
    if end == "close":
        await near.aclose()
    else:
        network.kill("a")

    assert await is_silent(far)
    await far.send_all(b"into the void")
    network.unblock("a", "b")
    if end == "close":
        assert await far.receive_some() == b"sent"
        assert await far.receive_some() == b""
    else:
        with pytest.raises(trio.BrokenResourceError):
            await far.receive_some()


async def test_an_isolated_host_reaches_nobody_until_it_rejoins(network, autojump_clock):
    near, far = await connected(network)
    network.isolate("b")
    listener = await network.host("b").listen("b", 9092)

    await near.send_all(b"x")
    await far.send_all(b"y")
    assert await is_silent(near)
    assert await is_silent(far)
    with trio.move_on_after(1000) as waiting:
        await network.host("newcomer").connect("b", 9092)
    assert waiting.cancelled_caught
    itself = await network.host("b").connect("localhost", 9092)
    await itself.send_all(b"me")
    assert await (await listener.accept()).receive_some() == b"me"

    network.rejoin_host("b")
    assert await near.receive_some() == b"y"
    assert await far.receive_some() == b"x"


async def test_what_was_blocked_apart_from_an_isolation_stays_so_after_it(network, autojump_clock):
    near, far = await connected(network)
    network.block("a", "b")
    network.isolate("a")
    network.rejoin_host("a")

    await near.send_all(b"x")
    assert await is_silent(far)
    network.rejoin()
    assert await far.receive_some() == b"x"


async def test_two_isolated_hosts_are_apart_until_both_have_rejoined(network, autojump_clock):
    near, far = await connected(network)
    network.isolate("a")
    network.isolate("b")
    await near.send_all(b"x")

    network.rejoin_host("a")
    assert await is_silent(far)
    network.rejoin_host("b")
    assert await far.receive_some() == b"x"


async def test_rejoining_keeps_the_latency_of_links(network, autojump_clock):
    network.set_link("a", "b", lambda: 2.0)
    network.separate("a", "b")
    network.rejoin()

    await connected(network)

    assert trio.current_time() == pytest.approx(2)


# Loud faults.


async def test_an_unplugged_host_reaches_itself_alone_until_it_rejoins(network, autojump_clock):
    near, far = await connected(network)
    network.unplug("b")
    listener = await network.host("b").listen("b", 9092)

    for stream in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    with pytest.raises(OSError, match="cannot be reached"):
        await network.host("newcomer").connect("b", 9092)
    itself = await network.host("b").connect("localhost", 9092)
    await itself.send_all(b"me")
    assert await (await listener.accept()).receive_some() == b"me"

    network.plug_in("b")
    await network.host("newcomer").connect("b", 9092)


async def test_the_end_of_one_fault_does_not_end_another(network, autojump_clock):
    await network.host("b").listen("b", 9092)
    ends = ("a", "b")
    for begin, end in (
        (network.separate, network.reunite),
        (lambda *_: network.unplug("b"), lambda *_: network.plug_in("b")),
    ):
        begin(*ends)
        begin(*ends)
        end(*ends)
        with pytest.raises(OSError, match="cannot be reached"):
            await network.host("a").connect("b", 9092)
        end(*ends)
        await network.host("a").connect("b", 9092)
        end(*ends)  # of what was mended meanwhile
        begin(*ends)
        with pytest.raises(OSError, match="cannot be reached"):
            await network.host("a").connect("b", 9092)
        end(*ends)


async def test_a_reset_breaks_both_ends_at_once_and_new_connections_are_fine(
    network, autojump_clock
):
    near, far = await connected(network)
    network.set_link("b", "a", lambda: 2.0)
    network.block("a", "b")
    await near.send_all(b"lost")
    network.reset("b")
    network.unblock("a", "b")

    for stream in (near, far):
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
    assert trio.current_time() == 0
    near, far = await connected(network)
    await near.send_all(b"new")
    assert await far.receive_some() == b"new"


# The law of a stream, whatever its link does.


@settings(max_examples=examples(60), deadline=None)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    read_size=st.integers(1, 200),
    latest_s=st.floats(0, 3),
    bytes_per_s=st.sampled_from([None, 50.0, 1000.0]),
    blocks=st.lists(st.tuples(st.floats(0.01, 3), st.floats(0.01, 3)), max_size=4),
    seed=st.integers(0, 1000),
)
def test_bytes_arrive_once_in_order_and_never_before_the_latency(
    sizes, read_size, latest_s, bytes_per_s, blocks, seed
):
    chance = random.Random(seed)
    fastest_s = latest_s / 2
    sent: list[tuple[float, int]] = []  # when, and how many bytes were sent by then

    async def send(stream: MemoryStream) -> None:
        total = 0
        async with stream:
            for size in sizes:
                data = bytes((total + place) % 251 for place in range(size))
                total += size
                sent.append((trio.current_time(), total))
                await stream.send_all(data)
                await trio.sleep(chance.uniform(0, 0.5))

    async def disturb(network: MemoryNetwork) -> None:
        for pause_s, block_s in blocks:
            await trio.sleep(pause_s)
            network.block("a", "b")
            await trio.sleep(block_s)
            network.unblock("a", "b")

    async def main() -> tuple[bytes, float]:
        network = MemoryNetwork(pipe_bytes=256)
        near, far = await connected(network)
        network.set_link("a", "b", lambda: chance.uniform(fastest_s, latest_s), bytes_per_s)
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, near)
            nursery.start_soon(disturb, network)
            while data := await far.receive_some(read_size):
                received += data
                sent_at = next(at for at, total in sent if total >= len(received))
                assert trio.current_time() >= sent_at + fastest_s
        return bytes(received), trio.current_time()

    received, ended_at = trio.run(main, clock=MockClock(autojump_threshold=0))

    assert received == bytes(place % 251 for place in range(sum(sizes)))
    if bytes_per_s is not None:
        assert ended_at >= sum(sizes) / bytes_per_s - 1e-6
