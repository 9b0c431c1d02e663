"""Plain text in columns, for terminals and for `awk` alike.

Must never know: what the columns hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP: Final = "  "
_MEBIBYTE: Final = 1_048_576


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows under a header; the last column is as long as it likes."""
    lines = [header, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def mebibytes(size_bytes: int | None) -> str:
    """Write a size in MiB; a dash where it is not known."""
    return "-" if size_bytes is None else f"{size_bytes / _MEBIBYTE:.0f} MiB"


def shorten(names: Sequence[object], *, shown_max: int = 20) -> str:
    """Write names with commas between them; of many the first, and how many more there are."""
    shown = ", ".join(map(str, names[:shown_max]))
    return f"{shown} and {len(names) - shown_max:,} more" if len(names) > shown_max else shown


def count_of(count: int, noun: str) -> str:
    """Write a count with its noun in the right number."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
