"""How a command fails: one line with the cause and the next step, and an exit status that means it.

Must never know: any particular command.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitStatus(IntEnum):
    """What the exit statuses of `ottla` mean; scripts may rely on them."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    ALREADY_RUNNING = 4
    BUG = 70
    INTERRUPTED = 130


class CommandFailed(OttlaError):
    """A command cannot do what was asked: the cause and what the user can do about it."""

    def __init__(
        self, cause: str, *, next_step: str = "", exit_status: ExitStatus = ExitStatus.FAILURE
    ) -> None:
        super().__init__(f"{cause}; {next_step}" if next_step else cause)
        self.cause = cause
        self.next_step = next_step
        self.exit_status = exit_status


COMPLAINT: Final = "ottla: error: "
"""How the line on stderr begins."""

EXPECTED: Final = (OttlaError, OSError, click.ClickException)
"""What a user or the world can cause; anything else is a bug."""

NEXT_STEPS: Final = {
    errno.ENOSPC: "free some space, or choose a directory on another disk",
    errno.EDQUOT: "raise the quota, or choose a directory on another disk",
    errno.EACCES: "check who owns it and its permissions",
    errno.EPERM: "check who owns it and its permissions",
    errno.EROFS: "choose a directory that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EEXIST: "a file is in the way: move it, or choose another directory",
    errno.EISDIR: "name a file, not a directory",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EADDRINUSE: "stop it, or choose another port with --listen",
    errno.EADDRNOTAVAIL: "choose another with --listen",
    errno.ECONNREFUSED: "check the address, or start a cluster with 'ottla up'",
}


def report(error: BaseException) -> ExitStatus:
    """Tell the user on stderr what ended the command. Returns: the status to exit with."""
    causes = list(_leaves(error))
    if any(isinstance(cause, (KeyboardInterrupt, click.Abort)) for cause in causes):
        return ExitStatus.INTERRUPTED
    if all(isinstance(cause, BrokenPipeError) for cause in causes):
        _silence_stdout()
        return ExitStatus.OK
    if not all(isinstance(cause, EXPECTED) for cause in causes):
        traceback.print_exception(error)
        bug = next(cause for cause in causes if not isinstance(cause, EXPECTED))
        what = f"{type(bug).__name__}: {bug}"
        _complain(f"a bug, {what}; report it with the lines above and 'ottla --version'")
        return ExitStatus.BUG
    return _report_expected(causes[0])


def _report_expected(error: BaseException) -> ExitStatus:
    match error:
        case CommandFailed():
            _complain(str(error))
            return error.exit_status
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return ExitStatus.USAGE
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "ottla"
            _complain(f"{error.format_message().rstrip('.')}; see '{command} --help'")
            return ExitStatus.USAGE
        case click.ClickException():
            _complain(error.format_message().rstrip("."))
        case OSError():
            _complain(_describe_os_error(error))
        case _:
            _complain(str(error) or type(error).__name__)
    return ExitStatus.FAILURE


def _describe_os_error(error: OSError) -> str:
    cause = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        cause = f"{os.fsdecode(error.filename)}: {cause}"
    next_step = NEXT_STEPS.get(error.errno or 0)
    return f"{cause}; {next_step}" if next_step else cause


def _complain(line: str) -> None:
    click.echo(COMPLAINT + " ".join(line.split()), err=True)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _silence_stdout() -> None:
    # Whoever read our output has gone; the interpreter must not complain when it flushes at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
