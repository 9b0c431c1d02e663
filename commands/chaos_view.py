"""What `ottla chaos run` shows while it runs: a table that renews itself, or lines in a pipe.

Must never know: how the run goes about it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click
import trio
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.live import Live
    from rich.table import Table

    from chaos.run import ChaosRun

RENEWED_EVERY_S: Final = 0.5
LINE_EVERY_S: Final = 5.0


class Rates(Struct):
    """Records in a second since it was last asked."""

    written: float = 0.0
    read: float = 0.0
    _acknowledged: int = 0
    _handed_out: int = 0
    _at: float = 0.0

    def update(self, run: ChaosRun) -> None:
        """Look at the counts now."""
        counts, now = run.work.counts, trio.current_time()
        if self._at and now > self._at:
            self.written = (counts.acknowledged - self._acknowledged) / (now - self._at)
            self.read = (counts.read - self._handed_out) / (now - self._at)
        self._acknowledged, self._handed_out, self._at = counts.acknowledged, counts.read, now


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, or hours as well."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Lines:
    """A line for whatever happens, and one every few seconds; on stderr where asked for."""

    def __init__(self, *, err: bool = False) -> None:
        self._err = err

    def tell(self, text: str, *, at_s: float = 0.0) -> None:
        """Show a line."""
        click.echo(f"{clock(at_s)}  {text}", err=self._err)

    async def follow(self, run: ChaosRun) -> None:
        """Show how it goes, for ever."""
        rates = Rates()
        while True:
            rates.update(run)
            await trio.sleep(LINE_EVERY_S)
            rates.update(run)
            counts, longest = run.work.counts, run.longest
            self.tell(
                f"{run.phase}: {rates.written:,.0f} records/s written, {rates.read:,.0f} read;"
                f" {counts.acknowledged:,} acknowledged, longest gap {longest.lasts_s:.1f} s",
                at_s=run.elapsed_s,
            )


class Screen:
    """A table on a terminal; what happens scrolls by above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def tell(self, text: str, *, at_s: float = 0.0) -> None:
        """Show a line above the table."""
        self._live.console.print(f"{clock(at_s)}  {text}", markup=False, highlight=False)

    async def follow(self, run: ChaosRun) -> None:
        """Show how it goes, for ever."""
        rates = Rates()
        while True:
            rates.update(run)
            self._live.update(_table(run, rates), refresh=True)
            await trio.sleep(RENEWED_EVERY_S)


@contextmanager
def screen(*, live: bool, err: bool) -> Iterator[Lines | Screen]:
    """Give what shows a run: a table where `live`, else lines."""
    if not live:
        yield Lines(err=err)
        return
    from rich.live import Live

    with Live(auto_refresh=False, transient=True) as shown:
        yield Screen(shown)


def _table(run: ChaosRun, rates: Rates) -> Table:
    from rich.table import Table

    counts, order = run.work.counts, run.order
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    left_s = order.duration_s - run.elapsed_s
    left = f", {clock(left_s)} left; Ctrl-C ends early" if left_s > 0 and not run.is_ending else ""
    table.add_row(run.phase, f"{clock(run.elapsed_s)}{left}")
    table.add_row("written", f"{rates.written:,.0f} records/s, {counts.acknowledged:,} in all")
    table.add_row("read", f"{rates.read:,.0f} records/s, {counts.read:,} in all")
    gap = f"{run.longest.lasts_s:.1f} s, until {clock(run.longest.ended_s)}"
    table.add_row("longest gap", f"{gap}" if run.longest.ended_s else "-")
    if run.breakage is not None:
        faults = [str(fault) for fault in run.breakage.now] or ["nothing"]
        table.add_row("broken now", "\n".join(faults), style="red" if run.breakage.now else None)
    return table
