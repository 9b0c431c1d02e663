"""InitProducerId."""

from __future__ import annotations

import pytest
import trio

from broker.dispatch import RequestContext
from broker.handlers.init_producer_id import BLOCK_IDS, InitProducerIdHandler, refuse
from protocol.api import ApiKey
from protocol.api.init_producer_id import InitProducerIdRequest
from protocol.errors import ErrorCode


def context(version: int) -> RequestContext:
    return RequestContext(ApiKey.INIT_PRODUCER_ID, version, 1, "tests", "peer", "PLAINTEXT")


class Blocks:
    """Allocates blocks one after the other, slowly."""

    def __init__(self) -> None:
        self.next = 0

    async def allocate(self, count: int) -> range:
        first, self.next = self.next, self.next + count
        await trio.sleep(0.01)
        return range(first, first + count)


async def test_every_producer_gets_an_id_of_its_own(autojump_clock):
    blocks = Blocks()
    init = InitProducerIdHandler(blocks.allocate)
    given: list[int] = []

    async def ask() -> None:
        answer = init(InitProducerIdRequest(transactional_id=None), context(5))
        response = answer if hasattr(answer, "producer_id") else await answer
        given.append(response.producer_id)
        assert response.producer_epoch == 0

    async with trio.open_nursery() as nursery:
        for _ in range(BLOCK_IDS + 500):
            nursery.start_soon(ask)

    assert sorted(given) == list(range(BLOCK_IDS + 500))
    assert blocks.next == 2 * BLOCK_IDS


async def test_ids_come_from_the_coordination_store(ask, autojump_clock):
    responses = [
        await ask(InitProducerIdRequest(transactional_id=None), broker_id=broker_id)
        for broker_id in (1, 1, 2)
    ]

    assert [r.error_code for r in responses] == [ErrorCode.NONE] * 3
    assert len({r.producer_id for r in responses}) == 3


@pytest.mark.parametrize(
    ("transactional_id", "code"),
    [("tx", ErrorCode.UNSUPPORTED_VERSION), ("", ErrorCode.INVALID_REQUEST)],
)
async def test_transactional_producers_are_refused(transactional_id, code):
    init = InitProducerIdHandler(Blocks().allocate)
    response = init(InitProducerIdRequest(transactional_id=transactional_id), context(5))

    assert response.error_code == code


def test_a_store_that_does_not_answer_is_something_to_retry():
    response = refuse(InitProducerIdRequest(), ErrorCode.REQUEST_TIMED_OUT, "")

    assert response.error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
