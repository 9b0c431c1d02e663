"""CreateTopics: by any broker's clients, decided by the controller; also without being asked to.

Must never know: how replicas are placed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from broker.dispatch import RequestContext
from broker.handlers.control import no_change
from broker.topic_config import check_topic_config, origins
from coordinator.errors import InvalidConfig, InvalidReplicaAssignment
from coordinator.events import DEFAULT, NewTopic
from protocol.api import ApiKey
from protocol.api.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from broker.dynamic_config import DynamicConfig
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState, TopicState

OWN_VERSION = 7
"""In which version topics that create themselves are asked for."""


class CreateTopicsHandler:
    """Creates topics with what was asked, and this broker's defaults for the rest."""

    def __init__(self, control: Control, settings: DynamicConfig) -> None:
        self._control = control
        self._settings = settings

    def __call__(
        self, request: CreateTopicsRequest, context: RequestContext
    ) -> Coroutine[Any, Any, CreateTopicsResponse]:
        """Answer once the controller has decided."""
        shows = no_change if request.validate_only else _shows
        return self._control.carry_out(request, context, self._carry_out, shows=shows)

    async def create_with_defaults(
        self, names: Iterable[str], context: RequestContext
    ) -> dict[str, ErrorCode]:
        """Create topics that somebody asked about (`broker.handlers.metadata.AutoCreate`)."""
        request = CreateTopicsRequest(
            topics=[
                CreatableTopic(name=name, num_partitions=DEFAULT, replication_factor=DEFAULT)
                for name in names
            ]
        )
        own_context = RequestContext(
            ApiKey.CREATE_TOPICS,
            OWN_VERSION,
            context.correlation_id,
            context.client_id,
            context.peer,
            context.listener,
        )
        try:
            response = await self(request, own_context)
        except RequestError as error:
            return dict.fromkeys((topic.name for topic in request.topics), error.code)
        codes = {result.name: ErrorCode(result.error_code) for result in response.topics}
        # Somebody else was quicker: just as good.
        exists = ErrorCode.TOPIC_ALREADY_EXISTS
        return {name: ErrorCode.NONE if code is exists else code for name, code in codes.items()}

    async def _carry_out(self, request: CreateTopicsRequest) -> CreateTopicsResponse:
        refused: dict[str, RequestError] = {}
        wanted: list[NewTopic] = []
        for name, count in Counter(topic.name for topic in request.topics).items():
            if count > 1:
                refused[name] = RequestError.of(
                    ErrorCode.INVALID_REQUEST, f"topic {name} is asked for {count} times at once"
                )
        for topic in request.topics:
            if topic.name in refused:
                continue
            try:
                wanted.append(self._read(topic))
            except RequestError as error:
                refused[topic.name] = error
        decided = await self._control.controller().create_topics(
            wanted, validate_only=request.validate_only
        )
        outcomes = {**decided, **refused}
        names = dict.fromkeys(topic.name for topic in request.topics)
        return CreateTopicsResponse(topics=[self._result(name, outcomes[name]) for name in names])

    def _read(self, topic: CreatableTopic) -> NewTopic:
        """Read one topic as asked for. Raises: RequestError."""
        asked = {}
        for setting in topic.configs:
            if setting.value is None:
                raise InvalidConfig(f"{setting.name} is null: leave it out to have its default")
            asked[setting.name] = setting.value
        check_topic_config(asked)
        config = self._settings.defaults_of_new_topic() | asked
        if topic.assignments:
            return NewTopic(topic.name, assignment=_assignment(topic), config=config)
        defaults = self._settings.current.topics
        partitions, factor = topic.num_partitions, topic.replication_factor
        return NewTopic(
            topic.name,
            partition_count=defaults.num_partitions if partitions == DEFAULT else partitions,
            replication_factor=defaults.default_replication_factor if factor == DEFAULT else factor,
            config=config,
        )

    def _result(self, name: str, outcome: TopicState | RequestError) -> CreatableTopicResult:
        if isinstance(outcome, RequestError):
            return _refusal(name, outcome.code, str(outcome))
        factor = len(outcome.partitions[0].replicas)
        return CreatableTopicResult(
            name=name,
            topic_id=outcome.topic_id,
            error_message=None,
            num_partitions=len(outcome.partitions),
            replication_factor=factor,
            configs=[
                CreatableTopicConfigs(
                    name=key, value=places[0].value, config_source=places[0].source
                )
                for key, places in origins(
                    outcome.config, self._settings, replication_factor=factor
                ).items()
            ],
        )


def _shows(response: CreateTopicsResponse, cluster: ClusterState) -> bool:
    """Say whether what was created is there, with leaders."""
    created = (t.name for t in response.topics if t.error_code == ErrorCode.NONE)
    found = (cluster.topics.get(name) for name in created)
    return all(
        topic is not None and all(p.leader_id in cluster.brokers for p in topic.partitions)
        for topic in found
    )


def _assignment(topic: CreatableTopic) -> dict[int, tuple[int, ...]]:
    """Read replicas chosen by the client. Raises: RequestError."""
    if topic.num_partitions != DEFAULT or topic.replication_factor != DEFAULT:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            "replicas are assigned by hand: leave partitions and replication factor at -1",
        )
    by_index = {each.partition_index: tuple(each.broker_ids) for each in topic.assignments}
    if len(by_index) < len(topic.assignments):
        raise InvalidReplicaAssignment("a partition is assigned more than once")
    return by_index


def _refusal(name: str, code: ErrorCode, message: str) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=code, error_message=message, configs=None)


def refuse(request: CreateTopicsRequest, code: ErrorCode, message: str) -> CreateTopicsResponse:
    """Answer with an error for each topic."""
    return CreateTopicsResponse(topics=[_refusal(t.name, code, message) for t in request.topics])
