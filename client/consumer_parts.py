"""What works inside a consumer while it is open: its cluster, its fetcher, its part in a group.

Must never know: what the application asks for, how any of the parts works.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from client.assignment import Assignment, PartitionState
from client.background import background_tasks
from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.fetcher import Fetcher
from client.group.participant import Participant
from client.group.parting import is_cancelled, part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import trio

    from client.cluster import Cluster
    from client.consumer_config import ConsumerConfig
    from client.environment import Environment
    from client.records import TopicPartition


class ConsumerParts(Struct, frozen=True):
    """The parts of one consumer; `participant` is None where it has no group."""

    cluster: Cluster
    fetcher: Fetcher
    participant: Participant | None


@asynccontextmanager
async def open_parts(
    bootstrap: str | Sequence[str],
    config: ConsumerConfig,
    environment: Environment,
    assignment: Assignment,
    *,
    wake_poll: Callable[[], object],
) -> AsyncIterator[ConsumerParts]:
    """Have all parts work for the time of a `with`; at its end the group is left.

    Raises: NoBrokerReachable; at the end what callbacks raise, OttlaError about the parting.
    """
    options = ClusterOptions(
        client_id=config.client_id,
        request_timeout_s=config.request_timeout_s,
        metadata_max_age_s=config.metadata_max_age_s,
        environment=environment,
    )
    open_another = partial(open_cluster, bootstrap, options)
    async with open_another() as cluster, background_tasks() as nursery:
        parts = _start_parts(cluster, nursery, config, assignment, wake_poll=wake_poll)
        participant = parts.participant
        after_error = True
        try:
            yield parts
            after_error = False
        finally:
            if participant is not None and participant.takes_part:
                await part(participant, cluster, open_another=open_another, after_error=after_error)
            if not is_cancelled():
                await parts.fetcher.close()


def _start_parts(
    cluster: Cluster,
    nursery: trio.Nursery,
    config: ConsumerConfig,
    assignment: Assignment,
    *,
    wake_poll: Callable[[], object],
) -> ConsumerParts:
    fetcher = Fetcher(cluster, nursery, assignment, config.fetcher_options(), arrived=wake_poll)
    nursery.start_soon(fetcher.run)
    participant = None
    if config.group_id is not None:
        participant = Participant(
            cluster,
            config.group_options(config.group_id),
            assignment,
            fetcher=fetcher,
            make_state=partial(new_state, cluster=cluster, config=config, of_group=True),
            wake_poll=wake_poll,
        )
        nursery.start_soon(participant.run)
    return ConsumerParts(cluster, fetcher, participant)


def new_state(
    place: TopicPartition, *, cluster: Cluster, config: ConsumerConfig, of_group: bool
) -> PartitionState:
    """Make the state of a partition that is to be read; `of_group`: the group assigned it."""
    return PartitionState(
        place, backoff=cluster.backoff(), check_crc=config.check_crc, of_group=of_group
    )
