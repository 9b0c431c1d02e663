"""Writes changes of many groups in few multis: each fenced, each answered once it is durable.

While multis are on their way, what is asked collects; of one group there is at most one write on
its way. So load makes writes larger, not more frequent, and nobody waits for a timer.
Must never know: what a change means, members, requests.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio

from coordinator.errors import NotGroupOwner
from coordinator.groups.change import plan
from coordinator.groups.fitting import fit
from coordinator.groups.queue import GroupQueue
from coordinator.groups.znodes import renew
from coordinator.retry import until_answered
from coordinator.store import (
    BadVersion,
    ConnectionLost,
    MultiFailed,
    NoNode,
    SessionLost,
    Stat,
    TooLarge,
)
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.groups.change import Plan
    from coordinator.groups.znodes import OwnedGroup
    from coordinator.store import Store

log_events = structlog.get_logger()

MULTI_OPERATIONS_MAX: Final = 400
MULTI_BYTES_MAX: Final = 512 * 1024
MULTIS_IN_FLIGHT_MAX: Final = 2
RENEWALS_IN_FLIGHT_MAX: Final = 16
ATTEMPTS_MAX: Final = 5


class GroupWriter:
    """The writing hand of all groups that a broker owns in one session.

    `lost` is called for a group that is not ours any more, or that cannot be read; everybody who
    waited for a write of it has been told by then.
    """

    def __init__(self, store: Store, *, lost: Callable[[OwnedGroup], None]) -> None:
        self._store = store
        self._lost = lost
        self._open: set[GroupQueue] = set()
        self._due: dict[GroupQueue, None] = {}
        self._work = trio.Event()
        self._limit = trio.CapacityLimiter(MULTIS_IN_FLIGHT_MAX)
        self._renewals = trio.CapacityLimiter(RENEWALS_IN_FLIGHT_MAX)

    def add(self, owned: OwnedGroup) -> GroupQueue:
        """Write for a group from now on. Returns: where its changes go."""
        queue = GroupQueue(owned, due=self._note_due)
        self._open.add(queue)
        return queue

    def remove(self, queue: GroupQueue) -> None:
        """Write for a group no longer; what is still asked is refused."""
        self._close(queue, NotGroupOwner(queue.owned.group_id))

    async def run(self) -> None:
        """Write until cancelled; then whoever waits is told that the group is not ours."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._work.wait()
                    await self._limit.acquire_on_behalf_of(batch := _Batch())
                    self._fill(batch)
                    nursery.start_soon(self._write, batch)
        finally:
            for queue in list(self._open):
                self.remove(queue)

    def _note_due(self, queue: GroupQueue) -> None:
        self._due[queue] = None
        self._work.set()

    def _close(self, queue: GroupQueue, error: CoordinationError | NotGroupOwner) -> None:
        self._open.discard(queue)
        self._due.pop(queue, None)
        queue.close(error)

    def _fill(self, batch: _Batch) -> None:
        """Take from what is due as much as one multi holds, at least one group."""
        while self._due:
            queue = next(iter(self._due))
            writes = queue.next()
            step = plan(queue.owned, (write.change for write in writes))
            if not batch.take(queue, step):
                return
            del self._due[queue]
            queue.begin(writes)
        self._work = trio.Event()

    async def _write(self, batch: _Batch) -> None:
        try:
            if batch.steps:
                await self._write_batch(batch)
        except SessionLost:
            # The session's other tasks end by it as well; then `run` tells who waits.
            log_events.info("group_writes_unanswered", groups=len(batch.steps))
        finally:
            self._limit.release_on_behalf_of(batch)

    async def _write_batch(self, batch: _Batch) -> None:
        operations = [each for _, step in batch.steps for each in step.operations]
        try:
            results = await self._store.multi(operations)
        except ConnectionLost as error:
            await self._renew([queue for queue, _ in batch.steps], error)
        except SessionLost:
            raise
        except MultiFailed as error:
            await self._sort_out(batch, error)
        except TooLarge as error:
            self._make_fit(batch, error)
        except CoordinationError as error:
            log_events.warning("group_writes_refused", groups=len(batch.steps), reason=str(error))
            for queue, _ in batch.steps:
                queue.finish(error)
        else:
            self._note_written(batch, results)

    def _note_written(self, batch: _Batch, results: list[Stat | str | None]) -> None:
        position = 0
        for queue, step in batch.steps:
            fence = results[position]
            position += len(step.operations)
            if isinstance(fence, Stat):
                queue.owned.version = fence.version
            queue.owned.header, queue.owned.offsets = step.header, step.offsets
            queue.finish()

    async def _sort_out(self, batch: _Batch, error: MultiFailed) -> None:
        """One group's fence, or a znode that is not as we know it, stopped all of them."""
        culprit, is_fence = batch.find(error.index)
        for queue, _ in batch.steps:
            if queue is not culprit:
                queue.again()
        if is_fence and isinstance(error.cause, BadVersion | NoNode):
            self._give_up(culprit)
        else:
            log_events.warning(
                "group_znodes_not_as_known", group=culprit.owned.group_id, reason=str(error)
            )
            await self._renew([culprit], error)

    def _make_fit(self, batch: _Batch, error: TooLarge) -> None:
        assert len(batch.steps) == 1, "only a single group's change may outgrow a request"
        queue, _ = batch.steps[0]
        write = queue.single
        if write is None:
            queue.again(alone=True)
        elif (fitted := fit(queue.owned, write.change)).parts == (write.change,):
            queue.finish(error)
        else:
            queue.divide(fitted)

    async def _renew(self, queues: list[GroupQueue], error: CoordinationError) -> None:
        """Find out what is durable of some groups, then write again what was to be.

        What fails again and again, such as what makes a server hang up, is given up in the end.
        """
        async with trio.open_nursery() as nursery:
            for queue in queues:
                nursery.start_soon(self._renew_one, queue, error)

    async def _renew_one(self, queue: GroupQueue, failure: CoordinationError) -> None:
        queue.attempts += 1
        async with self._renewals:
            try:
                is_ours = await until_answered(partial(renew, self._store, queue.owned))
            except SessionLost:
                return  # whoever waits is told at the end of `run`
            except CoordinationError as error:
                log_events.warning(
                    "group_unreadable", group=queue.owned.group_id, reason=str(error)
                )
                self._lose(queue, error)
            else:
                if not is_ours:
                    self._give_up(queue)
                elif queue.attempts < ATTEMPTS_MAX:
                    queue.again()
                else:
                    queue.finish(failure)

    def _give_up(self, queue: GroupQueue) -> None:
        """Write no more for a group that another broker has taken, or that is gone."""
        log_events.info("group_taken_by_another_broker", group=queue.owned.group_id)
        self._lose(queue, NotGroupOwner(queue.owned.group_id))

    def _lose(self, queue: GroupQueue, error: CoordinationError | NotGroupOwner) -> None:
        was_open = queue.is_open
        self._close(queue, error)
        if was_open:
            self._lost(queue.owned)


class _Batch:
    """What goes into one multi."""

    __slots__ = ("_operations", "_size_bytes", "steps")

    def __init__(self) -> None:
        self.steps: list[tuple[GroupQueue, Plan]] = []
        self._operations = 0
        self._size_bytes = 0

    def take(self, queue: GroupQueue, step: Plan) -> bool:
        """Take one more group, if it still fits; the first one always does."""
        operations = self._operations + len(step.operations)
        size_bytes = self._size_bytes + step.size_bytes
        if self.steps and (operations > MULTI_OPERATIONS_MAX or size_bytes > MULTI_BYTES_MAX):
            return False
        self.steps.append((queue, step))
        self._operations, self._size_bytes = operations, size_bytes
        return True

    def find(self, index: int) -> tuple[GroupQueue, bool]:
        """Give the group that an operation belongs to, and whether it is its fence."""
        for queue, step in self.steps:
            if index < len(step.operations):
                return queue, index == 0
            index -= len(step.operations)
        raise AssertionError(f"operation {index} is beyond the multi")
