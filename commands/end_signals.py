"""The signals that ask a command for its end, noted and obeyed where that is safe.

Raised in the midst of an import or of the event loop, KeyboardInterrupt gets lost now and then:
modules written in C clear errors that they do not expect.
Must never know: what is to be ended.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_END_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_signals() -> tuple[signal.Signals, ...]:
    """Give the signals to obey: not the hangup where `nohup` has it ignored."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(one for one in _END_SIGNALS if one is not signal.SIGHUP or not is_ignored)


class EndSignals:
    """Whether the end was asked for; from now on nothing is raised for that by itself."""

    def __init__(self) -> None:
        self.told = False
        for signum in end_signals():
            signal.signal(signum, self._note)

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        self.told = True

    def raise_if_told(self) -> None:
        """End, where that was asked for. Raises: KeyboardInterrupt."""
        if self.told:
            raise KeyboardInterrupt
