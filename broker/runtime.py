"""The real world: the only place that builds disks, sockets, clocks, randomness and stores.

`run_broker` and `run_zookeeper` are what a process runs. Must never know: how a broker works.
"""

from __future__ import annotations

import gc
import logging
import random
import resource
import signal
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from broker.detours import DetouredNetwork, detour_servers, detours_of
from broker.log.real_disk import RealDisk
from client.environment import Environment
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from broker.config import BrokerConfig

log_events = structlog.get_logger()

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OPEN_FILES_WANTED = 65_536
GC_YOUNG_OBJECTS = 20_000
"""Allocations between collections of the youngest generation; Python's 700 suits scripts."""


def run_broker(config: BrokerConfig) -> None:
    """Run a broker until SIGTERM or SIGINT. Raises: OttlaError, OSError."""
    # The coordinator's process has no use for these, and they would cost it memory.
    from broker.broker import Broker  # noqa: PLC0415
    from coordinator.zookeeper import connect_zookeeper  # noqa: PLC0415

    _prepare_process()
    environment, servers = Environment.real(), config.node.zookeeper_connect
    if detours := detours_of(config.node.node_id, config.network.fault_detours):
        log_events.warning("connections_take_detours", count=len(detours))
        network = DetouredNetwork(environment.network, detours)
        environment = replace(environment, network=network)
        servers = detour_servers(servers, detours)
    broker = Broker(
        config,
        environment=environment,
        disk=RealDisk(),
        connect_store=partial(
            connect_zookeeper,
            servers,
            session_timeout_s=config.node.zookeeper_session_timeout_ms / 1000,
        ),
    )
    trio.run(_run_until_signalled, broker.run, broker.stop)


def run_zookeeper(directory: str, *, host: str, port: int) -> None:
    """Run the embedded coordinator until SIGTERM or SIGINT. Raises: OttlaError, OSError."""
    _prepare_process()
    trio.run(_serve_coordinator, directory, host, port)


async def _serve_coordinator(directory: str, host: str, port: int) -> None:
    # A broker has no use for it, and it would cost its memory.
    from coordinator.embedded.config import EmbeddedConfig  # noqa: PLC0415
    from coordinator.embedded.server import serve_embedded  # noqa: PLC0415

    environment = Environment.real()
    listener = await environment.network.listen(host, port)
    with trio.CancelScope() as serving:
        serve = partial(
            serve_embedded,
            [listener],
            disk=RealDisk(),
            config=EmbeddedConfig(directory=directory),
            wall_ms=environment.wall_ms,
            random=random.SystemRandom(),  # session passwords must not be guessed
        )
        await _run_until_signalled(serve, serving.cancel)


async def _run_until_signalled(
    run: Callable[[], Awaitable[None]], stop: Callable[[], None]
) -> None:
    """Run, have it stop at the first signal, and end it at once at the second."""
    with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signals, signals, stop, nursery.cancel_scope)
            try:
                await run()
            except* OttlaError as group:
                raise _first(group) from group
            except* OSError as group:
                raise _first(group) from group
            nursery.cancel_scope.cancel()


async def _stop_on_signals(
    signals: AsyncIterator[int], stop: Callable[[], None], scope: trio.CancelScope
) -> None:
    stops = 0
    async for number in signals:
        stops += 1
        log_events.info("stopping", signal=signal.Signals(number).name)
        if stops == 1:
            stop()
        else:
            scope.cancel()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _prepare_process() -> None:
    _raise_limit_of_open_files()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 50)
    # What is imported stays: no collection need look at it again.
    gc.collect()
    gc.freeze()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _raise_limit_of_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(OPEN_FILES_WANTED, hard) if hard != resource.RLIM_INFINITY else OPEN_FILES_WANTED
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
