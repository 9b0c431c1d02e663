"""How a server's modules are imported: for a start that is quick, and no terminal.

Must never know: what is served.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from commands.sparing import import_structs, import_what_servers_need

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def imports_of_a_server() -> Iterator[None]:
    """Import what a server needs within this.

    What is imported stays, and is never looked at again for garbage. Nor is it now: the little
    there is would not pay for the look, a tenth of the imports.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import_structs()
        import_what_servers_need()
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
