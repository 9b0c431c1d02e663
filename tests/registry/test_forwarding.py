"""Changes handed on to a leader that answers, or does not, in every way."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request

from registry.errors import ForwardingFailed, LeaderUnreachable
from registry.http.forwarding import Forwarder


async def forwarded(url: str, answer=None):
    """Hand a request on to a leader. Returns: its response, and the end that it told."""
    request = Request(
        {"type": "http", "method": "PUT", "path": "/config", "query_string": b"", "headers": []}
    )
    transport = None if answer is None else httpx.MockTransport(lambda _asked: answer)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await Forwarder(client).forward(url, request, b"{}")


async def test_an_address_that_is_none_is_named():
    with pytest.raises(ForwardingFailed, match="http://::1:8081.*--advertise"):
        await forwarded("http://::1:8081")


async def test_who_leads_no_more_has_done_nothing():
    with pytest.raises(LeaderUnreachable):
        await forwarded("http://a", httpx.Response(500, json={"error_code": 50004}))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"error_code": 50002}),
        httpx.Response(500, json=[50004]),
        httpx.Response(500, content=b"<html>"),
        httpx.Response(200, json={"error_code": 50004}),
    ],
)
async def test_whatever_else_the_leader_answers_is_handed_back(answer):
    response, end = await forwarded("http://a", answer)

    assert (response.status_code, response.body, end) == (answer.status_code, answer.content, 0)
