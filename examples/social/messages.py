"""Delivers messages, and begins a conversation between two who like each other's posts. Pure.

Must never know: records, offsets, where its state is kept.
"""

from __future__ import annotations

from typing import Any, Final

from .contracts import MESSAGES, Event, Result
from .people import conversation_of

POSTS_KEPT: Final = 500
GREETING: Final = "We like each other's posts. Hello!"


class Messages:
    """Who wrote which post, who has liked whom, and how long each conversation is."""

    def __init__(self, plain: Any = None) -> None:
        """Begin with nothing, or with what `plain` gave."""
        told = plain or {"authors": {}, "likes": [], "lengths": {}}
        self._authors: dict[str, str] = dict(told["authors"])
        self._likes: set[tuple[str, str]] = {(liker, liked) for liker, liked in told["likes"]}
        self._lengths: dict[str, int] = dict(told["lengths"])

    def apply(self, event: Event, _partition: int) -> list[Result]:
        """Take an event in. Returns: the message that follows from it, if one does."""
        match event.action_type:
            case "post":
                self._authors[event.post_id] = event.user_id
                while len(self._authors) > POSTS_KEPT:
                    del self._authors[next(iter(self._authors))]
            case "message":
                return [self._message(event, event.to, event.text)]
            case "like":
                author = self._authors.get(event.post_id)
                if author is None or author == event.user_id:
                    return []
                is_new = (event.user_id, author) not in self._likes
                self._likes.add((event.user_id, author))
                if is_new and (author, event.user_id) in self._likes:
                    return [self._message(event, author, GREETING)]
        return []

    def summaries(self) -> list[Result]:
        """There are none."""
        return []

    def plain(self) -> Any:
        """Give all of it as plain values."""
        likes = [list(pair) for pair in sorted(self._likes)]
        return {"authors": self._authors, "likes": likes, "lengths": self._lengths}

    def _message(self, event: Event, recipient: str, text: str) -> Result:
        conversation = conversation_of(event.user_id, recipient)
        number = self._lengths[conversation] = self._lengths.get(conversation, 0) + 1
        value = {
            "event_id": event.event_id,
            "sender": event.user_id,
            "recipient": recipient,
            "text": text,
            "number": number,
            "timestamp": event.timestamp,
        }
        return Result(MESSAGES, conversation, value)
