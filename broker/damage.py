"""Whether a replica whose log turns out to be damaged leads on: who would lead in its place?

Must never know: what is damaged, what becomes of one that does not lead on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from broker.log.errors import LogDamaged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.partition import Partition
    from coordinator.cluster import BrokerRegistration
    from protocol.errors import StorageError

log_events = structlog.get_logger()


def is_borne(
    partition: Partition, error: StorageError, brokers: Mapping[int, BrokerRegistration]
) -> bool:
    """Say whether to lead on, and refuse who reads where it is damaged: nobody else could lead.

    `brokers` are those that live. Any other error of the disk is not borne.
    """
    leadership, state = partition.leadership, partition.state
    if not isinstance(error, LogDamaged) or leadership is None or state is None:
        return False
    others = {*state.isr, *state.elr, *(leadership.pending_isr or ())} - {state.leader_id}
    replica = partition.topic_id, partition.index
    if any(one in brokers and replica not in brokers[one].offline for one in others):
        return False
    if not leadership.damage_told:
        log_events.error("only_replica_damaged", partition=partition.name, error=str(error))
    leadership.damage_told = True
    return True
