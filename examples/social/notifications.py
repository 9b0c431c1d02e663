"""Tells authors who liked their posts. Pure.

Must never know: records, offsets, where its state is kept.
"""

from __future__ import annotations

from typing import Any, Final

from .contracts import NOTIFICATIONS, Event, Result

POSTS_KEPT: Final = 500
TEXT_SHOWN: Final = 60


class Notifications:
    """Who wrote what, and who has liked it already."""

    def __init__(self, plain: Any = None) -> None:
        """Begin with nothing, or with what `plain` gave."""
        self._posts: dict[str, dict[str, Any]] = plain or {}

    def apply(self, event: Event, _partition: int) -> list[Result]:
        """Take an event in. Returns: a notification, for the first like of somebody else."""
        if event.action_type == "post":
            shown = event.text[:TEXT_SHOWN]
            known = {"author": event.user_id, "text": shown, "liked_by": []}
            self._posts.setdefault(event.post_id, known)
            while len(self._posts) > POSTS_KEPT:
                del self._posts[next(iter(self._posts))]
            return []
        post = self._posts.get(event.post_id) if event.action_type == "like" else None
        if post is None or event.user_id in (post["author"], *post["liked_by"]):
            return []
        post["liked_by"].append(event.user_id)
        value = {
            "event_id": event.event_id,
            "user_id": post["author"],
            "liker": event.user_id,
            "post_id": event.post_id,
            "text": post["text"],
            "timestamp": event.timestamp,
        }
        return [Result(NOTIFICATIONS, post["author"], value)]

    def summaries(self) -> list[Result]:
        """There are none."""
        return []

    def plain(self) -> Any:
        """Give all of it as plain values."""
        return self._posts
