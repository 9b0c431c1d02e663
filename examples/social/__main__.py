"""The entry of every service's process.

Must never know: what a service does.
"""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import structlog
import trio

from client import Environment
from protocol.errors import OttlaError

from .activity import run_activity
from .feed import Feed
from .messages import Messages
from .notifications import Notifications
from .posting import run_posting
from .prepare import prepare
from .service import Settings, first_cause, run_service
from .stage import Stage
from .trending import Trending

if TYPE_CHECKING:
    from collections.abc import Callable

LOGICS: Final[dict[str, tuple[Callable[[Any], Any], int]]] = {
    "feed": (Feed, 2),
    "notifications": (Notifications, 1),
    "messages": (Messages, 1),
    "trending": (Trending, 1),
}
"""What each service makes of events, and by which version of their schema it reads them: the feed
knows hashtags from the start, and gives older events none; the others never hear of them."""


@click.command()
@click.argument(
    "service", type=click.Choice(["prepare", "posting", *LOGICS, "activity"]), metavar="SERVICE"
)
@click.option("--bootstrap", required=True, metavar="HOST:PORT,...")
@click.option("--registry", required=True, metavar="URL")
@click.option("--directory", required=True, type=click.Path(path_type=Path))
@click.option("--web-port", required=True, type=int)
def main(service: str, bootstrap: str, registry: str, directory: Path, web_port: int) -> None:
    """Run one service until SIGTERM, Ctrl-C, or the end of whoever has started it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    settings = Settings(bootstrap, registry, directory)
    try:
        trio.run(_run, service, settings, web_port)
    except* OttlaError as group:  # brokers or the registry are away for too long: start again
        structlog.get_logger().error("service_ends", why=str(first_cause(group)))
        sys.exit(1)


async def _run(service: str, settings: Settings, web_port: int) -> None:
    if service == "prepare":
        await prepare(settings)
        return
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signals, nursery.cancel_scope)
        nursery.start_soon(_end_with_stage, stage, nursery.cancel_scope)
        if service == "posting":
            await run_posting(settings, stage, port=web_port)
        elif service == "activity":
            await run_activity(f"http://127.0.0.1:{web_port}", stage, Environment.real().random)
        else:
            make, version = LOGICS[service]
            await run_service(settings, service, make, stage, version=version)


async def _end_on_signals(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _end_with_stage(stage: Stage, scope: trio.CancelScope) -> None:
    await stage.listen()
    scope.cancel()


if __name__ == "__main__":
    main()
