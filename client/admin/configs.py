"""Settings of topics, brokers, and of all brokers alike: reading and changing them.

Must never know: which settings exist, where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from client.admin.base import AdminBase, raise_refused
from client.descriptions import ALL_BROKERS, ConfigEntry, ConfigSource, ResourceType
from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.api.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SET: Final = 0
_DELETE: Final = 1


class ConfigAdmin(AdminBase):
    """The admin's part for settings."""

    async def describe_configs(self, kind: ResourceType, name: str) -> tuple[ConfigEntry, ...]:
        """List the settings of a topic, of a broker by its id, or of ALL_BROKERS.

        Of ALL_BROKERS only those are listed that somebody has set.
        Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
        """
        request = DescribeConfigsRequest([DescribeConfigsResource(kind, name, None)])
        if kind is ResourceType.BROKER and name != ALL_BROKERS:
            response = await self._ask_broker(_broker_id(name), request)
        else:
            response = await self._cluster.call_any(request, controller_first=True)
        result = response.results[0]
        raise_refused(result, f"describing {_title(kind, name)}")
        return tuple(
            ConfigEntry(
                entry.name,
                entry.value,
                ConfigSource(entry.config_source),
                read_only=entry.read_only,
                sensitive=entry.is_sensitive,
            )
            for entry in result.configs
        )

    async def alter_configs(
        self,
        kind: ResourceType,
        name: str,
        changes: Mapping[str, str | None],
        *,
        validate_only: bool = False,
    ) -> None:
        """Change single settings of a topic, a broker or ALL_BROKERS; None unsets one.

        Raises: RequestError, ConnectionBroken, NoBrokerReachable, WaitTimedOut.
        """
        configs = [
            AlterableConfig(key, _DELETE if value is None else _SET, value)
            for key, value in changes.items()
        ]
        request = IncrementalAlterConfigsRequest(
            [AlterConfigsResource(kind, name, configs)], validate_only
        )
        if kind is ResourceType.BROKER and name != ALL_BROKERS:
            # Kafka's brokers take changes of their own settings only.
            response = await self._ask_broker(_broker_id(name), request)
        else:
            response = await self._ask_controller(
                request, lambda answer: [result.error_code for result in answer.responses]
            )
        raise_refused(response.responses[0], f"changing {_title(kind, name)}")


def _broker_id(name: str) -> int:
    """Read a broker's id. Raises: RequestError (INVALID_REQUEST)."""
    if not name.isdecimal():
        raise RequestError.of(ErrorCode.INVALID_REQUEST, f"{name!r} is no broker: give its id")
    return int(name)


def _title(kind: ResourceType, name: str) -> str:
    if kind is ResourceType.BROKER:
        return "all brokers" if name == ALL_BROKERS else f"broker {name}"
    return f"topic {name!r}"
