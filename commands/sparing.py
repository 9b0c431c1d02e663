"""How libraries are imported without what they bring along for other work than ours.

Must never know: which command runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def import_structs() -> None:
    """Import msgspec; it would import typing_extensions where that is installed (0.6 MiB)."""
    import_without("msgspec", {"typing_extensions": None})


def import_what_servers_need() -> None:
    """Import what every server needs, and terminals do not.

    Structlog imports rich wherever that is installed, for colours: a quarter of the time and 4 MiB
    of the memory that importing trio and structlog takes. And crc32c imports importlib.metadata, to
    know its own version, and what its command needs (2 MiB).
    """
    import_without("structlog", {"rich": None})
    metadata = ModuleType("importlib.metadata")
    metadata.version = lambda _name: "unknown"  # type: ignore[attr-defined]
    command = ModuleType("crc32c._cli")
    command.main = None  # type: ignore[attr-defined]
    import_without("crc32c", {metadata.__name__: metadata, command.__name__: command})


def import_without(library: str, stand_ins: Mapping[str, ModuleType | None]) -> None:
    """Import a library that finds these modules meanwhile, and none in place of None.

    A version of it that wants more of them than there is gets the real ones.
    """
    try:
        with _standing_in(stand_ins):
            import_module(library)
    except ImportError:
        import_module(library)


@contextmanager
def _standing_in(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Have imports find these modules; None makes one fail. What is imported already stays."""
    put = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(put)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in put:
            sys.modules.pop(name, None)
