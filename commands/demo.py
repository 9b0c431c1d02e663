"""`ottla demo`: a cluster, a small social network on it, and a page to watch and break both.

Must never know: what the services of the network do.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from commands.cluster_directory import HOST, ClusterDirectory
from commands.end_signals import end_signals
from commands.failure import CommandFailed
from commands.launch import Launcher, stop_all
from commands.options import PORT_MAX, Directory
from commands.plan import DEFAULT_PORT, Wishes
from commands.ports import find_free, require_free
from commands.up import start_cluster

if TYPE_CHECKING:
    from commands.end_signals import EndSignals
    from commands.stage import Stage

DEFAULT_DIRECTORY: Final = Path("ottla-demo")
DEFAULT_WEB_PORT: Final = 8080
IN_CHECKOUT: Final = "examples.social"
INSTALLED: Final = "ottla_social"


@click.command()
@click.option(
    "--data",
    "directory",
    type=Directory(),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Where the cluster and the services keep what they have.",
)
@click.option(
    "--port",
    type=click.IntRange(0, PORT_MAX),
    help=f"Port of broker 1; 0 takes free ports.  [default: {DEFAULT_PORT}, or as it was]",
)
@click.option(
    "--web-port",
    type=click.IntRange(0, PORT_MAX),
    default=DEFAULT_WEB_PORT,
    show_default=True,
    help="Port of the page; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
def demo(directory: ClusterDirectory, port: int | None, web_port: int, *, no_browser: bool) -> None:
    """Run a small social network on a cluster of three brokers, until Ctrl-C.

    Posts and likes are events, with schemas in the registry; five services make feeds,
    notifications, messages and trends of them, and a few people are busy all the time. The page
    shows it live, and has buttons that kill the broker that leads, kill services, and change the
    schema. It also proves, all the time, that nothing acknowledged was lost. What dies is started
    again. The next start in the same directory carries on.

    \b
    Example:
      $ ottla demo
      $ ottla demo --port 19092 --web-port 18080 --no-browser
    """
    package = find_package()
    web_port = web_port or find_free(HOST, 1)[0]
    require_free(HOST, [web_port], option="--web-port")
    launcher = Launcher(directory)
    wishes = Wishes(port=port, registry=True)
    cluster, ends = start_cluster(directory, launcher, wishes)
    try:
        click.echo(
            f"{len(cluster.brokers)} brokers at {cluster.bootstrap}, data in {directory.path}"
        )
        import trio

        from commands.stage import Stage

        stage = Stage(directory, launcher, package=package, web_port=web_port)
        trio.run(_run, stage, ends, f"http://{HOST}:{web_port}/", not no_browser)
    finally:
        stop_all(directory, cluster)


def find_package() -> str:
    """Name the package of the network: beside this command in a checkout, else as installed.

    Raises: CommandFailed where it is neither.
    """
    checkout = Path(__file__).parent.parent
    if (checkout / "examples" / "social" / "__main__.py").exists():
        return IN_CHECKOUT
    if find_spec(INSTALLED) is not None:
        return INSTALLED
    raise CommandFailed(
        f"the demo's services are not there: neither {checkout / 'examples' / 'social'} nor the "
        f"package {INSTALLED}",
        next_step="install Ottla anew from its wheel, or run this in a checkout",
    )


async def _run(stage: Stage, ends: EndSignals, url: str, shows: bool) -> None:
    """Run the stage until told to end."""
    import trio

    async def listen(scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(*end_signals()) as signals:
            if not ends.told:
                async for _ in signals:
                    break
            scope.cancel()

    async def announce() -> None:
        await stage.wait_serving()
        click.echo(f"the page is at {url} (Ctrl-C ends all of it)")
        if shows and (sys.platform == "darwin" or "DISPLAY" in os.environ or _on_wayland()):
            await trio.to_thread.run_sync(webbrowser.open, url, abandon_on_cancel=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, nursery.cancel_scope)
        await stage.prepare()
        nursery.start_soon(announce)
        await stage.run()
        nursery.cancel_scope.cancel()


def _on_wayland() -> bool:
    return "WAYLAND_DISPLAY" in os.environ
