"""Which handler answers which API in which versions: an explicit table, and look-ups in it.

What ApiVersions advertises is computed from the table, and from nothing else.
Must never know: sockets, frames, logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from broker.errors import CannotAnswer
from broker.faults import Planted
from protocol.api import API, ApiKey

if TYPE_CHECKING:
    from broker.faults import PlantedFault
    from protocol.errors import ErrorCode


FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The biggest request unless its route says otherwise. Small elements take many times their bytes
as objects, so what holds no records is bounded more tightly; a fetch of 100,000 partitions fits."""


class RequestContext(Struct, frozen=True):
    """Who asks what: the facts of one request that are not in its body."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    peer: str
    listener: str


class Handler(Protocol):
    """Answers one API.

    Records in the request are views of a buffer that is overwritten once the call has returned.

    The call itself runs in the order in which requests arrive on a connection. It returns the
    response, or a `Delayed` that only has to be waited for, or a coroutine that works for it
    (requests that follow are begun meanwhile), or None where the client expects no answer.
    RequestError, StorageError and CoordinationError are turned into refusals; ProtocolError closes
    the connection.
    """

    def __call__(self, request: Any, context: RequestContext, /) -> Any:
        """Begin, and perhaps finish, one request."""


class Refuse(Protocol):
    """Shapes the response that carries one error for all that a request asked for."""

    def __call__(self, request: Any, code: ErrorCode, message: str, /) -> Any:
        """Make the response."""


class Route(Struct, frozen=True):
    """Who answers an API, in which versions (both ends included).

    `refuse` shapes what the handler raises; without it the connection is closed instead.
    `request` is decoded where it is not the declared one of the API; `older` serves versions below.
    """

    handler: Handler
    min_version: int
    max_version: int
    refuse: Refuse | None = None
    request: type | None = None
    older: Route | None = None
    frame_bytes_max: int = FRAME_BYTES_MAX

    @property
    def advertised_min_version(self) -> int:
        """The lowest version that ApiVersions shows."""
        return self.min_version if self.older is None else self.older.advertised_min_version


Routes = Mapping[ApiKey, Route]


class Target(Struct, frozen=True):
    """What serves one version of one API; the answer is encoded in `answer_version`.

    Records of a request are lent until its handler returns, unless it `keeps_records`.
    """

    name: str
    handler: Handler
    refuse: Refuse | None
    request: type
    answer_version: int
    frame_bytes_max: int
    is_decodable: bool = True
    keeps_records: bool = False


class Dispatch:
    """Looks up targets by API and version."""

    def __init__(self, routes: Routes) -> None:
        self._targets: dict[tuple[int, int], Target] = {}
        for key, route in routes.items():
            self._add(key, route)
        self._planted = Planted()
        self._too_new = self._answer_to_unknown_api_versions(routes.get(ApiKey.API_VERSIONS))

    def find(self, api_key: int, api_version: int) -> Target:
        """Find who answers. Raises: CannotAnswer."""
        target = self._targets.get((api_key, api_version))
        if target is not None:
            return self._planted.around(target, api_key)
        if api_key == ApiKey.API_VERSIONS and self._too_new is not None:
            return self._too_new
        api = API.get(api_key)
        name = f"API {api_key}" if api is None else api.name
        raise CannotAnswer(f"{name} is not served in version {api_version}")

    def plant(self, faults: tuple[PlantedFault, ...]) -> None:
        """Have requests meet these faults from now on, and no others."""
        self._planted.plant(faults)

    def _add(self, key: ApiKey, route: Route) -> None:
        request = route.request or API[key].request
        for version in range(route.min_version, route.max_version + 1):
            assert (key, version) not in self._targets, f"two routes for {key!r} {version}"
            self._targets[key, version] = Target(
                API[key].name,
                route.handler,
                route.refuse,
                request,
                version,
                route.frame_bytes_max,
            )
        if route.older is not None:
            self._add(key, route.older)

    @staticmethod
    def _answer_to_unknown_api_versions(route: Route | None) -> Target | None:
        """A client that opens with a newer version than ours is told so in version 0."""
        if route is None:
            return None
        api = API[ApiKey.API_VERSIONS]
        return Target(
            api.name,
            route.handler,
            route.refuse,
            api.request,
            answer_version=0,
            frame_bytes_max=route.frame_bytes_max,
            is_decodable=False,
        )
