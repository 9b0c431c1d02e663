"""What producer, consumer and admin have in common: each lives for one `async with`.

Must never know: what a client does while it is open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from client.environment import Environment
from client.errors import ClientClosed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType


class Client(ABC):
    """A client of a cluster, used once, with `async with`. `role` names it in messages."""

    role: ClassVar[str]

    def __init__(self, bootstrap: str | Sequence[str], environment: Environment | None) -> None:
        self._bootstrap = bootstrap
        self._environment = environment or Environment.real()
        self._lifetime: AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> Self:
        if self._lifetime is not None:
            raise ClientClosed(f"the {self.role} was used before: make a new one")
        self._lifetime = self._live()
        await self._lifetime.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._lifetime is not None, "left without having been entered"
        return await self._lifetime.__aexit__(kind, error, traceback)

    @abstractmethod
    def _live(self) -> AbstractAsyncContextManager[None]:
        """Give what is open between entry and exit."""

    def _not_open(self) -> ClientClosed:
        return ClientClosed(f"the {self.role} is not open: use it with `async with`")
