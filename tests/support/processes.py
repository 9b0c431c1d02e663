"""What all test processes share: none of them outlives the run that started it."""

from __future__ import annotations

import shutil


def dies_with_parent() -> list[str]:
    """Return what to put before a command so that a killed test run leaves nothing behind.

    Parent means the thread that starts it.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
