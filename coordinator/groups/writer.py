"""Writes changes of many groups in few multis: each fenced, each answered once it is durable.

While multis are on their way, what is asked collects; of one group there is at most one write on
its way. So load makes writes larger, not more frequent, and nobody waits for a timer.
Must never know: what a change means, members, requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio

from coordinator.errors import NotGroupOwner
from coordinator.groups.change import Change, plan
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


class Write:
    """One change on its way; it may be waited for."""

    __slots__ = ("_done", "change", "error")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.error: CoordinationError | NotGroupOwner | None = None
        self._done = trio.Event()

    def finish(self, error: CoordinationError | NotGroupOwner | None = None) -> None:
        """End the wait."""
        self.error = error
        self._done.set()

    async def wait(self) -> None:
        """Return once the change is durable.

        Raises: NotGroupOwner (refused, or not asked for), TooLarge, SessionLost (unknown).
        """
        await self._done.wait()
        if self.error is not None:
            raise self.error


@dataclass(slots=True)
class _Queue:
    """What is asked of one group, and what of it is being written."""

    owned: OwnedGroup
    asked: list[Write] = field(default_factory=list)
    writing: list[Write] = field(default_factory=list)

    def finish(self, error: CoordinationError | NotGroupOwner | None) -> None:
        writing, self.writing = self.writing, []
        for write in writing:
            write.finish(error)


class GroupWriter:
    """The writing hand of all groups that a broker owns in one session."""

    def __init__(self, store: Store, *, deposed: Callable[[OwnedGroup], None]) -> None:
        self._store = store
        self._deposed = deposed
        self._queues: dict[str, _Queue] = {}
        self._due: dict[str, _Queue] = {}
        self._work = trio.Event()
        self._limit = trio.CapacityLimiter(MULTIS_IN_FLIGHT_MAX)

    def add(self, owned: OwnedGroup) -> None:
        """Write for a group from now on."""
        self._queues[owned.group_id] = _Queue(owned)

    def remove(self, group_id: str) -> None:
        """Write for a group no longer; what is still asked is refused."""
        queue = self._queues.pop(group_id, None)
        self._due.pop(group_id, None)
        if queue is not None:
            _refuse(queue)

    def submit(self, group_id: str, change: Change) -> Write:
        """Have a change written, after what was asked before."""
        write = Write(change)
        queue = self._queues.get(group_id)
        if queue is None:
            write.finish(NotGroupOwner(group_id))
            return write
        queue.asked.append(write)
        if not queue.writing:
            self._due[group_id] = queue
            self._work.set()
        return write

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
            for group_id in list(self._queues):
                self.remove(group_id)

    def _fill(self, batch: _Batch) -> None:
        """Take from what is due as much as one multi holds, at least one group."""
        while self._due:
            group_id, queue = next(iter(self._due.items()))
            taken = _up_to_deletion(queue.asked)
            step = plan(queue.owned, (write.change for write in taken))
            if not batch.take(queue, step):
                return
            del self._due[group_id]
            queue.writing, queue.asked = taken, queue.asked[len(taken) :]
        self._work = trio.Event()

    async def _write(self, batch: _Batch) -> None:
        try:
            if batch.steps:
                await self._write_batch(batch)
        except SessionLost:
            # The session's other tasks end by it as well; then nobody is left waiting here.
            log_events.info("group_writes_unanswered", groups=len(batch.steps))
        finally:
            self._limit.release_on_behalf_of(batch)

    async def _write_batch(self, batch: _Batch) -> None:
        operations = [each for _, step in batch.steps for each in step.operations]
        try:
            results = await self._store.multi(operations)
        except MultiFailed as error:
            await self._sort_out(batch, error)
        except TooLarge as error:
            self._refuse_too_large(batch, error)
        except ConnectionLost:
            for queue, _ in batch.steps:
                await self._renew(queue)
        else:
            self._note_written(batch, results)

    def _note_written(self, batch: _Batch, results: list[Stat | str | None]) -> None:
        position = 0
        for queue, step in batch.steps:
            fence = results[position]
            position += len(step.operations)
            if isinstance(fence, Stat):
                queue.owned.version = fence.version
            queue.owned.header, queue.owned.offsets = step.header, dict(step.offsets)
            queue.finish(None)
            self._go_on(queue)

    async def _sort_out(self, batch: _Batch, error: MultiFailed) -> None:
        """One group's fence, or a znode that is not as we know it, stopped all of them."""
        culprit, is_fence = batch.find(error.index)
        for queue, _ in batch.steps:
            if queue is not culprit:
                self._again(queue)
        if is_fence and isinstance(error.cause, BadVersion | NoNode):
            self._depose(culprit)
        else:
            log_events.warning(
                "group_znodes_not_as_known", group=culprit.owned.group_id, error=str(error)
            )
            await self._renew(culprit)

    def _refuse_too_large(self, batch: _Batch, error: TooLarge) -> None:
        assert len(batch.steps) == 1, "only a single group's change may outgrow a request"
        queue, _ = batch.steps[0]
        queue.finish(error)
        self._go_on(queue)

    async def _renew(self, queue: _Queue) -> None:
        """Find out what is durable, then write again what was to be. Raises: SessionLost."""
        if await until_answered(partial(renew, self._store, queue.owned)):
            self._again(queue)
        else:
            self._depose(queue)

    def _again(self, queue: _Queue) -> None:
        queue.asked, queue.writing = [*queue.writing, *queue.asked], []
        self._go_on(queue)

    def _go_on(self, queue: _Queue) -> None:
        group_id = queue.owned.group_id
        if self._queues.get(group_id) is not queue:
            _refuse(queue)
        elif queue.asked:
            self._due[group_id] = queue
            self._work.set()

    def _depose(self, queue: _Queue) -> None:
        log_events.info("group_taken_by_another_broker", group=queue.owned.group_id)
        if self._queues.get(queue.owned.group_id) is queue:
            self.remove(queue.owned.group_id)
            self._deposed(queue.owned)
        else:
            _refuse(queue)


class _Batch:
    """What goes into one multi."""

    __slots__ = ("_operations", "_size_bytes", "steps")

    def __init__(self) -> None:
        self.steps: list[tuple[_Queue, Plan]] = []
        self._operations = 0
        self._size_bytes = 0

    def take(self, queue: _Queue, step: Plan) -> bool:
        """Take one more group, if it still fits; the first one always does."""
        operations = self._operations + len(step.operations)
        size_bytes = self._size_bytes + step.size_bytes
        if self.steps and (operations > MULTI_OPERATIONS_MAX or size_bytes > MULTI_BYTES_MAX):
            return False
        self.steps.append((queue, step))
        self._operations, self._size_bytes = operations, size_bytes
        return True

    def find(self, index: int) -> tuple[_Queue, bool]:
        """Give the group that an operation belongs to, and whether it is its fence."""
        for queue, step in self.steps:
            if index < len(step.operations):
                return queue, index == 0
            index -= len(step.operations)
        raise AssertionError(f"operation {index} is beyond the multi")


def _up_to_deletion(writes: list[Write]) -> list[Write]:
    """Give the writes that fold into one: none after one that takes the group away."""
    deletions = (number for number, write in enumerate(writes, start=1) if write.change.deleted)
    return writes[: next(deletions, len(writes))]


def _refuse(queue: _Queue) -> None:
    """Tell everybody who still waits that the group is not ours."""
    queue.writing, queue.asked = [*queue.writing, *queue.asked], []
    queue.finish(NotGroupOwner(queue.owned.group_id))
