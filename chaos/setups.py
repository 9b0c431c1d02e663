"""How the clients of a load are set up: the plain way, or each time in another of many.

Must never know: clients at work, faults, what is judged.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from client import ConsumerConfig, ProducerConfig

if TYPE_CHECKING:
    from chaos.load import Load

LINGERS_MS: Final = (0, 1, 5)
COMPRESSIONS: Final[tuple[Literal["none", "gzip", "snappy", "lz4", "zstd"], ...]] = (
    "none",
    "gzip",
    "snappy",
    "lz4",
    "zstd",
)
SESSION_TIMEOUT_S: Final = 6.0
ASSIGNORS: Final = (
    ("range",),
    ("roundrobin",),
    ("sticky",),
    ("cooperative-sticky",),
    ("range", "cooperative-sticky"),
)
"""Members of one group must have one in common."""

AUTO_COMMIT_INTERVALS_S: Final = (0.1, 1.0, 5.0)
WORKS_S: Final = (0.0, 0.02, 0.3)
"""How long a member works on what it was handed, while more is fetched ahead."""


def producer_config(load: Load, rng: random.Random) -> ProducerConfig:
    """Say how a producer is set up this time."""
    config = ProducerConfig(
        acks=load.acks,
        linger_ms=rng.choice(LINGERS_MS),
        delivery_timeout_s=load.delivery_timeout_s,
    )
    return replace(config, compression=rng.choice(COMPRESSIONS)) if load.varied else config


def member_config(load: Load, name: str, group: str, rng: random.Random) -> ConsumerConfig:
    """Say how a member of a group is set up this time: static or not, committing by itself or not.

    Its assignors are those of the group.
    """
    config = ConsumerConfig(
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_s=SESSION_TIMEOUT_S,
    )
    if not load.varied:
        return config
    of_group = random.Random(f"{load.seed} {group}")  # noqa: S311 - to be repeatable
    return replace(
        config,
        assignors=of_group.choice(ASSIGNORS),
        group_instance_id=rng.choice((None, name)),
        enable_auto_commit=rng.random() < 0.5,
        auto_commit_interval_s=rng.choice(AUTO_COMMIT_INTERVALS_S),
    )


def work_s(load: Load, rng: random.Random) -> float:
    """Say how long a member works this time on what one poll hands out; in seconds."""
    return load.rest_s + (rng.choice(WORKS_S) if load.varied else 0.0)
