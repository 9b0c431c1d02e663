"""The order in which trio runs tasks, decided by a seed: the same seed gives the same run.

The switch is trio's private one (pytest-trio uses it as well); this is the only place that touches
it, and it refuses to go on where a newer trio has dropped it.
Must never know: what runs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from trio._core import _run

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


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
