from __future__ import annotations

import pytest

from client.errors import NoBrokerReachable, OttlaError, WaitTimedOut
from commands.failure import CommandFailed, ExitStatus
from commands.session import run_client


def run_and_fail(error: OttlaError) -> CommandFailed:
    async def main() -> None:
        raise error

    with pytest.raises(CommandFailed) as caught:
        run_client(main)
    return caught.value


def test_where_no_broker_is_the_status_says_so_and_each_cause_is_told_once():
    refused = OttlaError("connection refused")
    failure = run_and_fail(NoBrokerReachable([refused, refused]))

    assert failure.exit_status is ExitStatus.NOT_RUNNING
    assert str(failure).startswith("no broker answers: connection refused; start a cluster")


def test_who_waited_in_vain_is_told_where_to_look():
    failure = run_and_fail(WaitTimedOut("the controller", 30, last_cause=None))

    assert failure.exit_status is ExitStatus.FAILURE
    assert "waiting for the controller; see what is wrong with 'ottla status'" in str(failure)
