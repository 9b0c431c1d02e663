"""What the coordinator refuses: one class per refusal, with its code and its facts.

Must never know: requests on the wire, the store.
"""

from __future__ import annotations

from protocol.errors import CoordinationError, ErrorCode, RequestError


class NotController(RequestError):
    """This broker does not decide (any more); ask the one that does."""

    code = ErrorCode.NOT_CONTROLLER

    def __init__(self, *, controller_id: int) -> None:
        whom = "none is elected yet" if controller_id < 0 else f"broker {controller_id} is"
        super().__init__(f"this broker is not the controller, {whom}: ask again there")
        self.controller_id = controller_id


class StaleBrokerEpoch(RequestError):
    """An earlier incarnation of a broker speaks, or one whose registration has gone."""

    code = ErrorCode.STALE_BROKER_EPOCH

    def __init__(self, *, broker_id: int, broker_epoch: int) -> None:
        super().__init__(
            f"broker {broker_id} is not registered with epoch {broker_epoch}: register again"
        )
        self.broker_id = broker_id
        self.broker_epoch = broker_epoch


class NotGroupOwner(RequestError):
    """Another broker owns the group (now); ask which one."""

    code = ErrorCode.NOT_COORDINATOR

    def __init__(self, group_id: str) -> None:
        super().__init__(f"this broker does not own group {group_id!r}: ask FindCoordinator again")


class InvalidReplicationFactor(RequestError):
    """There are fewer live brokers than replicas asked for."""

    code = ErrorCode.INVALID_REPLICATION_FACTOR


class InvalidTopicName(RequestError):
    """The name cannot be a topic's."""

    code = ErrorCode.INVALID_TOPIC_EXCEPTION


class TopicExists(RequestError):
    """There is a topic of that name already."""

    code = ErrorCode.TOPIC_ALREADY_EXISTS


class UnknownTopic(RequestError):
    """There is no such topic or partition."""

    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


class InvalidPartitions(RequestError):
    """The number of partitions cannot be had."""

    code = ErrorCode.INVALID_PARTITIONS


class InvalidReplicaAssignment(RequestError):
    """The replicas asked for by hand cannot be had."""

    code = ErrorCode.INVALID_REPLICA_ASSIGNMENT


class NoReassignment(RequestError):
    """There is no reassignment that could be called off."""

    code = ErrorCode.NO_REASSIGNMENT_IN_PROGRESS


class InvalidConfig(RequestError):
    """A config value is not what its key expects."""

    code = ErrorCode.INVALID_CONFIG


class BrokerIdInUse(CoordinationError):
    """Another broker, with another data directory, is registered under this id."""

    def __init__(self, *, broker_id: int, host: str, port: int) -> None:
        super().__init__(
            f"broker id {broker_id} is taken by the broker at {host}:{port}: "
            "stop that one, or give this one another id; if it has died, its session with the "
            "coordinator has to end first: start this one again in a while"
        )
        self.broker_id = broker_id
        self.host = host
        self.port = port
