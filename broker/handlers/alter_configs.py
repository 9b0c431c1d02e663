"""AlterConfigs and IncrementalAlterConfigs: the settings of topics; a broker's are in its file.

Must never know: which settings exist, where they are kept. Source: KIP-133, KIP-339.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from broker.handlers.resources import Resource, ResourceType
from coordinator.events import ConfigEdit, ConfigOperation
from protocol.api import alter_configs as legacy
from protocol.api import incremental_alter_configs as incremental
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from broker.dispatch import RequestContext
    from broker.handlers.control import Control
    from coordinator.cluster import ClusterState

    Request = legacy.AlterConfigsRequest | incremental.IncrementalAlterConfigsRequest
    Response = legacy.AlterConfigsResponse | incremental.IncrementalAlterConfigsResponse


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the two requests: they differ in their classes and in what a change means."""

    response: Callable[..., Any]
    outcome: Callable[..., Any]
    edit_of: Callable[[Any], ConfigEdit]


class AlterConfigsHandler:
    """Changes single settings, or (the older request) replaces all of them."""

    def __init__(self, control: Control, dialect: Dialect) -> None:
        self._control = control
        self._dialect = dialect

    def __call__(self, request: Request, context: RequestContext) -> Coroutine[Any, Any, Response]:
        """Answer once the controller has decided."""

        def shows(response: Response, cluster: ClusterState) -> bool:
            done = {r.resource_name for r in response.responses if r.error_code == ErrorCode.NONE}
            edits = (self._dialect.edit_of(r) for r in request.resources if r.resource_name in done)
            return request.validate_only or all(_shows(edit, cluster) for edit in edits)

        return self._control.carry_out(request, context, self._carry_out, shows=shows)

    def refuse(self, request: Request, code: ErrorCode, message: str) -> Response:
        """Answer with an error for each resource."""
        error = RequestError.of(code, message)
        return self._answer(
            {Resource(r.resource_type, r.resource_name): error for r in request.resources}
        )

    async def _carry_out(self, request: Request) -> Response:
        return self._answer(await self._outcomes(request))

    def _answer(self, outcomes: Mapping[Resource, RequestError | None]) -> Response:
        responses = [
            self._dialect.outcome(
                error_code=ErrorCode.NONE if error is None else error.code,
                error_message=None if error is None else str(error),
                resource_type=resource.type,
                resource_name=resource.name,
            )
            for resource, error in outcomes.items()
        ]
        answer: Response = self._dialect.response(responses=responses)
        return answer

    async def _outcomes(self, request: Request) -> dict[Resource, RequestError | None]:
        """Decide on every resource; None stands for done."""
        outcomes: dict[Resource, RequestError | None] = {}
        edits: dict[Resource, ConfigEdit] = {}
        for asked in request.resources:
            resource = Resource(asked.resource_type, asked.resource_name)
            try:
                if resource in outcomes:
                    raise RequestError.of(
                        ErrorCode.INVALID_REQUEST, f"{resource.name} is named more than once"
                    )
                outcomes[resource] = None
                _require_topic(resource)
                edits[resource] = self._dialect.edit_of(asked)
            except RequestError as error:
                outcomes[resource] = error
                edits.pop(resource, None)
        decided = await self._control.controller().alter_configs(
            list(edits.values()), validate_only=request.validate_only
        )
        for resource in edits:
            outcome = decided[resource.name]
            outcomes[resource] = outcome if isinstance(outcome, RequestError) else None
        return outcomes


def _shows(edit: ConfigEdit, cluster: ClusterState) -> bool:
    """Say whether a topic's settings are as an edit leaves them, as far as that can be told."""
    topic = cluster.topics.get(edit.name)
    if topic is None:
        return True
    for key, operation, value in edit.changes:
        if operation is ConfigOperation.SET and topic.config.get(key) != value:
            return False
        if operation is ConfigOperation.DELETE and key in topic.config:
            return False
    return True


def _require_topic(resource: Resource) -> None:
    if resource.type == ResourceType.TOPIC:
        return
    if resource.type == ResourceType.BROKER:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            "a broker's settings are changed in its configuration file, and it is restarted",
        )
    raise RequestError.of(
        ErrorCode.INVALID_REQUEST, f"resource type {resource.type}: topics (2) can be altered"
    )


def _edit_of_changes(asked: incremental.AlterConfigsResource) -> ConfigEdit:
    changes = []
    for config in asked.configs:
        try:
            operation = ConfigOperation(config.config_operation)
        except ValueError:
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"operation {config.config_operation} on {config.name} is unknown: "
                "0 sets, 1 deletes, 2 appends, 3 subtracts",
            ) from None
        if config.value is None and operation is not ConfigOperation.DELETE:
            raise RequestError.of(ErrorCode.INVALID_CONFIG, f"{config.name} is given no value")
        changes.append((config.name, operation, config.value or ""))
    return ConfigEdit(asked.resource_name, tuple(changes))


def _edit_of_whole(asked: legacy.AlterConfigsResource) -> ConfigEdit:
    changes = [
        (config.name, ConfigOperation.SET, config.value)
        for config in asked.configs
        if config.value is not None
    ]
    return ConfigEdit(asked.resource_name, tuple(changes), from_scratch=True)


INCREMENTAL: Final = Dialect(
    incremental.IncrementalAlterConfigsResponse,
    incremental.AlterConfigsResourceResponse,
    _edit_of_changes,
)
REPLACING: Final = Dialect(
    legacy.AlterConfigsResponse, legacy.AlterConfigsResourceResponse, _edit_of_whole
)
