"""What happened in a simulated run, as lines of text with virtual times.

Two runs of one plan write the same lines, byte for byte, whatever process and machine they run on.
Must never know: what the lines mean.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping


DAMAGE: Final = "damaged_log_not_compacted"


class Trace:
    """The lines of one run; `bugs` are the events that come with what nobody expected.

    `damage` are those that tell of damaged logs, which are bugs where no disk has harmed them.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bugs: list[str] = []
        self.damage: list[str] = []

    @property
    def digest(self) -> str:
        """Return a fingerprint of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def forget(self) -> None:
        """Drop all lines."""
        self.lines.clear()

    def tell(self, line: str) -> None:
        """Add a line, with the time."""
        self.lines.append(f"{_now():10.6f} {line}")

    def __call__(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        """Take an event of the log, as the last of structlog's processors."""
        name = event.pop("event")
        if event.get("exc_info"):
            self.bugs.append(f"{name}: {event['exc_info']!r}, at {_now():.6f} s")
        if name == DAMAGE:
            self.damage.append(f"{name}: {event['error']}, at {_now():.6f} s")
        facts = " ".join(f"{key}={_plain(value)}" for key, value in sorted(event.items()))
        self.tell(f"{level} {name} {facts}".rstrip())
        raise structlog.DropEvent

    @contextmanager
    def of_the_log(self) -> Iterator[None]:
        """Take what is logged within the `with` instead of whoever took it before."""
        before = structlog.get_config()
        structlog.configure(processors=[self], cache_logger_on_first_use=False)
        warnings, of_clients = _Warnings(self), logging.getLogger("client")
        of_clients.addHandler(warnings)
        propagate, of_clients.propagate = of_clients.propagate, False
        try:
            yield
        finally:
            of_clients.propagate = propagate
            of_clients.removeHandler(warnings)
            structlog.configure(**before)


class _Warnings(logging.Handler):
    """Takes what clients say through Python's logging."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        self._trace.tell(f"{record.levelname.lower()} {record.getMessage()}")


def _now() -> float:
    try:
        return trio.current_time()
    except RuntimeError:  # after the run
        return 0.0


def _plain(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return str(sorted(value))
    return str(value)
