"""A registry put together from its clients, which are open while it is.

Must never know: which network and which coordinator these are, HTTP.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from client import Consumer, ConsumerConfig, Producer
from registry.log import SchemasLog
from registry.parsing import Parser
from registry.registry import Registry
from registry.topic import ensure_topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from client import Environment
    from coordinator.store import StoreFactory


class RegistryConfig(Struct, frozen=True):
    """How a registry works.

    `url` is where the other registries reach this one. `replication_factor` counts only where the
    topic is made, -1 leaves it to the brokers.
    """

    bootstrap: str
    url: str
    topic: str = "_schemas"
    replication_factor: int = -1


@asynccontextmanager
async def open_registry(
    config: RegistryConfig,
    *,
    environment: Environment,
    connect_store: StoreFactory,
    run_in_thread: Callable[[Callable[[], None]], Awaitable[None]],
) -> AsyncIterator[Registry]:
    """Open a registry that has read all there was, and stands for office from then on.

    `run_in_thread` runs what takes long, so that the event loop goes on.
    Waits for brokers as long as it takes. Raises: UnfitTopic, RequestError.
    """
    await ensure_topic(
        config.bootstrap,
        config.topic,
        replication_factor=config.replication_factor,
        environment=environment,
    )
    options = ConsumerConfig(client_id="ottla-registry", auto_offset_reset="none")
    async with Consumer(config.bootstrap, options, environment=environment) as consumer:
        log = SchemasLog(consumer, config.topic)
        registry = Registry(
            log,
            topic=config.topic,
            url=config.url,
            connect_store=connect_store,
            parser=Parser(run_in_thread),
            new_producer=partial(Producer, config.bootstrap, environment=environment),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(log.run)
            await log.catch_up()
            nursery.start_soon(registry.run)
            try:
                yield registry
            finally:
                nursery.cancel_scope.cancel()
