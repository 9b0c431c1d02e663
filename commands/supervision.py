"""When what has died is started again. Pure.

Must never know: processes, clocks.
"""

from __future__ import annotations

from msgspec import Struct, field


class Watched(Struct):
    """One process, or its place while it is dead; times in seconds of any clock.

    `asked` says that somebody wants it back without waiting.
    """

    name: str
    back_after_s: float
    alive: bool = False
    died_at: float = 0.0
    asked: bool = False
    starts: int = 0

    def started(self) -> None:
        """Note that it runs."""
        self.alive, self.asked = True, False
        self.starts += 1

    def died(self, now: float) -> None:
        """Note that it has ended."""
        if self.alive:
            self.alive, self.died_at = False, now

    def ask(self) -> None:
        """Have it started without waiting, if it is dead."""
        self.asked = not self.alive

    def tried(self, now: float) -> None:
        """Note that it was tried to start it: where that was in vain, it is tried again later."""
        if not self.alive:
            self.died_at, self.asked = now, False

    def back_in_s(self, now: float) -> float:
        """Say how long it stays dead; 0.0 means that it is to be started."""
        if self.asked:
            return 0.0
        return max(0.0, self.died_at + self.back_after_s - now)


class Supervision(Struct):
    """All that are watched, by name."""

    back_after_s: float
    watched: dict[str, Watched] = field(default_factory=dict)

    def of(self, name: str) -> Watched:
        """Give what is known of one, which is watched from now on."""
        if name not in self.watched:
            self.watched[name] = Watched(name, self.back_after_s)
        return self.watched[name]

    def see(self, name: str, *, alive: bool, now: float) -> Watched:
        """Note what was seen of one."""
        one = self.of(name)
        if alive and not one.alive:
            one.started()
        elif not alive:
            one.died(now)
        return one

    def due(self, now: float) -> list[str]:
        """Name those that are dead for long enough."""
        return [
            name
            for name, one in self.watched.items()
            if one.starts and not one.alive and one.back_in_s(now) <= 0
        ]
