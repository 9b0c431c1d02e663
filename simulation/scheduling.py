"""When trio runs which task, decided by a plan: the same seed gives the same run.

The switch is trio's private one (pytest-trio uses it as well); this is the only place that touches
it, and it refuses to go on where a newer trio has dropped it.
Must never know: what runs.
"""

from __future__ import annotations

from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING

from trio._core import _run
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


def virtual_clock(*, tick_s: float) -> MockClock:
    """Make a clock that jumps to the next deadline, or to the first tick after it.

    Where it ticks, all that comes due between two ticks happens at once and in any order, as for a
    process that had no processor meanwhile. 0: it does not.
    """
    clock = MockClock(autojump_threshold=0)
    if not tick_s:
        return clock
    jump = clock.jump

    def jump_to_tick(seconds: float) -> None:
        now = clock.current_time()
        jump(max(seconds, ceil((now + seconds) / tick_s) * tick_s - now))

    clock.jump = jump_to_tick  # type: ignore[method-assign]
    return clock


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """Have every `trio.run` within the `with` order its tasks by `seed`.

    Raises: RuntimeError where this trio has no such switch.
    """
    if not (hasattr(_run, _SWITCH) and hasattr(_run, "_r")):
        raise RuntimeError("this trio cannot schedule by a seed: use the version that is pinned")
    switch, state = getattr(_run, _SWITCH), _run._r.getstate()  # noqa: SLF001
    setattr(_run, _SWITCH, True)
    _run._r.seed(seed)  # noqa: SLF001
    try:
        yield
    finally:
        setattr(_run, _SWITCH, switch)
        _run._r.setstate(state)  # noqa: SLF001
