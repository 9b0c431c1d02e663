"""How the example's processes keep state, hear of their end, and what the busy people do."""

from __future__ import annotations

import json
import os
import random
import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from client import ConsumerRecord, TopicPartition
from examples.social.activity import ACTIVE, next_request
from examples.social.people import FOLLOWS, PEOPLE, VISITOR, conversation_of
from examples.social.service import Progress
from examples.social.stage import Stage
from examples.social.state_file import StateFile


def record(offset: int, partition: int = 0) -> ConsumerRecord:
    return ConsumerRecord("events", partition, offset, 0, None, b"", (), 0)


def test_a_record_that_the_state_has_already_is_not_taken_again():
    progress = Progress()
    assert progress.note(record(4))
    saved = Progress(progress.plain("state"))

    assert not saved.note(record(4))
    assert not saved.note(record(3))
    assert saved.note(record(4, partition=1))
    assert saved.note(record(7))  # what a transaction leaves out, a compaction too
    assert saved.records == 3
    assert saved.state == "state"
    assert saved.offsets == {TopicPartition("events", 0): 8, TopicPartition("events", 1): 5}


async def test_a_state_that_is_half_written_is_not_there(tmp_path):
    file = StateFile(tmp_path / "new" / "state.msgpack")
    assert file.load() is None
    await file.save({"a": {1: 2}})
    (tmp_path / "new" / "state.new").write_bytes(b"\x81")  # killed while it wrote the next one

    assert file.load() == {"a": {1: 2}}
    await file.save({"b": 1})
    assert file.load() == {"b": 1}


@pytest.fixture
async def line(monkeypatch):
    """A stage, and the other end of its line."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr("examples.social.stage.STDIN", theirs.fileno())
        stage = Stage()
        yield ours, stage
        stage.close()


async def test_a_service_hears_what_it_is_told_line_by_line_and_the_end(line):
    (ours, stage), heard = line, []
    stage.heard = heard.append
    ours.sendall(b'{"a": 1}\n{"b"')
    ours.sendall(b": 2}\n")
    ours.shutdown(socket.SHUT_WR)
    with trio.fail_after(5):
        await stage.listen()

    assert heard == [{"a": 1}, {"b": 2}]


async def test_a_service_speaks_in_lines(line):
    ours, stage = line
    await stage.tell(records=3)

    assert json.loads(ours.recv(100)) == {"records": 3}


async def test_a_service_that_was_started_by_hand_has_nobody_to_tell(monkeypatch, autojump_clock):
    nothing = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr("examples.social.stage.STDIN", nothing)
    stage = Stage()
    await stage.tell(records=3)
    with trio.move_on_after(60) as patience:
        await stage.listen()
    os.close(nothing)

    assert patience.cancelled_caught


@given(seed=st.integers(0, 10_000), posts=st.integers(0, 5))
def test_busy_people_do_what_the_page_obeys(seed, posts):
    known = [{"post_id": f"run:{n}", "author": PEOPLE[n]} for n in range(posts)]

    request = next_request(random.Random(seed), known)

    fields = request.fields
    assert fields["user"] in ACTIVE
    assert VISITOR not in (fields["user"], fields.get("to"))
    if request.path == "/api/likes":
        authors = {post["post_id"]: post["author"] for post in known}
        assert authors[fields["post_id"]] != fields["user"]
    else:
        assert fields["text"]


def test_nobody_follows_strangers_and_a_conversation_has_one_name():
    assert all(followed <= set(PEOPLE) - {name} for name, followed in FOLLOWS.items())
    assert conversation_of("mira", "lin") == conversation_of("lin", "mira") == "lin~mira"
