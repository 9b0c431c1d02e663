"""CreatePartitions: more partitions for existing topics. Must never know: how they are placed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from coordinator.events import TopicGrowth
from protocol.api.create_partitions import CreatePartitionsResponse, CreatePartitionsTopicResult
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.dispatch import RequestContext
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState
    from protocol.api.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic


class CreatePartitionsHandler:
    """Makes topics wider."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def __call__(
        self, request: CreatePartitionsRequest, context: RequestContext
    ) -> Coroutine[Any, Any, CreatePartitionsResponse]:
        """Answer once the controller has decided."""
        counts = {topic.name: topic.count for topic in request.topics}

        def shows(response: CreatePartitionsResponse, cluster: ClusterState) -> bool:
            return request.validate_only or not any(
                result.error_code == ErrorCode.NONE
                and len(cluster.topics[result.name].partitions) < counts[result.name]
                for result in response.results
                if result.name in cluster.topics
            )

        return self._control.carry_out(request, context, self._carry_out, shows=shows)

    async def _carry_out(self, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
        counts = Counter(topic.name for topic in request.topics)
        results = {name: CreatePartitionsTopicResult(name=name) for name in counts}
        wanted = [_read(topic) for topic in request.topics if counts[topic.name] == 1]
        decided = await self._control.controller().create_partitions(
            wanted, validate_only=request.validate_only
        )
        twice = RequestError.of(ErrorCode.INVALID_REQUEST, "the topic is named more than once")
        for name, result in results.items():
            outcome = decided[name] if counts[name] == 1 else twice
            if isinstance(outcome, RequestError):
                result.error_code, result.error_message = outcome.code, str(outcome)
        return CreatePartitionsResponse(results=list(results.values()))


def _read(topic: CreatePartitionsTopic) -> TopicGrowth:
    assignment = None
    if topic.assignments is not None:
        assignment = tuple(tuple(each.broker_ids) for each in topic.assignments)
    return TopicGrowth(topic.name, topic.count, assignment=assignment)


def refuse(
    request: CreatePartitionsRequest, code: ErrorCode, message: str
) -> CreatePartitionsResponse:
    """Answer with an error for each topic."""
    return CreatePartitionsResponse(
        results=[
            CreatePartitionsTopicResult(name=topic.name, error_code=code, error_message=message)
            for topic in request.topics
        ]
    )
