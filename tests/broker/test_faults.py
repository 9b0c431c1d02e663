"""Planted faults: read from text, and met by the calls that they name."""

from __future__ import annotations

import pytest
import trio

from broker.dispatch import Dispatch, RequestContext, Route
from broker.errors import ConfigError
from broker.faults import Act, PlantedFault, parse_faults
from protocol.api import ApiKey
from protocol.api.heartbeat import HeartbeatRequest
from protocol.errors import ErrorCode, ProtocolError, RequestError

HEARTBEAT = int(ApiKey.HEARTBEAT)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Produce=drop@1", PlantedFault(0, Act.DROP, first=1, last=1)),
        ("fetch:my-reader=delay/500", PlantedFault(1, Act.DELAY, "my-reader", delay_s=0.5)),
        (
            "Produce=error/NOT_ENOUGH_REPLICAS@3-5",
            PlantedFault(0, Act.ERROR, first=3, last=5, code=ErrorCode.NOT_ENOUGH_REPLICAS),
        ),
        ("Heartbeat=close@2-", PlantedFault(HEARTBEAT, Act.CLOSE, first=2)),
    ],
)
def test_a_fault_is_read(text, fault):
    assert parse_faults(text) == (fault,)


def test_several_are_separated_by_commas():
    assert len(parse_faults("Produce=drop@1, Fetch=close,")) == 2


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Produce", "for instance Produce=drop@1 is expected"),
        ("Bake=drop", "there is no API called Bake"),
        ("Produce=burn", "one of error, delay, drop, close is expected"),
        ("Produce=error", "error/NAME_OF_A_KAFKA_ERROR is expected"),
        ("Produce=error/NONE", "error/NAME_OF_A_KAFKA_ERROR is expected"),
        ("Produce=delay", "delay/MS is expected"),
        ("Produce=delay/99999999999", "delay/MS is expected"),
        ("Produce=drop/5", "drop takes nothing after a slash"),
        (f"Produce=delay/{'9' * 5_000}", "delay/MS is expected"),
        (f"Produce=drop@{'9' * 5_000}", "for instance Produce=drop@1 is expected"),
        (f"Produce=drop@1-{'9' * 5_000}", "for instance Produce=drop@1 is expected"),
        ("Produce=drop@0", "calls are counted from 1"),
        ("Produce=drop@5-3", "calls are counted from 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_cause(text, cause):
    with pytest.raises(ConfigError, match="planted fault") as refusal:
        parse_faults(text)

    assert cause in str(refusal.value)


class Desk:
    """Answers heartbeats, at once or later, and counts those that it has carried out."""

    def __init__(self, *, waits: bool) -> None:
        self.done = 0
        self._waits = waits

    def __call__(self, _request, _context):
        if self._waits:
            return self._later()
        self.done += 1
        return "answer"

    async def _later(self):
        await trio.sleep(1)
        self.done += 1
        return "answer"


@pytest.fixture(params=[False, True], ids=["at once", "later"])
def desk(request):
    return Desk(waits=request.param)


def ask_of(desk, faults: str):
    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(desk, 0, 4)})
    dispatch.plant(parse_faults(faults))

    async def ask(client_id: str = "me"):
        context = RequestContext(HEARTBEAT, 4, 1, client_id, "peer", "PLAINTEXT")
        outcome = dispatch.find(HEARTBEAT, 4).handler(HeartbeatRequest(), context)
        return outcome if isinstance(outcome, str) else await outcome

    return ask


async def test_an_error_is_raised_and_nothing_is_done(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat=error/NOT_COORDINATOR@2")

    assert await ask() == "answer"
    with pytest.raises(RequestError, match="a planted fault") as refusal:
        await ask()
    assert refusal.value.code == ErrorCode.NOT_COORDINATOR
    assert await ask() == "answer"
    assert desk.done == 2


async def test_a_dropped_answer_is_one_to_what_was_done(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat=drop@1")

    with pytest.raises(ProtocolError):
        await ask()
    assert desk.done == 1


async def test_a_connection_is_closed_before_anything_is_done(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat=close")

    for _ in range(3):
        with pytest.raises(ProtocolError):
            await ask()
    assert desk.done == 0


async def test_a_delay_is_waited_for(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat=delay/2500@1")
    began_at = trio.current_time()

    assert await ask() == "answer"
    assert trio.current_time() - began_at >= 2.5


async def test_delayed_requests_of_a_connection_keep_their_order(autojump_clock):
    begun = []

    def handle(request, _context):
        begun.append(request)

    route = Route(handle, 0, 4)
    dispatch = Dispatch({ApiKey.HEARTBEAT: route})
    dispatch.plant(parse_faults("Heartbeat=delay/300@1-5"))
    context = RequestContext(HEARTBEAT, 4, 1, "me", "peer", "PLAINTEXT")
    handler = dispatch.find(HEARTBEAT, 4).handler
    async with trio.open_nursery() as nursery:
        for number in range(20):
            outcome = handler(number, context)  # in the order of arrival, as connections do
            nursery.start_soon(wait_for, outcome)

    assert begun == list(range(20))
    handler(20, context)
    assert begun[-1] == 20


@pytest.mark.parametrize("later", ["", "Produce=drop", "Heartbeat=delay/1"])
async def test_they_keep_their_order_when_the_fault_is_lifted_meanwhile(later, autojump_clock):
    begun = []

    def handle(request, _context):
        begun.append(request)

    routes = {key: Route(handle, 0, 4) for key in (ApiKey.HEARTBEAT, ApiKey.METADATA)}
    dispatch = Dispatch(routes)
    dispatch.plant(parse_faults("Heartbeat=delay/300"))
    context = RequestContext(HEARTBEAT, 4, 1, "me", "peer", "PLAINTEXT")
    async with trio.open_nursery() as nursery:
        for number in range(20):
            if number == 10:
                dispatch.plant(parse_faults(later))
            api_key = ApiKey.METADATA if number == 15 else ApiKey.HEARTBEAT
            outcome = dispatch.find(api_key, 4).handler(number, context)
            nursery.start_soon(wait_for, outcome)

    assert begun == list(range(20))


async def test_a_fault_behind_a_delayed_request_is_met_in_its_turn(autojump_clock):
    begun = []

    def handle(request, _context):
        begun.append(request)

    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(handle, 0, 4)})
    dispatch.plant(parse_faults("Heartbeat=delay/300@1, Heartbeat=drop@2"))
    context = RequestContext(HEARTBEAT, 4, 1, "me", "peer", "PLAINTEXT")
    handler = dispatch.find(HEARTBEAT, 4).handler
    first, second = handler(1, context), handler(2, context)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for, first)
        with pytest.raises(ProtocolError):
            await second

    assert begun == [1, 2]


async def test_other_connections_do_not_wait_for_one_that_is_delayed(desk, autojump_clock):
    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(desk, 0, 4)})
    dispatch.plant(parse_faults("Heartbeat:me=delay/60000"))
    context = RequestContext(HEARTBEAT, 4, 1, "me", "peer", "PLAINTEXT")
    other = RequestContext(HEARTBEAT, 4, 1, "you", "another peer", "PLAINTEXT")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for, dispatch.find(HEARTBEAT, 4).handler(1, context))
        began_at = trio.current_time()
        outcome = dispatch.find(HEARTBEAT, 4).handler(2, other)
        assert (outcome if isinstance(outcome, str) else await outcome) == "answer"
        assert trio.current_time() - began_at < 60
        nursery.cancel_scope.cancel()


async def wait_for(outcome) -> None:
    await outcome


async def test_only_calls_of_the_client_that_is_named_count(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat:you=close@2-3")

    for _ in range(3):
        assert await ask("me") == "answer"
    assert await ask("you") == "answer"
    for _ in range(2):
        with pytest.raises(ProtocolError):
            await ask("you")
    assert await ask("you") == "answer"


async def test_each_call_meets_the_fault_whose_turn_it_is(desk, autojump_clock):
    ask = ask_of(desk, "Heartbeat=error/NOT_COORDINATOR@1, Heartbeat=close@2")

    with pytest.raises(RequestError):
        await ask()
    with pytest.raises(ProtocolError):
        await ask()
    assert await ask() == "answer"


def test_what_has_no_fault_is_left_as_it_was():
    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(Desk(waits=False), 0, 4)})
    target = dispatch.find(HEARTBEAT, 4)
    dispatch.plant(parse_faults("Produce=drop"))
    assert dispatch.find(HEARTBEAT, 4) is target
    dispatch.plant(())
    assert dispatch.find(HEARTBEAT, 4) is target
