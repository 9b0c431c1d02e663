"""A client lives for one `async with`."""

from __future__ import annotations

import pytest

from client import Admin, Consumer, Producer
from client.errors import ClientClosed


@pytest.fixture(params=[Admin, Consumer, Producer], ids=lambda kind: kind.__name__)
def client(request, cluster):
    """One that was never opened."""
    return request.param(cluster.bootstrap, environment=cluster.environment)


async def test_a_client_is_not_opened_twice(client):
    async with client:
        pass

    with pytest.raises(ClientClosed, match=f"the {client.role} was used before: make a new one"):
        await client.__aenter__()


async def test_a_client_that_is_not_open_says_how_to_open_it(client):
    act = {"admin": "list_topics", "consumer": "poll", "producer": "send"}[client.role]
    arguments = ("t", b"") if client.role == "producer" else ()

    with pytest.raises(ClientClosed, match=f"the {client.role} is not open: use it with"):
        await getattr(client, act)(*arguments)
