"""Counts likes for each post in tumbling windows of event time. Pure.

A post's events are all in one partition, so every partition is counted by itself, and its time is
that of its own events: what comes out depends on the events alone, not on when, or in what turns,
partitions were read.
Must never know: records, offsets, where its state is kept, clocks.
"""

from __future__ import annotations

from typing import Any, Final

from .contracts import TRENDING, Event, Result

WINDOW_MS: Final = 10_000
LATENESS_MS: Final = 2_000
"""A window is closed once an event is this much later than its end; what comes then is late."""

POSTS_TOLD: Final = 10


class Trending:
    """The windows that are open, in each partition."""

    def __init__(self, plain: Any = None) -> None:
        """Begin with nothing, or with what `plain` gave."""
        self._partitions = {
            partition: _Windows(**fields) for partition, fields in (plain or {}).items()
        }

    def apply(self, event: Event, partition: int) -> list[Result]:
        """Take an event in. Returns: the windows that are closed by it, in order."""
        windows = self._partitions.setdefault(partition, _Windows())
        windows.count(event)
        return [windows.result(start, partition) for start in windows.over()]

    def summaries(self) -> list[Result]:
        """There are none."""
        return []

    def plain(self) -> Any:
        """Give all of it as plain values."""
        return {partition: windows.plain() for partition, windows in self._partitions.items()}


class _Windows:
    """The open windows of one partition: for each start, who liked which post."""

    def __init__(
        self,
        latest_ms: int = 0,
        late: int = 0,
        likes: dict[int, dict[str, list[str]]] | None = None,
    ) -> None:
        self._latest_ms = latest_ms
        self._late = late
        self._likes = likes or {}

    def count(self, event: Event) -> None:
        if event.action_type == "like":
            start = event.timestamp - event.timestamp % WINDOW_MS
            if start + WINDOW_MS + LATENESS_MS <= self._latest_ms:
                self._late += 1
                return
            likers = self._likes.setdefault(start, {}).setdefault(event.post_id, [])
            if event.user_id not in likers:
                likers.append(event.user_id)
        self._latest_ms = max(self._latest_ms, event.timestamp)

    def over(self) -> list[int]:
        closed_ms = self._latest_ms - LATENESS_MS - WINDOW_MS
        return sorted(start for start in self._likes if start <= closed_ms)

    def result(self, start: int, partition: int) -> Result:
        counts = [
            {"post_id": post_id, "likes": len(likers)}
            for post_id, likers in self._likes.pop(start).items()
        ]
        counts.sort(key=lambda count: (-int(str(count["likes"])), str(count["post_id"])))
        value = {
            "window_start": start,
            "window_end": start + WINDOW_MS,
            "partition": partition,
            "late": self._late,
            "posts": counts[:POSTS_TOLD],
        }
        return Result(TRENDING, str(start), value)

    def plain(self) -> dict[str, Any]:
        return {"latest_ms": self._latest_ms, "late": self._late, "likes": self._likes}
