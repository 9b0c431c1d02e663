from __future__ import annotations

import errno

import click
import pytest

from commands.failure import CommandFailed, ExitStatus, report
from protocol.errors import ErrorCode, RequestError, StorageError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CommandFailed("it broke", next_step="mend it"), "it broke; mend it"),
        (StorageError("the disk\nlied"), "the disk lied"),
        (RequestError.of(ErrorCode.INVALID_CONFIG, "no such setting"), "no such setting"),
        (
            OSError(errno.EACCES, "Permission denied", "/data/x"),
            "/data/x: Permission denied; check who owns it and its permissions",
        ),
        (ExceptionGroup("a", [ExceptionGroup("b", [CommandFailed("deep down")])]), "deep down"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_no_traceback(error, line, capsys):
    assert report(error) is ExitStatus.FAILURE
    assert capsys.readouterr().err == f"ottla: error: {line}\n"


def test_a_command_chooses_its_exit_status(capsys):
    error = CommandFailed("nothing there", exit_status=ExitStatus.NOT_RUNNING)

    assert report(error) is ExitStatus.NOT_RUNNING


def test_a_bug_keeps_its_traceback_and_asks_for_a_report(capsys):
    assert report(ZeroDivisionError("oops")) is ExitStatus.BUG
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in said
    assert "report it" in said


def test_a_bug_is_not_hidden_behind_an_expected_error(capsys):
    assert report(ExceptionGroup("both", [OSError("x"), KeyError("y")])) is ExitStatus.BUG


def test_ctrl_c_says_nothing(capsys):
    assert report(BaseExceptionGroup("", [KeyboardInterrupt()])) is ExitStatus.INTERRUPTED
    assert report(click.Abort()) is ExitStatus.INTERRUPTED
    assert capsys.readouterr().err == ""
