"""What a single replica under test has around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.partition_context import PartitionContext
from broker.replication.throttle import Throttles

if TYPE_CHECKING:
    from broker.log.flush import Flusher


def sound_context(broker_id: int, flusher: Flusher) -> PartitionContext:
    """Give one with a lease, where no disk may fail and nobody proposes an ISR."""
    return PartitionContext(
        broker_id=broker_id,
        flusher=flusher,
        lease_held=lambda: True,
        storage_failed=lambda _, error: pytest.fail(str(error)),
        is_borne=lambda *_: False,
        throttles=Throttles(),
        isr_due=lambda _: None,
    )
