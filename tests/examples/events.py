"""Events for tests of the example's services, and services that crash between batches."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import strategies as st

from examples.social.contracts import Event
from examples.social.people import PEOPLE

PARTITIONS = 3
POST_IDS = tuple(f"run:{number}" for number in range(1, 7))


def post(post_id="run:1", *, user="mira", at=1_000, text="hello", hashtags=()) -> Event:
    return Event(post_id, user, post_id, at, "post", text, "", tuple(hashtags))


def like(number, post_id="run:1", *, user="teo", at=2_000) -> Event:
    return Event(f"run:{number}", user, post_id, at, "like")


def message(number, *, user="mira", to="teo", text="hi", at=2_000) -> Event:
    return Event(f"run:{number}", user, "", at, "message", text, to)


def apply_all(logic: Any, *events: Event, partition: int = 0) -> list[Any]:
    return [result for event in events for result in logic.apply(event, partition)]


def reborn(logic: Any) -> Any:
    """Give the service as its next process finds it."""
    return type(logic)(msgpack.unpackb(msgpack.packb(logic.plain()), strict_map_key=False))


def streams() -> st.SearchStrategy[list[tuple[Event, int]]]:
    """Events as they are read, each with its partition: all about a post is in one."""

    def event(drawn: tuple[int, str, str, int, str, str]) -> tuple[Event, int]:
        number, action, user, at, post_id, to = drawn
        about = "" if action == "message" else post_id
        partition = POST_IDS.index(post_id) % PARTITIONS
        fields = f"run:{number}", user, about, at, action, "text", to
        return Event(*fields), partition  # type: ignore[arg-type]

    one = st.tuples(
        st.integers(1, 60),
        st.sampled_from(["post", "like", "like", "message"]),
        st.sampled_from(PEOPLE),
        st.integers(0, 60_000),
        st.sampled_from(POST_IDS),
        st.sampled_from(PEOPLE),
    )
    return st.lists(one.map(event), max_size=40)
