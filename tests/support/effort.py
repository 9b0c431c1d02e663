"""How hard property tests look: `make test` is to take minutes, `.ci/run` may take longer."""

from __future__ import annotations

import os
from typing import Final

IS_CI: Final = bool(os.environ.get("OTTLA_CI"))


def examples(count: int) -> int:
    """Say how many examples to draw, of as many as `.ci/run` draws."""
    return count if IS_CI else max(1, count // 4)
