"""The controller's decisions about what brokers are given at run time, and what topics inherit.

Pure, like all decisions. Must never know: which settings brokers have, the store, time.
Source: KIP-226.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from coordinator import elect
from coordinator.decide_topics import edited, inherited_by_topics, reconsidered
from coordinator.events import Changes
from coordinator.topic_config import check_config
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from coordinator.cluster import ClusterState
    from coordinator.events import AlterBrokerConfigs, ConfigEdit, DefaultsChanged

ALL_BROKERS = ""
"""The name under which Kafka's clients edit what all brokers are given."""


def alter_broker_configs(state: ClusterState, event: AlterBrokerConfigs) -> Changes:
    """Decide on edits of what all brokers, or single ones by their id, are given."""
    config, broker_configs = state.config, dict(state.broker_configs)
    refused: dict[int, RequestError] = {}
    for number, edit in enumerate(event.items):
        try:
            if edit.name == ALL_BROKERS:
                after = edited(config, edit)
                check_config(after)
                event.check(after, per_broker=False)
                config = after
            else:
                broker_id = _known_broker(state, edit)
                after = edited(broker_configs.get(broker_id, {}), edit)
                check_config(after)
                event.check(after, per_broker=True)
                broker_configs[broker_id] = after
        except RequestError as error:
            refused[number] = error
    return Changes(
        config=config,
        broker_configs={broker_id: each for broker_id, each in broker_configs.items() if each},
        refused=refused,
    )


def pass_on_defaults(state: ClusterState, _event: DefaultsChanged) -> Changes:
    """Have every topic inherit what the cluster's defaults are now, with what follows from it."""
    inherited = inherited_by_topics(state)
    roll = elect.RollCall.of(state)
    changed = {}
    for name, before in state.topics.items():
        if before.inherited != inherited:
            changed[name] = reconsidered(replace(before, inherited=inherited), roll)
    return Changes(topics=changed)


def _known_broker(state: ClusterState, edit: ConfigEdit) -> int:
    known = {str(broker_id): broker_id for broker_id in (*state.brokers, *state.acknowledged)}
    if edit.name not in known:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"there is no broker {edit.name!r}: name one of {', '.join(sorted(known))}, or none to"
            " set what all brokers are given",
        )
    return known[edit.name]
