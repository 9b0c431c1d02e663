"""The table of APIs: every request and response that is declared, by key.

What a broker advertises is computed from its handlers, not from here.
Must never know: what any of them does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from importlib import import_module
from typing import Final

from msgspec import Struct

from protocol.message import layout_of


class ApiKey(IntEnum):
    """The keys of the declared APIs. Source: Kafka protocol guide, "API keys"."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    CONTROLLED_SHUTDOWN = 7
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    DESCRIBE_LOG_DIRS = 35
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    ALTER_PARTITION = 56
    DESCRIBE_CLUSTER = 60
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75


class Api(Struct, frozen=True):
    """One API: `versions` (both ends included) are flexible from `flexible_since` on."""

    key: ApiKey
    name: str
    request: type
    response: type
    versions: tuple[int, int]
    flexible_since: int


class _Table(Mapping[int, Api]):
    """The APIs by key. A module is imported when its API is first asked for.

    A client asks for few of them, and each costs 2 ms.
    """

    def __init__(self) -> None:
        self._known: dict[int, Api] = {}

    def __getitem__(self, key: int) -> Api:
        api = self._known.get(key)
        if api is None:
            if key not in self:
                raise KeyError(key)
            api = self._known[key] = _declared(ApiKey(key))
        return api

    def __contains__(self, key: object) -> bool:
        return key in _KEYS

    def __iter__(self) -> Iterator[int]:
        return iter(ApiKey)

    def __len__(self) -> int:
        return len(ApiKey)


def _declared(key: ApiKey) -> Api:
    """Look up what `protocol.api.some_name` declares as SomeNameRequest and SomeNameResponse."""
    name = "".join(word.capitalize() for word in key.name.split("_"))
    module = import_module(f"{__name__}.{key.name.lower()}")
    request, response = getattr(module, f"{name}Request"), getattr(module, f"{name}Response")
    asked, answered = layout_of(request), layout_of(response)
    assert asked.key == key, request
    assert (asked.key, asked.versions, asked.flexible_since) == (
        answered.key,
        answered.versions,
        answered.flexible_since,
    ), f"{name}Request and its response are declared for different versions"
    return Api(key, name, request, response, asked.versions, asked.flexible_since)


_KEYS: Final = frozenset(map(int, ApiKey))

API: Final[Mapping[int, Api]] = _Table()
