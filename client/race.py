"""Asking several brokers the same, one more whenever the last one fails or is slow to answer.

Must never know: what is asked, which brokers there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from client.errors import ConnectionBroken, NoBrokerReachable, UnsupportedApi
from client.pool import Lane
from protocol.errors import EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client.connection import Connection
    from client.metadata import Address
    from client.pool import ConnectionPool
    from protocol.errors import OttlaError

HEDGE_S: Final = 0.3
"""After so long without an answer, the next broker is asked as well."""


class Race:
    """One question to many brokers; the first answer that is one counts.

    `make_request` gets the connection, whose versions it may look at. `fault_of` says what is
    wrong with an answer, None where it is one. `timeout_s` bounds each broker's time.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        make_request: Callable[[Connection], object],
        *,
        fault_of: Callable[[Any, Address], OttlaError | None],
        timeout_s: float,
    ) -> None:
        self._pool = pool
        self._make_request = make_request
        self._fault_of = fault_of
        self._timeout_s = timeout_s
        self._causes: list[OttlaError] = []
        self._answer: Any = None
        self._unaskable: EncodeError | None = None
        self.answered_by: Address | None = None

    async def run(self, addresses: Sequence[Address]) -> Any:
        """Return the first answer.

        Raises: NoBrokerReachable, with all that went wrong; EncodeError, of what cannot be asked.
        """
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(self._ask, address, failed, nursery.cancel_scope)
                with trio.move_on_after(HEDGE_S):
                    await failed.wait()
        if self.answered_by is not None:
            return self._answer
        raise self._unaskable or NoBrokerReachable(self._causes)

    async def _ask(self, address: Address, failed: trio.Event, race: trio.CancelScope) -> None:
        try:
            connection = await self._pool.get(address, Lane.CONTROL)
            answer = await connection.call(
                self._make_request(connection), timeout_s=self._timeout_s
            )
        except (ConnectionBroken, UnsupportedApi) as error:
            self._causes.append(error)
        except EncodeError as error:
            self._unaskable = error
            race.cancel()
        else:
            fault = self._fault_of(answer, address)
            if fault is not None:
                self._causes.append(fault)
            else:
                if self.answered_by is None:
                    self._answer, self.answered_by = answer, address
                race.cancel()
        failed.set()
