"""What `ottla up` shows while it runs: a table that renews itself, or plain lines in a pipe.

It ends on Ctrl-C or SIGTERM; or by itself when another command has stopped the whole cluster.
Must never know: how the facts are found out, how a cluster is stopped.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
import trio

from client.environment import Environment
from commands.cluster_view import ClusterView, observe
from commands.columns import mebibytes
from commands.end_signals import end_signals
from commands.status import role_of, summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from rich.console import Group
    from rich.live import Live

    from commands.cluster_directory import ClusterDirectory
    from commands.cluster_view import NodeView, Partition
    from commands.end_signals import EndSignals
    from commands.launch import Launcher

INTERVAL_S: Final = 1.0
WORK_SHARE_MAX: Final = 0.1
"""A big cluster is looked at less often: looking takes at most this share of the time."""


class RateMeter:
    """Derives records per second from the ends of the partitions at two moments."""

    def __init__(self) -> None:
        self._ends: Mapping[Partition, int] = {}
        self._taken_at: float | None = None

    def update(self, view: ClusterView, *, now: float) -> dict[int, float]:
        """Give records per second by the id of the broker that leads now; `now` in seconds."""
        elapsed_s = now - self._taken_at if self._taken_at is not None else 0.0
        rates: dict[int, float] = {}
        if elapsed_s > 0:
            for partition, end in view.end_offsets.items():
                leader = view.leaders.get(partition)
                if leader is not None:
                    grown = max(0, end - self._ends.get(partition, end))
                    rates[leader] = rates.get(leader, 0.0) + grown / elapsed_s
        # What could not be asked this time keeps its old end, so that nothing is counted twice.
        self._ends = {**self._ends, **view.end_offsets}
        self._taken_at = now
        return rates


def watch(directory: ClusterDirectory, launcher: Launcher, ends: EndSignals) -> bool:
    """Show the cluster until the end. Returns: whether it was asked of us; else nothing runs."""
    show = _show_live if sys.stdout.isatty() else _show_lines
    return trio.run(show, directory, launcher, ends)


async def _show_live(directory: ClusterDirectory, launcher: Launcher, ends: EndSignals) -> bool:
    from rich.live import Live

    with Live(auto_refresh=False, transient=False) as live:
        return await _until_told(_LiveScreen(live, directory), directory, launcher, ends)


async def _show_lines(directory: ClusterDirectory, launcher: Launcher, ends: EndSignals) -> bool:
    return await _until_told(_Lines(), directory, launcher, ends)


class _LiveScreen:
    """A table on a terminal."""

    def __init__(self, live: Live, directory: ClusterDirectory) -> None:
        self._live = live
        self._directory = directory

    def show(self, view: ClusterView, rates: Mapping[int, float]) -> None:
        self._live.update(_table(view, rates, self._directory), refresh=True)


class _Lines:
    """A line for each change, where nobody looks at a screen."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def show(self, view: ClusterView, rates: Mapping[int, float]) -> None:
        del rates
        for node in view.nodes:
            pid = node.node.process.pid if node.node.process else "-"
            line = f"{node.node.title} {node.state} pid {pid} port {node.node.port}"
            if self._shown.get(node.node.name) != line:
                click.echo(f"{line} {role_of(node)}")
                self._shown[node.node.name] = line


async def _until_told(
    screen: _LiveScreen | _Lines,
    directory: ClusterDirectory,
    launcher: Launcher,
    ends: EndSignals,
) -> bool:
    """Renew the screen. Returns: whether the user asked for the end (and not `ottla down`)."""
    asked = False

    async def listen(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        nonlocal asked
        async for _ in signals:
            asked = True
            scope.cancel()

    with trio.open_signal_receiver(*end_signals()) as signals:
        if ends.told:
            return True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, signals, nursery.cancel_scope)
            await _renew(screen, directory, launcher)
            nursery.cancel_scope.cancel()
    return asked


async def _renew(
    screen: _LiveScreen | _Lines, directory: ClusterDirectory, launcher: Launcher
) -> None:
    network, meter, cluster = Environment.real().network, RateMeter(), directory.load()
    while True:
        started_at = trio.current_time()
        launcher.reap()
        if directory.exists():
            cluster = directory.load()
        view = await observe(cluster, network)
        now = trio.current_time()
        screen.show(view, meter.update(view, now=now))
        if all(node.state == "stopped" for node in view.nodes):
            return
        await trio.sleep(max(INTERVAL_S, (now - started_at) / WORK_SHARE_MAX))


def _table(view: ClusterView, rates: Mapping[int, float], directory: ClusterDirectory) -> Group:
    from rich.console import Group
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("node", "state", "pid", "port", "role"):
        table.add_column(name, no_wrap=True)
    for name in ("leaders", "memory", "records/s"):
        table.add_column(name, no_wrap=True, justify="right")
    for node in view.nodes:
        table.add_row(*_cells(node, rates), style=None if node.state == "running" else "red")
    hint = "; Ctrl-C stops the cluster" if view.is_up else ""
    return Group(table, "", f"{summary(view, directory)}{hint}")


def _cells(view: NodeView, rates: Mapping[int, float]) -> list[str]:
    node = view.node
    pid = str(node.process.pid) if node.process and view.state != "dead" else "-"
    cells = [node.title, view.state, pid, str(node.port), role_of(view)]
    if not node.is_broker:
        return [*cells, "-", mebibytes(view.memory_bytes), "-"]
    rate = f"{rates.get(node.broker_id, 0.0):,.0f}"
    return [*cells, str(view.leaders), mebibytes(view.memory_bytes), rate]
