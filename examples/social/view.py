"""What the page knows of all that the services have said. Pure.

Whatever it is told twice, it shows once: entries, notifications and messages have ids, windows have
a start and a partition.
Must never know: HTTP, records, brokers.
"""

from __future__ import annotations

from typing import Any, Final

from .contracts import FEED, MESSAGES, NOTIFICATIONS, RECEIPTS, TRENDING
from .receipts import Seen

ENTRIES_KEPT: Final = 40
WINDOWS_KEPT: Final = 4
POSTS_SHOWN: Final = 3


class View:
    """The newest of everything, for each person."""

    def __init__(self, plain: Any = None) -> None:
        """Begin with nothing, or with what `plain` gave."""
        told = plain or {"feeds": {}, "notifications": {}, "messages": {}, "windows": {}}
        self._feeds: dict[str, dict[str, Any]] = told["feeds"]
        self._notifications: dict[str, dict[str, Any]] = told["notifications"]
        self._messages: dict[str, dict[str, Any]] = told["messages"]
        self._windows: dict[int, dict[int, Any]] = told["windows"]
        self._seen = {run: Seen.of(fields) for run, fields in told.get("seen", {}).items()}

    @property
    def seen(self) -> dict[str, Seen]:
        """What the feed has seen, by the producer's run."""
        return self._seen

    def apply(self, topic: str, value: dict[str, Any]) -> None:
        """Take in what a service has said."""
        match topic:
            case "feed":
                _keep(self._feeds, value["user_id"], value["post_id"], value)
            case "notifications":
                _keep(self._notifications, value["user_id"], value["event_id"], value)
            case "messages":
                for person in (value["sender"], value["recipient"]):
                    _keep(self._messages, person, value["event_id"], value)
            case "trending":
                self._windows.setdefault(value["window_start"], {})[value["partition"]] = value
                for start in sorted(self._windows)[:-WINDOWS_KEPT]:
                    del self._windows[start]
            case "receipts":
                self._seen[value["run"]] = Seen.of(value)

    def feed_of(self, user: str) -> list[dict[str, Any]]:
        """Give what a person sees, newest first."""
        return _newest(self._feeds, user)

    def notifications_of(self, user: str) -> list[dict[str, Any]]:
        """Give a person's notifications, newest first."""
        return _newest(self._notifications, user)

    def messages_of(self, user: str) -> list[dict[str, Any]]:
        """Give what a person has written and was written, newest first."""
        return _newest(self._messages, user)

    def posts(self) -> dict[str, dict[str, Any]]:
        """Give the posts that anybody sees, by id."""
        return {
            post_id: entry for entries in self._feeds.values() for post_id, entry in entries.items()
        }

    def trending(self) -> list[dict[str, Any]]:
        """Give the latest windows, newest first, all partitions of each together."""
        posts = self.posts()
        windows = []
        for start in sorted(self._windows, reverse=True):
            parts = self._windows[start].values()
            counts = [count for part in parts for count in part["posts"]]
            counts.sort(key=lambda count: (-count["likes"], count["post_id"]))
            shown = [
                {
                    **count,
                    "author": posts.get(count["post_id"], {}).get("author", ""),
                    "text": posts.get(count["post_id"], {}).get("text", ""),
                }
                for count in counts[:POSTS_SHOWN]
            ]
            windows.append({"window_start": start, "posts": shown})
        return windows

    def plain(self) -> Any:
        """Give all of it as plain values."""
        return {
            "feeds": self._feeds,
            "notifications": self._notifications,
            "messages": self._messages,
            "windows": self._windows,
            "seen": {run: seen.plain() for run, seen in self._seen.items()},
        }


TOPICS: Final = (FEED, NOTIFICATIONS, MESSAGES, TRENDING, RECEIPTS)


def _keep(shelf: dict[str, dict[str, Any]], user: str, name: str, value: dict[str, Any]) -> None:
    """Put a value in its place, and drop what is oldest by its timestamp."""
    kept = shelf.setdefault(user, {})
    kept[name] = value
    while len(kept) > ENTRIES_KEPT:
        del kept[min(kept, key=lambda each: (kept[each]["timestamp"], each))]


def _newest(shelf: dict[str, dict[str, Any]], user: str) -> list[dict[str, Any]]:
    entries = shelf.get(user, {}).values()
    return sorted(entries, key=lambda entry: entry["timestamp"], reverse=True)
