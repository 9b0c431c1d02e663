"""The controller's decisions about what brokers are given at run time, and what topics inherit.

Pure, like all decisions. Must never know: which settings brokers have, the store, time.
Source: KIP-226.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from coordinator import elect
from coordinator.decide_topics import edited, inherited_by_topics, reconsidered
from coordinator.errors import InvalidConfig
from coordinator.events import Changes
from coordinator.topic_config import check_config
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.cluster import ClusterState
    from coordinator.events import AlterBrokerConfigs, ConfigEdit, DefaultsChanged

CONFIGS_BYTES_MAX: Final = 512 * 1024
"""Of all brokers' configs together: they are one znode."""

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
                _check_weight(after, broker_configs)
                config = after
            else:
                broker_id = _known_broker(state, edit)
                after = edited(broker_configs.get(broker_id, {}), edit)
                check_config(after)
                event.check(after, per_broker=True)
                _check_weight(config, {**broker_configs, broker_id: after})
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


def _check_weight(
    config: Mapping[str, str], broker_configs: Mapping[int, Mapping[str, str]]
) -> None:
    texts = (
        text
        for each in (config, *broker_configs.values())
        for pair in each.items()
        for text in pair
    )
    size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes > CONFIGS_BYTES_MAX:
        raise InvalidConfig(
            f"configs of brokers of {size_bytes} bytes, at most {CONFIGS_BYTES_MAX} are kept"
        )


def _known_broker(state: ClusterState, edit: ConfigEdit) -> int:
    known = {str(broker_id): broker_id for broker_id in (*state.brokers, *state.acknowledged)}
    if edit.name not in known:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST,
            f"there is no broker {edit.name!r}: name one of {', '.join(sorted(known))}, or none to"
            " set what all brokers are given",
        )
    return known[edit.name]
