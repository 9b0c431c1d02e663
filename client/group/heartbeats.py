"""Tells the group's broker that the member lives, for as long as its application polls.

Must never know: assignments, offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from client.errors import ConnectionBroken, error_code, refusal
from client.group.verdicts import Verdict
from protocol.api import ApiKey
from protocol.api.heartbeat import HeartbeatRequest
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from client.backoff import Backoff
    from client.group.broker import GroupBroker
    from client.group.membership import Membership
    from client.group.poll_clock import PollClock
    from client.group.signal import Signal


class Heartbeats:
    """The life signs of one member. `on_silence` is awaited once the application has gone quiet."""

    def __init__(
        self,
        broker: GroupBroker,
        membership: Membership,
        signal: Signal,
        *,
        interval_s: float,
        clock: PollClock,
        backoff: Backoff,
    ) -> None:
        self._broker = broker
        self._membership = membership
        self._signal = signal
        self._interval_s = interval_s
        self._clock = clock
        self._backoff = backoff

    async def run(
        self, *, on_silence: Callable[[], Awaitable[None]], on_error: Callable[[OttlaError], None]
    ) -> None:
        """Beat while the membership asks for it."""
        while True:
            await self._signal.until(lambda: self._membership.beats)
            beat_at = trio.current_time() + self._interval_s
            while self._membership.beats:
                if self._clock.deadline <= trio.current_time():
                    await on_silence()
                elif beat_at <= trio.current_time():
                    pause_s = self._interval_s
                    try:
                        pause_s = await self._beat()
                    except OttlaError as error:
                        on_error(error)
                    beat_at = trio.current_time() + pause_s
                else:
                    await trio.sleep_until(min(beat_at, self._clock.deadline))

    async def _beat(self) -> float:
        """Beat once; return the seconds until the next time. Raises: OttlaError, final."""
        asked_as = self._membership.identity
        request = HeartbeatRequest(
            asked_as.group_id,
            asked_as.generation_id,
            asked_as.member_id,
            asked_as.group_instance_id,
        )
        try:
            answer = await self._broker.ask(lambda _: request)
        except ConnectionBroken:
            return self._backoff.next_s()
        code = error_code(answer.error_code)
        verdict = self._membership.answered(ApiKey.HEARTBEAT, code, asked_as=asked_as)
        self._signal.notify()
        match verdict:
            case Verdict.ELSEWHERE:
                self._broker.forget()
                return self._backoff.next_s()
            case Verdict.AGAIN:
                return self._backoff.next_s()
            case Verdict.REFUSED:
                raise refusal(code, f"a heartbeat to group {asked_as.group_id!r}")
        self._backoff.reset()
        return self._interval_s
