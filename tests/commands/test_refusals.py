from __future__ import annotations

import pytest

from commands.failure import CommandFailed
from commands.refusals import explain, require_none_refused, run_explaining
from protocol.errors import ErrorCode, RequestError

NEXT_STEPS = {ErrorCode.NON_EMPTY_GROUP: "stop its members first"}


def refusals(count, code=ErrorCode.NON_EMPTY_GROUP):
    return [RequestError.of(code, f"number {n}") for n in range(count)]


def test_where_nothing_is_refused_nothing_is_raised():
    require_none_refused([], NEXT_STEPS)
    require_none_refused([None, None], NEXT_STEPS)


@pytest.mark.parametrize(
    ("count", "causes"),
    [
        (1, "number 0"),
        (3, "number 0; number 1; number 2"),
        (2_003, "number 0; number 1; number 2; and 2,000 more"),
    ],
)
def test_some_causes_are_told_the_others_counted_and_the_next_step_is_the_firsts(count, causes):
    with pytest.raises(CommandFailed) as failed:
        require_none_refused([None, *refusals(count)], NEXT_STEPS)

    assert str(failed.value) == f"{causes}; stop its members first"


def test_a_refusal_of_the_whole_gets_its_next_step_too():
    async def refused():
        raise refusals(1)[0]

    async def unexpected():
        raise refusals(1, ErrorCode.INVALID_REQUEST)[0]

    with pytest.raises(CommandFailed, match="^number 0; stop its members first$"):
        run_explaining(refused, NEXT_STEPS)
    with pytest.raises(CommandFailed, match="^number 0$"):
        run_explaining(unexpected, NEXT_STEPS)


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (
            ErrorCode.NON_EMPTY_GROUP,
            "deleting group 'g': NON_EMPTY_GROUP",
            "deleting group 'g': the group has members (NON_EMPTY_GROUP)",
        ),
        (
            ErrorCode.GROUP_ID_NOT_FOUND,
            "describing group 'g': Group g not found. (GROUP_ID_NOT_FOUND)",
            "describing group 'g': Group g not found. (GROUP_ID_NOT_FOUND)",
        ),
        (
            ErrorCode.INVALID_CONFIG,
            "x: set it as the default (--entity-default)",
            "x: set it as the default ('ottla config alter brokers')",
        ),
    ],
    ids=["a bare code", "a sentence", "an option of Kafka's tools"],
)
def test_a_refusal_is_told_in_words_and_by_our_names(code, told, words):
    assert explain(RequestError.of(code, told)) == words
