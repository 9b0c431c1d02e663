"""Faults that a test plants in a broker: this API, this client, this call fails in this way.

What proxies and mocks cannot do is done here: a produce is appended and its answer is lost, the
third heartbeat is refused. A planted fault reads `API[:CLIENT_ID]=ACT[@FIRST[-LAST]]`:

    Produce=drop@1                    the first produce is carried out, its connection then closed
    Fetch:my-reader=delay/500         every fetch of client my-reader is answered 500 ms later
    Produce=error/NOT_ENOUGH_REPLICAS@3-5
    Heartbeat=close@2                 the connection is closed before anything is done

Calls are counted from when the faults were planted; LAST left out after `-` means for ever.
What a connection sends behind a delayed request begins after it, whatever is planted by then.
Must never know: connections, how faults come here, what APIs do.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec import Struct
from msgspec.structs import replace

from broker.delayed import answer_of
from broker.errors import ConfigError
from protocol.api import API
from protocol.errors import ErrorCode, ProtocolError, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from broker.dispatch import Handler, RequestContext, Target

DELAY_MS_MAX: Final = 3_600_000
KEYS_BY_NAME: Final = {api.name.lower(): key for key, api in API.items()}

_FAULT: Final = re.compile(
    r"(?P<api>\w+)(:(?P<client_id>[^=,]+))?=(?P<act>\w+)(/(?P<detail>\w+))?"
    r"(@(?P<first>[0-9]{1,9})(?P<more>-(?P<last>[0-9]{0,9}))?)?"
)
_NUMBER: Final = re.compile("[0-9]{1,9}")
_GRAMMAR: Final = "API[:CLIENT_ID]=ACT[@FIRST[-LAST]], for instance Produce=drop@1"


class Act(Enum):
    """What happens instead of, before or after the request."""

    ERROR = "error"
    DELAY = "delay"
    DROP = "drop"
    CLOSE = "close"


class PlantedFault(Struct, frozen=True):
    """One fault. `first` and `last` count the API's calls by the client from 1; None: for ever."""

    api_key: int
    act: Act
    client_id: str | None = None
    first: int = 1
    last: int | None = None
    code: ErrorCode = ErrorCode.NONE
    delay_s: float = 0.0


def parse_faults(text: str) -> tuple[PlantedFault, ...]:
    """Read planted faults, separated by commas. Raises: ConfigError, naming cause and grammar."""
    return tuple(_parse(part.strip()) for part in text.split(",") if part.strip())


def _parse(text: str) -> PlantedFault:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise ConfigError(f"planted fault {text!r}: {_GRAMMAR} is expected")
    api_key = KEYS_BY_NAME.get(match["api"].lower())
    if api_key is None:
        raise ConfigError(f"planted fault {text!r}: there is no API called {match['api']}")
    try:
        act = Act(match["act"].lower())
    except ValueError:
        acts = ", ".join(one.value for one in Act)
        raise ConfigError(f"planted fault {text!r}: one of {acts} is expected") from None
    first = int(match["first"] or 1)
    last = first if match["first"] and not match["more"] else None
    if match["last"]:
        last = int(match["last"])
    if first < 1 or (last is not None and last < first):
        raise ConfigError(f"planted fault {text!r}: calls are counted from 1, FIRST to LAST")
    return PlantedFault(
        int(api_key),
        act,
        match["client_id"],
        first,
        last,
        code=_code(text, act, match["detail"]),
        delay_s=_delay_ms(text, act, match["detail"]) / 1000,
    )


def _code(text: str, act: Act, detail: str | None) -> ErrorCode:
    if act is not Act.ERROR:
        return ErrorCode.NONE
    code = ErrorCode.__members__.get((detail or "").upper())
    if code is None or code == ErrorCode.NONE:
        raise ConfigError(f"planted fault {text!r}: error/NAME_OF_A_KAFKA_ERROR is expected")
    return code


def _delay_ms(text: str, act: Act, detail: str | None) -> int:
    if act is not Act.DELAY:
        if detail is not None and act is not Act.ERROR:
            raise ConfigError(f"planted fault {text!r}: {act.value} takes nothing after a slash")
        return 0
    if detail is None or not _NUMBER.fullmatch(detail) or int(detail) > DELAY_MS_MAX:
        raise ConfigError(f"planted fault {text!r}: delay/MS is expected, at most {DELAY_MS_MAX}")
    return int(detail)


class Planted:
    """The faults of one broker at a time, and how often each has been met."""

    def __init__(self) -> None:
        self._calls: dict[PlantedFault, int] = {}
        self._by_api: dict[int, list[PlantedFault]] = {}
        self._begun: dict[str, trio.Event] = {}
        """By connection: when the request that was delayed last has begun."""

    def plant(self, faults: tuple[PlantedFault, ...]) -> None:
        """Have these faults be met from now on; what earlier ones delay is delayed still."""
        self._calls = dict.fromkeys(faults, 0)
        self._by_api = {}
        for fault in faults:
            self._by_api.setdefault(fault.api_key, []).append(fault)

    def around(self, target: Target, api_key: int) -> Target:
        """Give the target with its faults, the target itself where nothing can be in its way."""
        if api_key not in self._by_api and not self._begun:
            return target
        handler = self._faulty(target.handler, api_key)
        return replace(target, handler=handler, keeps_records=True)

    def _faulty(self, handler: Handler, api_key: int) -> Handler:
        def handle(request: Any, context: RequestContext, /) -> Any:
            fault = self._meet(api_key, context.client_id)
            delay_s = fault.delay_s if fault is not None else 0.0
            suffering = _suffering(fault, handler)
            if delay_s or context.peer in self._begun:
                return self._delayed(delay_s, suffering, request, context)
            return suffering(request, context)

        return handle

    def _delayed(
        self, delay_s: float, handler: Handler, request: Any, context: RequestContext
    ) -> Awaitable[Any]:
        """Begin later, and after what its connection has sent before: slow brokers keep order."""
        before, begun = self._begun.get(context.peer), trio.Event()
        self._begun[context.peer] = begun

        async def later() -> Any:
            try:
                await trio.sleep(delay_s)
                if before is not None:
                    await before.wait()
                outcome = handler(request, context)
            finally:
                begun.set()
                if self._begun.get(context.peer) is begun:
                    del self._begun[context.peer]
            return await answer_of(outcome)

        return later()

    def _meet(self, api_key: int, client_id: str | None) -> PlantedFault | None:
        """Count a call. Returns: the fault whose turn it is."""
        met = None
        for fault in self._by_api.get(api_key, ()):
            if fault.client_id in (None, client_id):
                self._calls[fault] += 1
                count = self._calls[fault]
                if fault.first <= count and (fault.last is None or count <= fault.last):
                    met = met or fault
        return met


def _suffering(fault: PlantedFault | None, handler: Handler) -> Handler:
    """Give the handler as the fault has it, its delay apart: that is between requests."""
    if fault is None or fault.act is Act.DELAY:
        return handler

    def handle(request: Any, context: RequestContext, /) -> Any:
        match fault.act:
            case Act.ERROR:
                raise RequestError.of(fault.code, "a planted fault")
            case Act.CLOSE:
                raise ProtocolError("a planted fault closes the connection")
            case _:
                return _unanswered(handler(request, context))

    return handle


async def _unanswered(outcome: Any) -> Any:
    """Wait until all is done, then break the connection instead of answering."""
    await answer_of(outcome)
    raise ProtocolError("a planted fault drops the answer and closes the connection")
