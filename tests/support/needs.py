"""Parts that a test needs: missing, it skips and says why; under CI it fails."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest


def need(part: str, *, is_there: bool) -> None:
    """Skip the test, or the module that is being imported, where a part is missing."""
    if is_there:
        return
    if os.environ.get("OTTLA_CI"):
        pytest.fail(f"{part} is missing", pytrace=False)
    pytest.skip(f"{part} is missing", allow_module_level=True)


def need_packages(*names: str) -> None:
    """Skip where a Python package is missing: `pip install -e .[interop]` brings them."""
    for name in names:
        need(f"the Python package {name}", is_there=find_spec(name) is not None)
