"""Whether the coordinator still counts on this broker, by its own monotonic clock.

Without the lease nobody leads here: others may have been elected meanwhile. Safety does not depend
on it (epochs fence), it only ends useless work early. Must never know: what is led.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from coordinator.store import Store


class Lease:
    """Held while a registered session is surely alive."""

    def __init__(self) -> None:
        self._store: Store | None = None

    def take(self, store: Store) -> None:
        """Hold the lease for as long as the store vouches for its session."""
        self._store = store

    def give_up(self) -> None:
        """Hold nothing any more."""
        self._store = None

    def held(self) -> bool:
        """Say whether this broker may act as a leader now."""
        return self._store is not None and trio.current_time() < self._store.lease_until
