"""Our client of the schema registry: what it asks for, and what it refuses to ask for."""

from __future__ import annotations

import httpx
import pytest
import trio

from client.schema_registry import RegistrySchema, SchemaRegistry
from simulation.cluster import simulated_cluster
from tests.support.registries import registries

BOUND_S = 300
SCHEMA = RegistrySchema('"int"')
OTHER = RegistrySchema('"long"')
NO_VERSIONS = [
    "",
    "..",
    ".",
    "0",
    "-2",
    "1?permanent=true",
    "2147483648",
    "9" * 5_000,
    "\u0661",
    0,
    -2,
]


@pytest.fixture
async def registry(autojump_clock):
    """Our client of a registry over one broker. Returns: SchemaRegistry."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
            opened(caller._client, caller._url) as registry,
        ):
            yield registry


@pytest.fixture
async def unasked():
    """A client that must not send anything. Returns: SchemaRegistry."""

    def refuse(request):
        pytest.fail(f"{request.method} {request.url} was sent")

    async with opened(httpx.AsyncClient(transport=httpx.MockTransport(refuse))) as registry:
        yield registry


def opened(client: httpx.AsyncClient, url: str = "http://registry") -> SchemaRegistry:
    registry = SchemaRegistry(url)
    registry._client = client
    return registry


@pytest.mark.parametrize("subject", [".", "..", "a/../b", "%2E", "ä ?#"])
async def test_a_subject_may_have_any_name(registry, subject):
    await registry.register("bystander", SCHEMA)

    await registry.register(subject, SCHEMA)
    await registry.set_level("NONE", subject)
    await registry.register(subject, OTHER)

    assert await registry.subjects() == sorted(["bystander", subject])
    assert await registry.versions(subject) == [1, 2]
    assert (await registry.look_up(subject, OTHER)).version == 2
    assert await registry.check(subject, SCHEMA) == []
    assert (await registry.level(subject), await registry.level()) == ("NONE", "BACKWARD")
    assert await registry.delete(subject, 1) == [1]
    assert (await registry.version(subject, 1, deleted=True)).schema == SCHEMA
    assert await registry.delete(subject) == [2]
    assert await registry.subjects() == ["bystander"]


@pytest.mark.parametrize("subject", ["", "a\udcff"])
async def test_nothing_is_asked_of_a_subject_without_a_name(unasked, subject):
    for ask in (
        lambda: unasked.register(subject, SCHEMA),
        lambda: unasked.look_up(subject, SCHEMA),
        lambda: unasked.version(subject),
        lambda: unasked.versions(subject),
        lambda: unasked.check(subject, SCHEMA),
        lambda: unasked.delete(subject),
        lambda: unasked.level(subject),
        lambda: unasked.set_level("NONE", subject),
    ):
        with pytest.raises(ValueError, match="cannot be empty|surrogates not allowed"):
            await ask()


@pytest.mark.parametrize("version", NO_VERSIONS)
async def test_nothing_is_asked_of_what_is_no_version(unasked, version):
    for ask in (unasked.version, unasked.delete):
        with pytest.raises(ValueError, match="is no version"):
            await ask("orders-value", version)
    with pytest.raises(ValueError, match="is no version"):
        await unasked.check("orders-value", SCHEMA, version=version)


async def test_the_latest_version_has_two_names(registry):
    await registry.register("a", SCHEMA)

    assert await registry.version("a", -1) == await registry.version("a")
    assert await registry.check("a", SCHEMA, version="-1") == []
    assert await registry.delete("a", "latest") == [1]
