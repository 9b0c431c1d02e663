"""The whole demo: a cluster, its services and the page, while parts of all that are killed."""

from __future__ import annotations

import os
import signal
import time

import pytest
import trio

from client import Consumer, ConsumerConfig
from client.avro import AvroDeserializer
from client.schema_registry import SchemaRegistry
from examples.social.contracts import EVENTS, FEED, NOTIFICATIONS, TRENDING, Event
from examples.social.notifications import Notifications
from examples.social.trending import WINDOW_MS, Trending
from tests.support.demo import SETTLED_WITHIN_S, Demo
from tests.support.local_cluster import ottla

pytestmark = pytest.mark.slow


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    try:
        demo.start()
        yield demo
    finally:
        demo.close()


def pids_of_services(demo: Demo) -> list[int]:
    return [each["pid"] for each in demo.state()["services"]]


def starts_of(state: dict) -> dict[str, int]:
    return {each["name"]: each["starts"] for each in state["services"]}


async def read_all(demo: Demo) -> dict[str, list[tuple[int, dict]]]:
    """Read topics of the demo from their beginning, as far as they go now, with our own client."""
    found: dict[str, list[tuple[int, dict]]] = {}
    bootstrap = f"127.0.0.1:{demo.ports[0]}"
    with trio.fail_after(60):
        async with (
            SchemaRegistry(f"http://127.0.0.1:{demo.ports[0] - 1_011}") as registry,
            Consumer(bootstrap, ConsumerConfig(auto_offset_reset="earliest")) as consumer,
        ):
            decode = AvroDeserializer(registry)
            # What follows from events, then those.
            for topic in (FEED, TRENDING, NOTIFICATIONS, EVENTS):
                await consumer.assign_topics(topic)
                ends = await consumer.end_offsets(*consumer.assignment)
                records = found[topic] = []
                while any((consumer.position(p) or 0) < end for p, end in ends.items()):
                    for record in await consumer.poll(timeout_s=1):
                        value = await decode(topic, record.value)
                        records.append((record.partition, value))
    return found


def assert_as_if_nobody_had_died(found: dict[str, list[tuple[int, dict]]]) -> None:
    """Hold what services said against what services say that run once, without a pause."""
    ids = [value["event_id"] for _, value in found[EVENTS]]
    assert len(ids) == len(set(ids))
    wanted: dict[str, dict] = {TRENDING: {}, NOTIFICATIONS: {}}
    for logic in (Trending(), Notifications()):
        for partition, value in found[EVENTS]:
            for result in logic.apply(Event.of(value), partition):
                wanted[result.topic][name_of(result.value)] = result.value
    for topic, values in wanted.items():
        told = {name_of(value): value for _, value in found[topic]}
        assert told, f"nothing was said to {topic}"
        assert {name: values.get(name) for name in told} == told


def likers_in_the_feed(found: dict[str, list[tuple[int, dict]]], post: dict) -> list[str]:
    """Give who likes a post by what its author's feed says last."""
    said = [
        value["liked_by"]
        for _, value in found[FEED]
        if (value["user_id"], value["post_id"]) == (post["user_id"], post["post_id"])
    ]
    return said[-1]


def likers_notified(found: dict[str, list[tuple[int, dict]]], post: dict) -> list[str]:
    """Give of whom a post's author was told that they like it, for each notification."""
    told = {
        value["event_id"]: value["liker"]
        for _, value in found[NOTIFICATIONS]
        if (value["user_id"], value["post_id"]) == (post["user_id"], post["post_id"])
    }
    return list(told.values())


def name_of(value: dict) -> object:
    return value.get("event_id") or (value["window_start"], value["partition"])


def test_whatever_is_killed_nothing_acknowledged_is_lost_or_counted_twice(demo):
    before = demo.wait_whole(beyond=10)
    posted = demo.post("you", "here #today")
    demo.do("/api/likes", user="mira", post_id=posted["post_id"])
    demo.do("/api/leader/kill")
    killed_ms = time.time() * 1000
    for service in ("feed", "trending", "notifications", "messages"):
        demo.do("/api/processes", act="kill", name=service)
    demo.do("/api/likes", user="teo", post_id=posted["post_id"])
    state = demo.wait_whole(beyond=before["proof"]["acknowledged"] + 20)

    assert starts_of(state)["feed"] == starts_of(state)["trending"] == 2
    assert sorted(p for b in state["brokers"] for p in b["leads"]) == [0, 1, 2]

    demo.do("/api/processes", act="kill", name="posting")
    after = demo.wait_whole(beyond=state["proof"]["acknowledged"] + 10)
    assert starts_of(after)["posting"] == 2

    def what_was_open_is_counted() -> bool:
        """Whether a window has been told that was open when its counter was killed."""
        return any(
            each["window_start"] + WINDOW_MS > killed_ms for each in demo.state()["trending"]
        )

    demo.wait_for("the windows that were open", SETTLED_WITHIN_S, what_was_open_is_counted)
    found = trio.run(read_all, demo)
    assert_as_if_nobody_had_died(found)
    assert {"mira", "teo"} <= set(likers_in_the_feed(found, posted))
    notified = likers_notified(found, posted)
    assert {"mira", "teo"} <= set(notified)
    assert len(notified) == len(set(notified))


def test_the_schema_evolves_under_way_and_cannot_be_broken(demo):
    demo.wait_whole(beyond=5)
    first = demo.do("/api/posts", user="you", text="one #before")
    assert (first["schema"], "hashtags" in first) == (1, False)
    refusal = demo.do("/api/schema/break")["refusal"]
    demo.do("/api/schema/evolve")
    second = demo.do("/api/posts", user="you", text="two #after")

    assert second["hashtags"] == ["after"]
    for word in ("TYPE_MISMATCH", "timestamp", "READER_FIELD_MISSING_DEFAULT_VALUE", "mood"):
        assert word in refusal

    def both_are_seen() -> bool:
        tags = {each["post_id"]: each["hashtags"] for each in demo.state()["feed"]}
        return tags.get(first["post_id"]) == [] and tags.get(second["post_id"]) == ["after"]

    demo.wait_for("both posts in the feed", 20, both_are_seen)
    subjects = ottla("schema", "list", "--registry", f"http://127.0.0.1:{demo.ports[0] - 1_011}")
    assert "events-value" in subjects


def test_ctrl_c_ends_all_of_it_also_where_parts_have_died(demo):
    demo.wait_whole(beyond=5)
    demo.do("/api/leader/kill")
    for service in ("activity", "feed"):
        demo.do("/api/processes", act="kill", name=service)

    assert demo.interrupt() == 0
    assert demo.processes() == []


def test_no_service_outlives_a_demo_that_is_killed_and_the_next_one_carries_on(demo):
    before = demo.wait_whole(beyond=10)
    services = pids_of_services(demo)
    os.kill(demo.process.pid, signal.SIGKILL)
    demo.process.wait()

    demo.wait_for("the end of all services", 20, lambda: not set(services) & set(demo.processes()))
    ottla("down", "--data", str(demo.directory))
    assert demo.processes() == []

    demo.start()
    after = demo.wait_whole(beyond=before["proof"]["acknowledged"] + 5)
    assert after["proof"]["twice"] == 0
