"""Processes within one trio run: all tasks that descend from one start can be stood still.

trio drives a task by `task.coro`; for the tasks of a process that is wrapped when the task is
spawned. While the process is stopped, a task that trio wants to run keeps what it was woken with
and goes back to waiting, so it takes no step: not for a message, a timeout or a cancellation.
Must never know: brokers, networks, disks.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.lowlevel import Abort, RaiseCancelT


class Process:
    """What SIGSTOP and SIGCONT are sent to. Wall time and timers go on while it is stopped."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._standing: list[trio.lowlevel.Task] = []

    @contextmanager
    def started_here(self) -> Iterator[None]:
        """Make what the current task spawns within the `with` belong to the process."""
        trio.lowlevel.add_instrument(_ADOPTION)
        token = _OWNER.set(self)
        try:
            yield
        finally:
            _OWNER.reset(token)

    def stop(self) -> None:
        """Let none of its tasks take a further step; even a cancelled one ends after `go_on`."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Run its tasks again, with all that woke them meanwhile."""
        self.is_stopped = False
        standing, self._standing = self._standing, []
        for task in standing:
            trio.lowlevel.reschedule(task)

    def stand(self, task: trio.lowlevel.Task) -> None:
        """Remember a task to be run by `go_on`."""
        self._standing.append(task)


_OWNER: ContextVar[Process | None] = ContextVar("process", default=None)


def process_of(task: trio.lowlevel.Task) -> Process | None:
    """Give the process that a task belongs to; None for one of nobody's."""
    return task.context.get(_OWNER)


class _Adoption(trio.abc.Instrument):
    """Wraps the tasks of processes as they are spawned."""

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        process = process_of(task)
        if process is not None:
            task.coro = _Steps(task, process)  # type: ignore[assignment] # a coroutine, if not a native one


_ADOPTION = _Adoption()
"""One for all: trio adds an instrument once, however often it is asked."""


class _Steps(Coroutine[Any, Any, Any]):
    """A task's coroutine, which takes no step while its process is stopped."""

    def __init__(self, task: trio.lowlevel.Task, process: Process) -> None:
        self._task = task
        self._coro = task.coro
        self._process = process
        self._woken_with: tuple[Any] | None = None

    def send(self, value: Any) -> Any:
        """Take a step, or keep the value for later and tell trio that the task waits."""
        if self._process.is_stopped:
            if self._woken_with is None:
                self._woken_with = (value,)
            self._process.stand(self._task)
            return _WAIT
        if self._woken_with is not None:
            (value,), self._woken_with = self._woken_with, None
        return self._coro.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error in the task."""
        return self._coro.throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._coro.close()

    def __await__(self) -> Any:
        return self._coro.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # frames, which trio looks at


def _stay(_: RaiseCancelT) -> Abort:
    return trio.lowlevel.Abort.FAILED


def _what_a_waiting_task_yields() -> Any:
    waiting = trio.lowlevel.wait_task_rescheduled(_stay)  # noqa: ASYNC105 - stepped by hand
    try:
        return waiting.send(None)
    finally:
        waiting.close()


_WAIT = _what_a_waiting_task_yields()
