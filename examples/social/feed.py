"""What each reader sees: posts of those whom they follow, with likes. Pure.

Must never know: records, offsets, where its state is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from .contracts import FEED, RECEIPTS, Event, Result
from .people import readers_of
from .receipts import Seen, run_and_number

POSTS_KEPT: Final = 500
"""Likes of older posts change nothing any more."""


@dataclass(slots=True)
class Post:
    """A post and who likes it."""

    author: str
    text: str
    timestamp: int
    hashtags: list[str] = field(default_factory=list)
    liked_by: list[str] = field(default_factory=list)


class Feed:
    """All posts that can still be liked, and a receipt for every event."""

    def __init__(self, plain: Any = None) -> None:
        """Begin with nothing, or with what `plain` gave."""
        told = plain or {"posts": {}, "seen": {}}
        self._posts = {post_id: Post(**fields) for post_id, fields in told["posts"].items()}
        self._seen = {run: Seen.of(fields) for run, fields in told["seen"].items()}
        self._touched: set[str] = set()

    def apply(self, event: Event, _partition: int) -> list[Result]:
        """Take an event in. Returns: the entries that it changes, one for each reader."""
        if (place := run_and_number(event.event_id)) is not None:
            run, number = place
            self._seen.setdefault(run, Seen()).note(number)
            self._touched.add(run)
        if event.action_type == "post" and event.post_id not in self._posts:
            self._posts[event.post_id] = Post(
                event.user_id, event.text, event.timestamp, list(event.hashtags)
            )
            while len(self._posts) > POSTS_KEPT:
                del self._posts[next(iter(self._posts))]
            return self._entries(event.post_id)
        if event.action_type == "like":
            post = self._posts.get(event.post_id)
            if post is not None and event.user_id not in post.liked_by:
                post.liked_by.append(event.user_id)
                return self._entries(event.post_id)
        return []

    def summaries(self) -> list[Result]:
        """Give the receipts that have changed since the last time."""
        touched, self._touched = sorted(self._touched), set()
        return [Result(RECEIPTS, run, {"run": run, **self._seen[run].plain()}) for run in touched]

    def plain(self) -> Any:
        """Give all of it as plain values."""
        return {
            "posts": {post_id: asdict(post) for post_id, post in self._posts.items()},
            "seen": {run: seen.plain() for run, seen in self._seen.items()},
        }

    def _entries(self, post_id: str) -> list[Result]:
        post = {"post_id": post_id, **asdict(self._posts[post_id])}
        return [
            Result(FEED, reader, {"user_id": reader, **post})
            for reader in readers_of(post["author"])
        ]
