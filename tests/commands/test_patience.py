from __future__ import annotations

import pytest
import trio

from commands.failure import CommandFailed
from commands.patience import Patience


async def test_what_has_not_begun_in_time_is_given_up_and_named(autojump_clock, capsys):
    patience = Patience(3)

    async def wait():
        async with patience.bounding():
            patience.lacking = "no leader tells the end of orders-0"
            await trio.sleep_forever()

    with pytest.raises(CommandFailed) as failed:
        await wait()

    assert str(failed.value) == (
        "nothing could be read within 3 s: no leader tells the end of orders-0;"
        " see what is wrong with 'ottla status'"
    )
    assert trio.current_time() == pytest.approx(3)
    assert capsys.readouterr().err == ""


async def test_what_has_begun_may_take_its_time_and_nothing_is_said(autojump_clock, capsys):
    patience = Patience(3)
    async with patience.bounding():
        await trio.sleep(2)
        patience.begin()
        await trio.sleep(60)

    assert capsys.readouterr().err == ""


async def test_without_a_limit_it_is_said_once_what_is_lacking(autojump_clock, capsys):
    patience = Patience(None)
    async with patience.bounding():
        patience.lacking = "no leader tells the end of orders-0"
        await trio.sleep(60)

    assert capsys.readouterr().err == (
        "nothing for 10 s: no leader tells the end of orders-0;"
        " see what is wrong with 'ottla status'\n"
    )


async def test_an_error_meanwhile_leaves_as_it_is(autojump_clock):
    with pytest.raises(KeyError):
        async with Patience(3).bounding():
            raise KeyError
