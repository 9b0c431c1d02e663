"""How the files of a segment's batches are called: `<base offset>.log`, as with Kafka.

Must never know: what is in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LOG_SUFFIX: Final = ".log"
DELETED_SUFFIX: Final = ".deleted"


def base_offsets(names: Iterable[str]) -> list[int]:
    """List where the segments begin whose files of batches are among these names, rising."""
    stems = (name.removesuffix(LOG_SUFFIX) for name in names if name.endswith(LOG_SUFFIX))
    return sorted(int(stem) for stem in stems if stem.isdigit())
