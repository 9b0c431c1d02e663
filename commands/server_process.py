"""How a server's modules are imported: for a start that is quick, and no terminal.

Must never know: what is served.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def imports_of_a_server() -> Iterator[None]:
    """Import what a server needs within this.

    Structlog would import rich wherever that is installed: a quarter of the time and 4 MiB of the
    memory that importing trio and structlog takes, and a server's log needs no colours. (None in
    sys.modules makes an import fail.) What is imported stays, and is never looked at again for
    garbage. Nor is it now: the little there is would not pay for the look, a tenth of the imports.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
