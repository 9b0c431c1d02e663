"""AlterConfigs and IncrementalAlterConfigs: settings of topics, and of brokers at run time.

Must never know: which settings exist, where they are kept. Source: KIP-133, KIP-226, KIP-339.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from broker.handlers.resources import Resource, ResourceType, why_without_settings
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


class Dialect(Struct, frozen=True):
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
            done = {_resource_of(r) for r in response.responses if r.error_code == ErrorCode.NONE}
            return request.validate_only or all(
                _shows(_config_of(_resource_of(asked), cluster), self._dialect.edit_of(asked))
                for asked in request.resources
                if _resource_of(asked) in done
            )

        return self._control.carry_out(request, context, self._carry_out, shows=shows)

    def refuse(self, request: Request, code: ErrorCode, message: str) -> Response:
        """Answer with an error for each resource."""
        error = RequestError.of(code, message)
        return self._answer({_resource_of(asked): error for asked in request.resources})

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
            resource = _resource_of(asked)
            try:
                if resource in outcomes:
                    raise RequestError.of(
                        ErrorCode.INVALID_REQUEST, f"{resource.name} is named more than once"
                    )
                outcomes[resource] = None
                _check(asked)
                edits[resource] = self._dialect.edit_of(asked)
            except RequestError as error:
                outcomes[resource] = error
                edits.pop(resource, None)
        controller = self._control.controller()
        for kind, alter in (
            (ResourceType.TOPIC, controller.alter_configs),
            (ResourceType.BROKER, controller.alter_broker_configs),
        ):
            of_kind = [edit for resource, edit in edits.items() if resource.type == kind]
            if not of_kind:
                continue
            decided = await alter(of_kind, validate_only=request.validate_only)
            for name, outcome in decided.items():
                if isinstance(outcome, RequestError):
                    outcomes[Resource(kind, name)] = outcome
        return outcomes


def _resource_of(named: Any) -> Resource:
    """Read type and name, which requests and responses call the same."""
    return Resource(named.resource_type, named.resource_name)


def _config_of(resource: Resource, cluster: ClusterState) -> Mapping[str, str] | None:
    """Find the settings of a resource; None where there is no such topic."""
    if resource.type == ResourceType.TOPIC:
        topic = cluster.topics.get(resource.name)
        return None if topic is None else topic.config
    if not resource.name:
        return cluster.config
    return cluster.broker_configs.get(int(resource.name), {})


def _shows(config: Mapping[str, str] | None, edit: ConfigEdit) -> bool:
    """Say whether settings are as an edit leaves them, as far as that can be told."""
    if config is None:
        return True
    for key, operation, value in edit.changes:
        if operation is ConfigOperation.SET and config.get(key) != value:
            return False
        if operation is ConfigOperation.DELETE and key in config:
            return False
    return True


def _check(asked: legacy.AlterConfigsResource | incremental.AlterConfigsResource) -> None:
    """Refuse what has no settings, and a setting that is named twice. Raises: RequestError."""
    if asked.resource_type not in (ResourceType.TOPIC, ResourceType.BROKER):
        raise RequestError.of(ErrorCode.INVALID_REQUEST, why_without_settings(asked.resource_type))
    for key, count in Counter(config.name for config in asked.configs).items():
        if count > 1:
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST, f"{key} is named {count} times for one resource"
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
        value = "" if operation is ConfigOperation.DELETE else _value_of(config)
        changes.append((config.name, operation, value))
    return ConfigEdit(asked.resource_name, tuple(changes))


def _edit_of_whole(asked: legacy.AlterConfigsResource) -> ConfigEdit:
    changes = [(each.name, ConfigOperation.SET, _value_of(each)) for each in asked.configs]
    return ConfigEdit(asked.resource_name, tuple(changes), from_scratch=True)


def _value_of(config: legacy.AlterableConfig | incremental.AlterableConfig) -> str:
    """Read a value that must be there. Raises: RequestError."""
    if config.value is None:
        raise RequestError.of(ErrorCode.INVALID_REQUEST, f"{config.name} is given no value")
    return config.value


INCREMENTAL: Final = Dialect(
    incremental.IncrementalAlterConfigsResponse,
    incremental.AlterConfigsResourceResponse,
    _edit_of_changes,
)
REPLACING: Final = Dialect(
    legacy.AlterConfigsResponse, legacy.AlterConfigsResourceResponse, _edit_of_whole
)
