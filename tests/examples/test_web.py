"""The page's endpoints, without a cluster behind them."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from starlette.requests import Request

from client.errors import NoBrokerReachable
from examples.social.feed import Feed
from examples.social.publisher import Ledger, Publisher
from examples.social.snapshot import Surroundings
from examples.social.state_file import StateFile
from examples.social.view import View
from examples.social.web import BODY_BYTES_MAX, TEXT_MAX, Refused, Web, _fields
from tests.examples.events import apply_all, post


class Told:
    """A stage that remembers orders."""

    def __init__(self) -> None:
        self.orders: list[dict] = []

    async def tell(self, **facts) -> None:
        self.orders.append(facts)


class Published:
    """A publisher without brokers."""

    def __init__(self) -> None:
        self.version, self.refusal = 1, ""
        self.events: list[tuple] = []
        self.failure: Exception | None = None

    async def publish(self, user, action, **fields):
        if self.failure is not None:
            raise self.failure
        self.events.append((user, action, fields))
        return {"event_id": "run:1"}

    async def evolve(self):
        self.version = 2
        return 7

    async def break_schema(self):
        self.refusal = "no"
        return "no"


@asynccontextmanager
async def browser(web: Web, host: str = "127.0.0.1:8080"):
    transport = httpx.ASGITransport(web.app())
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


@pytest.fixture
async def web(tmp_path) -> Web:
    view = View()
    for result in apply_all(Feed(), post("run:1", user="mira")):
        view.apply(result.topic, result.value)
    nodes = [{"name": str(n), "state": "running", "is_broker": True} for n in (1, 2, 3)]
    around = Surroundings(
        nodes=nodes, services=[{"name": "feed", "state": "running"}], leaders={0: 1, 1: 3, 2: 3}
    )
    ledger = Ledger(StateFile(tmp_path / "ledger"))
    return Web(view, ledger, Told(), Published(), around)


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/api/posts", {"user": "mira", "text": "hello"}, 200),
        ("/api/posts", {"user": "nobody", "text": "hello"}, 404),
        ("/api/posts", {"user": ["mira"], "text": "hello"}, 404),
        ("/api/posts", {"user": "mira", "text": "  "}, 422),
        ("/api/posts", {"user": "mira", "text": 7}, 422),
        ("/api/posts", {"user": "mira", "text": "x" * (TEXT_MAX + 1)}, 422),
        ("/api/posts", ["mira"], 400),
        ("/api/likes", {"user": "you", "post_id": "run:1"}, 200),
        ("/api/likes", {"user": "you", "post_id": "run:2"}, 404),
        ("/api/likes", {"user": "you", "post_id": {}}, 404),
        ("/api/messages", {"user": "you", "to": "lin", "text": "hello"}, 200),
        ("/api/messages", {"user": "you", "to": "you", "text": "hello"}, 422),
        ("/api/processes", {"act": "kill", "name": "feed"}, 200),
        ("/api/processes", {"act": "start", "name": "2"}, 200),
        ("/api/processes", {"act": "kill", "name": "sshd"}, 422),
        ("/api/processes", {"act": ["kill"], "name": "feed"}, 422),
        ("/api/schema/evolve", {}, 200),
        ("/api/schema/break", {}, 200),
    ],
)
async def test_a_request_is_obeyed_or_refused_with_a_reason(web, path, fields, status):
    async with browser(web) as http:
        answer = await http.post(path, json=fields)

    assert answer.status_code == status, answer.text
    assert ("error" in answer.json()) == (status != 200)


@pytest.mark.parametrize("path", ["/api/state", "/live"])
async def test_nothing_is_shown_to_somebody_who_is_not_there(web, path):
    async with browser(web) as http:
        answer = await http.get(path, params={"user": "bob"})

    assert answer.status_code == 404
    assert "there is no 'bob'" in answer.json()["error"]


async def test_a_body_is_read_no_further_than_it_may_be_long():
    parts = [{"type": "http.request", "body": b" " * 1_000, "more_body": True}] * 20

    async def receive():
        return parts.pop()

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    with pytest.raises(Refused) as refused:
        await _fields(Request(scope, receive))

    assert refused.value.status == 413
    assert len(parts) >= 20 - BODY_BYTES_MAX // 1_000 - 1


async def test_another_site_s_form_changes_nothing(web):
    async with browser(web) as http:
        answer = await http.post(
            "/api/leader/kill", content="{}", headers={"content-type": "text/plain"}
        )

    assert answer.status_code == 415
    assert web.stage.orders == []


async def test_a_name_that_leads_here_is_not_ours(web):
    async with browser(web, "evil.example") as http:
        assert (await http.get("/api/state")).status_code == 400


async def test_the_broker_is_killed_that_leads_most_of_the_events(web):
    async with browser(web) as http:
        answer = await http.post("/api/leader/kill", json={})

    assert answer.json() == {"node": 3}
    assert web.stage.orders == [{"act": "kill", "node": "3"}]


async def test_where_nobody_leads_nobody_is_killed(web):
    web.around.leaders = {0: -1, 1: -1, 2: -1}
    async with browser(web) as http:
        assert (await http.post("/api/leader/kill", json={})).status_code == 409


async def test_a_node_and_a_service_are_told_apart(web):
    async with browser(web) as http:
        await http.post("/api/processes", json={"act": "kill", "name": "feed"})
        await http.post("/api/processes", json={"act": "start", "name": "2"})

    assert web.stage.orders == [{"act": "kill", "service": "feed"}, {"act": "start", "node": "2"}]


async def test_what_is_not_acknowledged_is_told(web):
    web.publisher.failure = NoBrokerReachable([])
    async with browser(web) as http:
        answer = await http.post("/api/posts", json={"user": "mira", "text": "hello"})

    assert answer.status_code == 503
    assert "no broker" in answer.json()["error"]


async def test_without_brokers_the_page_is_there_and_says_what_cannot_be_done(web):
    web.publisher = None
    async with browser(web) as http:
        answer = await http.post("/api/posts", json={"user": "mira", "text": "hello"})
        state = (await http.get("/api/state")).json()

    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["error"]
    assert (state["schema"], len(state["feed"])) == (None, 1)


async def test_the_state_shows_the_feed_and_who_leads_and_no_dead_leader(web):
    web.around.nodes[2]["state"] = "dead"
    async with browser(web) as http:
        state = (await http.get("/api/state")).json()

    assert [entry["post_id"] for entry in state["feed"]] == ["run:1"]
    assert [broker["leads"] for broker in state["brokers"]] == [[0], [], []]
    assert state["proof"]["acknowledged"] == 0


async def test_the_page_names_no_other_host_and_runs_no_foreign_script(web):
    async with browser(web) as http:
        page = await http.get("/")

    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "innerHTML" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_ledger_is_on_disk_before_anybody_is_told(tmp_path):
    file = StateFile(tmp_path / "ledger.msgpack")
    event = {"event_id": "run:1", "user_id": "you", "action_type": "post"}
    await Ledger(file).note(event, {"offset": 5})

    again = Ledger(file, file.load())

    assert again.verdict({}).acknowledged == 1
    assert again.recent("you") == [{**event, "offset": 5}]


async def test_notes_of_many_at_once_are_all_kept(tmp_path):
    file = StateFile(tmp_path / "ledger.msgpack")
    ledger = Ledger(file)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            event = {"event_id": f"run:{number}", "user_id": "you"}
            nursery.start_soon(ledger.note, event, {})

    assert Ledger(file, file.load()).verdict({}).acknowledged == 20


async def test_events_have_hashtags_from_the_second_version_on(tmp_path):
    sent = []

    class Producer:
        async def send(self, topic, value, *, key):
            sent.append((topic, key))
            return type("Written", (), {"partition": 0, "offset": 3})

    class Registry:
        async def look_up(self, *_arguments, **_options):
            return type("Found", (), {"schema_id": 1})

        async def register(self, *_arguments, **_options):
            return 2

    ledger = Ledger(StateFile(tmp_path / "ledger.msgpack"))
    publisher = Publisher(Producer(), Registry(), ledger, wall_ms=lambda: 0x12)
    first = await publisher.publish("mira", "post", text="a #b")
    await publisher.evolve()
    second = await publisher.publish("mira", "post", text="a #b #c")
    liked = await publisher.publish("you", "like", post_id=first["post_id"])
    written = await publisher.publish("teo", "message", to="lin", text="hi")

    assert first["event_id"] == first["post_id"] == "12:1"
    assert "hashtags" not in first
    assert second["hashtags"] == ["b", "c"]
    assert (liked["event_id"], written["post_id"]) == ("12:3", "")
    assert [key for _, key in sent] == [b"12:1", b"12:2", b"12:1", b"lin~teo"]
