"""CreatePartitions (37): make a topic wider. Must never know: how replicas are placed."""

from __future__ import annotations

from protocol.message import Bool, Int16, Int32, String, request, response, struct, wire


@struct
class CreatePartitionsAssignment:
    """One new partition's replicas, chosen by the caller."""

    broker_ids: list[Int32] = wire()


@struct
class CreatePartitionsTopic:
    """`count` is the new total; `assignments` None lets the controller place the replicas."""

    name: String = ""
    count: Int32 = 0
    assignments: list[CreatePartitionsAssignment] | None = wire()


@request(key=37, versions=(0, 3), flexible_since=2)
class CreatePartitionsRequest:
    """`validate_only` checks and changes nothing."""

    topics: list[CreatePartitionsTopic] = wire()
    timeout_ms: Int32 = 0
    validate_only: Bool = False


@struct
class CreatePartitionsTopicResult:
    """The outcome for one topic."""

    name: String = ""
    error_code: Int16 = 0
    error_message: String | None = None


@response(key=37, versions=(0, 3), flexible_since=2)
class CreatePartitionsResponse:
    """The outcome, topic by topic."""

    throttle_time_ms: Int32 = 0
    results: list[CreatePartitionsTopicResult] = wire()
