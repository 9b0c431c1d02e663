"""DeleteTopics: by name, from version 6 on by id as well. Must never know: how a topic goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import UnknownTopicId
from coordinator.errors import UnknownTopic
from protocol.api.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from broker.dispatch import RequestContext
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState, TopicState
    from protocol.api.delete_topics import DeleteTopicsRequest

NO_TOPIC_ID = bytes(16)


class DeleteTopicsHandler:
    """Deletes topics, where the broker's configuration lets it."""

    def __init__(self, control: Control, *, is_enabled: bool) -> None:
        self._control = control
        self._is_enabled = is_enabled

    def __call__(
        self, request: DeleteTopicsRequest, context: RequestContext
    ) -> DeleteTopicsResponse | Coroutine[Any, Any, DeleteTopicsResponse]:
        """Answer once the controller has decided."""
        if not self._is_enabled:
            return refuse(
                request,
                ErrorCode.TOPIC_DELETION_DISABLED,
                "topics are not deleted here: delete.topic.enable is false",
            )
        return self._control.carry_out(request, context, self._carry_out, shows=_shows)

    async def _carry_out(self, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
        results = [DeletableTopicResult(name=t.name, topic_id=t.topic_id) for t in _asked(request)]
        found: dict[str, DeletableTopicResult] = {}
        asked_ids: dict[str, bytes] = {}
        twice: set[str] = set()
        for result in results:
            try:
                topic = self._find(result)
            except RequestError as error:
                result.error_code, result.error_message = error.code, str(error)
                continue
            if result.name is None:
                asked_ids[topic.name] = topic.topic_id
            result.name, result.topic_id = topic.name, topic.topic_id
            if found.setdefault(topic.name, result) is not result:
                twice.add(topic.name)
        for result in results:
            if result.name in twice:
                result.error_code = ErrorCode.INVALID_REQUEST
                result.error_message = f"topic {result.name} is named more than once: name it once"
                found.pop(result.name, None)
        controller = self._control.controller()
        outcomes = await controller.delete_topics(list(found), topic_ids=asked_ids)
        for name, outcome in outcomes.items():
            if isinstance(outcome, RequestError):
                found[name].error_code = outcome.code
                found[name].error_message = str(outcome)
            else:
                found[name].topic_id = outcome.topic_id
        return DeleteTopicsResponse(responses=results)

    def _find(self, asked: DeletableTopicResult) -> TopicState:
        cluster = self._control.cluster()
        if asked.name is not None:
            topic = cluster.topics.get(asked.name)
            if topic is None:
                raise UnknownTopic(f"there is no topic {asked.name}")
            return topic
        topic = cluster.topic_of_id(asked.topic_id)
        if topic is None:
            raise UnknownTopicId(f"there is no topic with the id {asked.topic_id.hex()}")
        return topic


def _shows(response: DeleteTopicsResponse, cluster: ClusterState) -> bool:
    """Say whether what was deleted is gone."""
    return not any(
        result.error_code == ErrorCode.NONE and cluster.topic_of_id(result.topic_id) is not None
        for result in response.responses
    )


def _asked(request: DeleteTopicsRequest) -> list[DeleteTopicState]:
    return request.topics or [DeleteTopicState(name=name) for name in request.topic_names]


def refuse(request: DeleteTopicsRequest, code: ErrorCode, message: str) -> DeleteTopicsResponse:
    """Answer with an error for each topic."""
    return DeleteTopicsResponse(
        responses=[
            DeletableTopicResult(
                name=topic.name, topic_id=topic.topic_id, error_code=code, error_message=message
            )
            for topic in _asked(request)
        ]
    )
