"""DeleteTopics (20). Must never know: how a topic goes."""

from __future__ import annotations

from protocol.message import Int16, Int32, String, Uuid, request, response, struct, wire


@struct
class DeleteTopicState:
    """A topic by name, or by id with a null name (from version 6)."""

    name: String | None = None
    topic_id: Uuid = wire()


@request(key=20, versions=(1, 6), flexible_since=4)
class DeleteTopicsRequest:
    """`topic_names` until version 5, `topics` after."""

    topics: list[DeleteTopicState] = wire(since=6)
    topic_names: list[String] = wire(until=5, ignorable=True)
    timeout_ms: Int32 = 0


@struct
class DeletableTopicResult:
    """The outcome for one topic."""

    name: String | None = wire(nullable_since=6, default="")
    topic_id: Uuid = wire(since=6, ignorable=True)
    error_code: Int16 = 0
    error_message: String | None = wire(since=5, default=None, ignorable=True)


@response(key=20, versions=(1, 6), flexible_since=4)
class DeleteTopicsResponse:
    """The outcome, topic by topic."""

    throttle_time_ms: Int32 = 0
    responses: list[DeletableTopicResult] = wire()
