"""Topic names and configs as far as the coordinator depends on them.

All other config keys belong to the log; whoever builds the controller hands in their check.
Must never know: the store, logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from coordinator.errors import InvalidConfig, InvalidTopicName
from protocol.codegen import STRING_BYTES_MAX
from protocol.topic_names import NAME_CHARACTERS_MAX, has_legal_characters

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_BYTES_MAX: Final = 65_536
"""Of all keys and values of a topic together: the config shares a znode with the partitions."""

VALUE_BYTES_MAX: Final = STRING_BYTES_MAX
"""Of a single value: a longer one, as lists grow to, could not be told to whoever asks for it."""

MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"
UNCLEAN_LEADER_ELECTION: Final = "unclean.leader.election.enable"
FLUSH: Final = "ottla.flush"

_DIGITS_MAX: Final = len(str(2**31 - 1))
"""More are not looked at: Python refuses to read thousands of them, with another error."""

CLEANUP_POLICY: Final = "cleanup.policy"
LISTS: Final[Mapping[str, str]] = {
    CLEANUP_POLICY: "delete",
    f"log.{CLEANUP_POLICY}": "delete",
    "leader.replication.throttled.replicas": "",
    "follower.replication.throttled.replicas": "",
}
"""Settings that are lists, of topics and of the cluster, and what they are where nobody set them:
elements are added to that, and taken from it."""

INHERITED_KEYS: Final = (MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION, FLUSH)
"""Settings on which the controller and all replicas must agree, under the same names for a topic
and for the cluster: topics inherit them through the controller, see `TopicState.inherited`."""


def check_name(name: str) -> None:
    """Refuse what cannot be a topic's name. Raises: InvalidTopicName."""
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise InvalidTopicName(
            f"a topic name has 1 to {NAME_CHARACTERS_MAX} characters, this one {len(name)}"
        )
    if name in {".", ".."}:
        raise InvalidTopicName(f"{name!r} cannot be a topic name")
    if not has_legal_characters(name):
        raise InvalidTopicName(f"topic name {name!r}: use only letters, digits, '.', '_' and '-'")


def min_insync_replicas(config: Mapping[str, str], *, replication_factor: int) -> int:
    """Give how many in-sync replicas an acknowledgement needs, in [1, replication_factor].

    Unless the topic says otherwise, 2 where there are 3 replicas or more and 1 where there are
    fewer. More than there are replicas means all of them.
    """
    asked = config.get(MIN_INSYNC_REPLICAS)
    default = 2 if replication_factor >= 3 else 1
    return min(default if asked is None else int(asked), replication_factor)


class ElectionRules(Struct, frozen=True):
    """What a topic's config says about elections, for partitions of one replication factor."""

    min_insync_replicas: int
    unclean: bool = False
    flush_os: bool = False

    @classmethod
    def of(cls, config: Mapping[str, str], *, replication_factor: int) -> ElectionRules:
        """Read the rules from a topic's config."""
        return cls(
            min_insync_replicas(config, replication_factor=replication_factor),
            unclean=config.get(UNCLEAN_LEADER_ELECTION, "").lower() == "true",
            flush_os=config.get(FLUSH) == "os",
        )


def check_config(config: Mapping[str, str]) -> None:
    """Check the size of a config and the keys that elections depend on. Raises: InvalidConfig."""
    size_bytes = 0
    for key, value in config.items():
        value_bytes = len(value.encode())
        if value_bytes > VALUE_BYTES_MAX:
            raise InvalidConfig(
                f"{key} would have {value_bytes} bytes: a setting has at most {VALUE_BYTES_MAX}"
            )
        size_bytes += len(key.encode()) + value_bytes
    if size_bytes > CONFIG_BYTES_MAX:
        raise InvalidConfig(f"a config of {size_bytes} bytes, at most {CONFIG_BYTES_MAX} are kept")
    asked = config.get(MIN_INSYNC_REPLICAS, "1")
    is_number = asked.isascii() and asked.isdecimal() and len(asked) <= _DIGITS_MAX
    if not (is_number and 1 <= int(asked) <= 2**31 - 1):
        raise InvalidConfig(
            f"{MIN_INSYNC_REPLICAS}={asked:.80}: a number of at least 1 is expected"
        )
    _check_choice(config, UNCLEAN_LEADER_ELECTION, ("true", "false"), any_case=True)
    _check_choice(config, FLUSH, ("commit", "os"))


def _check_choice(
    config: Mapping[str, str], key: str, choices: tuple[str, ...], *, any_case: bool = False
) -> None:
    value = config.get(key, choices[0])
    if (value.lower() if any_case else value) not in choices:
        raise InvalidConfig(f"{key}={value}: one of {', '.join(choices)} is expected")
