"""The reader's side of a fetch session: which partitions the next request has to name.

A broker that grants a session remembers what it was asked for, so that requests name changes only.
One that does not (older than version 7, or out of room) is asked for everything each time.
Must never know: connections, what comes back for a partition.
Source: KIP-227, KIP-516 (a session goes by topic ids or by names, not by both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from protocol.api.fetch import FetchRequest, FetchTopic, ForgottenTopic
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from protocol.api.fetch import FetchPartition, FetchResponse

_NO_SESSION: Final = 0
_INITIAL_EPOCH: Final = 0
_FINAL_EPOCH: Final = -1
_EPOCH_MAX: Final = 2**31 - 1

SESSION_ENDED: Final = frozenset(
    {
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    }
)
"""Errors of a whole fetch after which the next one names everything, and all is well."""


class FetchedTopic(NamedTuple):
    """A topic as a session names it: without an id where it goes by names."""

    name: str
    topic_id: bytes = bytes(16)


class FetchSessionHandler:
    """What one broker is to fetch from for us, and what it knows of that already.

    Nothing may be asked of the broker in parallel: after `name`, either `answered` or `lost`.
    """

    def __init__(self, *, uses_topic_ids: bool = True) -> None:
        self.uses_topic_ids = uses_topic_ids
        self._session_id = _NO_SESSION
        self._epoch = _INITIAL_EPOCH
        self._wanted: dict[tuple[FetchedTopic, int], FetchPartition] = {}
        self._changed: dict[tuple[FetchedTopic, int], None] = {}
        self._forgotten: dict[tuple[FetchedTopic, int], None] = {}

    def __len__(self) -> int:
        return len(self._wanted)

    def __contains__(self, place: tuple[FetchedTopic, int]) -> bool:
        return place in self._wanted

    def want(self, topic: FetchedTopic, asked: FetchPartition) -> None:
        """Fetch a partition as `asked` says, from the next request on; do not change it later."""
        place = (topic, asked.partition)
        if self._wanted.get(place) != asked:
            self._wanted[place] = asked
            self._changed[place] = None
        self._forgotten.pop(place, None)

    def forget(self, topic: FetchedTopic, partition: int) -> None:
        """Fetch a partition no longer. A broker that never heard of it takes that well."""
        place = (topic, partition)
        if self._wanted.pop(place, None) is not None:
            self._changed.pop(place, None)
            self._forgotten[place] = None

    def want_only(self, asked: dict[tuple[FetchedTopic, int], FetchPartition]) -> None:
        """Fetch these partitions and no others."""
        for topic, partition in [place for place in self._wanted if place not in asked]:
            self.forget(topic, partition)
        for (topic, _), partition_asked in asked.items():
            self.want(topic, partition_asked)

    def go_by(self, *, topic_ids: bool) -> None:
        """Name topics by id, or by name; where that is new, another session begins."""
        if topic_ids != self.uses_topic_ids:
            self.uses_topic_ids = topic_ids
            self.lost()

    def name(self, request: FetchRequest) -> None:
        """Have a request name what the broker does not know yet: all of it, or what changed."""
        request.session_id, request.session_epoch = self._session_id, self._epoch
        is_full = self._epoch == _INITIAL_EPOCH
        topics: dict[FetchedTopic, FetchTopic] = {}
        for place in self._wanted if is_full else self._changed:
            topic, asked = place[0], self._wanted[place]
            if topic not in topics:
                topics[topic] = FetchTopic(topic.name, topic.topic_id)
            topics[topic].partitions.append(asked)
        gone: dict[FetchedTopic, ForgottenTopic] = {}
        for topic, partition in () if is_full else self._forgotten:
            if topic not in gone:
                gone[topic] = ForgottenTopic(topic.name, topic.topic_id)
            gone[topic].partitions.append(partition)
        request.topics = list(topics.values())
        request.forgotten_topics_data = list(gone.values())
        self._changed.clear()
        self._forgotten.clear()

    def answered(self, response: FetchResponse) -> None:
        """Go on with the session that an answer grants or continues, if it does."""
        if response.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND:
            self._session_id = _NO_SESSION
            self.lost()
        elif response.error_code != ErrorCode.NONE:
            self.lost()
        elif response.session_id == _NO_SESSION:
            self._session_id, self._epoch = _NO_SESSION, _INITIAL_EPOCH
        else:
            self._session_id = response.session_id
            self._epoch = self._epoch + 1 if self._epoch < _EPOCH_MAX else 1

    def end(self) -> FetchRequest | None:
        """Make the request that ends the session, None where there is none; it fetches nothing."""
        if self._session_id == _NO_SESSION:
            return None
        request = FetchRequest(session_id=self._session_id, session_epoch=_FINAL_EPOCH)
        self._session_id = _NO_SESSION
        self.lost()
        return request

    def lost(self) -> None:
        """Name everything in the next request, which ends the session that was."""
        self._epoch = _INITIAL_EPOCH
        self._changed.clear()
        self._forgotten.clear()
