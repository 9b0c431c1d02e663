"""What a simulated run is: its cluster, its clients and its faults, all drawn from one seed. Pure.

Must never know: how a fault is carried out.
"""

from __future__ import annotations

import random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from simulation.compaction import (
    COMPACTED_THEMES,
    OFTEN,
    compacted,
    generator,
)
from simulation.kinds import (
    COMPACTED_ONLY,
    DAMAGE,
    KINDS,
    PLANNED,
    THEMED_ONLY,
    Fault,
)
from simulation.themes import ACKS_ALL, ACKS_LEADER, OFTEN_DRAWN, SELDOM, THEMES, Theme

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

FAULTS_S: Final = 12.0
"""How long things are broken, in virtual seconds."""

DAY_MS: Final = 86_400_000

TOPIC: Final = "orders"


class Plan(Struct, frozen=True):
    """One run. `properties` are every broker's; `settings` the topic's.

    What is sent, what is asked of the coordinator and what is synced takes a time of its own, up to
    `latency_s`, `store_latency_s` and `sync_s` (seconds; 0: at once). Time passes in steps of
    `tick_s` (0: of any length). With `acks` 1 nothing is broken, and leaders move by plan.
    `passing`: another topic is made and deleted over and over. `trims`: the oldest records are
    deleted time and again. `tunes`: so is `min.insync.replicas` changed. `varied`: clients are set
    up in many ways. `sealed`: records tell whether all of them is whole. `looks_back`: somebody
    asks for offsets by time. Where records have one of so many `keys`, the topic is compacted.
    `about` is the theme, if it has one.
    """

    seed: int
    brokers: int
    partitions: int
    replicas: int
    producers: int
    readers: int
    members: int
    groups: int = 1
    lonely: int = 0
    acks: int = ACKS_ALL
    passing: bool = False
    trims: bool = False
    tunes: bool = False
    varied: bool = False
    sealed: bool = False
    looks_back: bool = False
    meets_registrations: bool = False
    keys: int = 0
    latency_s: float = 0.0
    store_latency_s: float = 0.0
    sync_s: float = 0.0
    tick_s: float = 0.0
    properties: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in {**self.properties, **self.settings}.items())
        return "\n".join(
            [
                f"seed {self.seed}{self.about and f', {self.about}'}: {self.brokers} brokers;"
                f" {self.partitions} partitions, {self.replicas} replicas each;"
                f" {self.producers} producers, {self.readers} readers,"
                f" {self.members} members in {self.groups} groups,"
                f" {self.lonely} groups without members"
                + (", topics that come and go" if self.passing else "")
                + (", old records are deleted" if self.trims else "")
                + (", min.insync.replicas changes" if self.tunes else "")
                + (", clients of all sorts" if self.varied else "")
                + (f", {self.keys} keys" if self.keys else ""),
                f"acks: {self.acks}; up to {self.latency_s:g} s to travel,"
                f" {self.store_latency_s:g} s to the coordinator, {self.sync_s:g} s to sync"
                + (f"; in steps of {self.tick_s:g} s" if self.tick_s else ""),
                *([f"settings: {options}"] if options else []),
                *map(str, self.faults),
            ]
        )


def read_plan(row: Mapping[str, Any]) -> Plan:
    """Make a plan of what a file holds: its fields under `plan`, and a list of `faults`."""
    return Plan(**row["plan"], faults=tuple(Fault(**fault) for fault in row.get("faults", ())))


TICKING: Final = 0.25
"""Part of all plans in which time passes in steps, drawn apart as well."""

TRIMMING: Final = 0.25
"""Part of the plans without keys in which the oldest records are deleted, drawn apart as well."""

VARIED: Final = 0.25
"""Part of all plans in which clients are set up in many ways, drawn apart as well."""

COMPRESSION_TYPES: Final = ("producer", "producer", "uncompressed", "lz4", "zstd")
"""How such a topic's batches are compressed; two times in five as their producers chose."""

RETENTION_BYTES: Final = "retention.bytes"
RETAINED_BYTES: Final = ("-1", "-1", "20000", "4000")
"""What a log may keep where the oldest records are deleted; mostly without a bound."""

THEMED: Final = 0.6
"""Part of the other plans that have a theme."""


def draw_plan(seed: int, *, kinds: Collection[str] | None = None, about: str | None = None) -> Plan:
    """Draw a run from its seed, with faults of these kinds only, or about a theme.

    Raises: KeyError.
    """
    rng, asked = generator(seed), kinds is not None or about is not None
    if not asked and rng.random() < OFTEN:
        about = rng.choice(COMPACTED_THEMES)
    elif not asked:
        about = next((theme for theme in SELDOM if _apart(theme, seed) < OFTEN), None)
    plan = _draw_plan(seed, kinds=kinds, about=about)
    if not asked and (drawn := _apart("ticks", seed)) < TICKING:
        plan = replace(plan, tick_s=0.01 if drawn < TICKING / 2 else 0.05)
    if plan.tick_s:
        plan = _patient(plan)
    if plan.varied or (not asked and _apart("clients", seed) < VARIED):
        plan = _varied(plan)
    may_be = not asked and plan.acks == ACKS_ALL
    needs_it = about in COMPACTED_THEMES or not COMPACTED_ONLY.isdisjoint(kinds or ())
    if needs_it or (may_be and rng.random() < OFTEN):
        return replace(compacted(plan, rng), trims=False)
    if plan.trims or (not asked and _apart("trimming", seed) < TRIMMING):
        return _short_lived(plan)
    return plan


def _apart(what: str, seed: int) -> float:
    """Draw a number in [0, 1) for what came later, so that all else stays as it was."""
    return random.Random(f"{what} {seed}").random()  # noqa: S311 - to be repeatable


def _draw_plan(seed: int, *, kinds: Collection[str] | None, about: str | None) -> Plan:
    rng = random.Random(f"plan {seed}")  # noqa: S311 - to be repeatable
    brokers = rng.choice([3, 3, 3, 4, 5])
    asked = kinds is not None or about is not None
    acks = ACKS_ALL if rng.random() < 0.9 or asked else ACKS_LEADER
    if about is None:
        themed = kinds is None and acks == ACKS_ALL and rng.random() < THEMED
        about = rng.choice(OFTEN_DRAWN) if themed else ""
    theme = THEMES[about] if about else _any_faults(kinds, acks)
    settings = {
        "min.insync.replicas": str(rng.choice([1, 2, 2])),
        # Clocks jump by an hour, time and again.
        "message.timestamp.after.max.ms": str(DAY_MS),
        **theme.settings,
    }
    plan = Plan(
        seed=seed,
        looks_back=True,
        brokers=brokers,
        partitions=rng.randint(1, 3),
        replicas=3,
        producers=rng.randint(1, 3),
        readers=rng.randint(1, 2),
        members=rng.randint(1, 4),
        groups=rng.choice([1, 1, 2, 3]),
        lonely=rng.choice([0, 1, 2]),
        acks=acks,
        passing=rng.random() < 0.3,
        latency_s=rng.choice([0.0, 0.001, 0.01, 0.1]),
        store_latency_s=rng.choice([0.0, 0.001, 0.01, 0.1]),
        sync_s=rng.choice([0.0, 0.001, 0.01, 0.1]),
        properties={
            "log.segment.bytes": str(rng.choice([1 << 30, 4096, 1024])),
            "group.initial.rebalance.delay.ms": str(rng.choice([0, 100])),
            # Catching up takes one fetch, or many.
            "replica.fetch.max.bytes": str(rng.choice([1 << 20, 1 << 20, 200])),
            # Followers that are merely slow leave the ISR, or stay for the whole run.
            "replica.lag.time.max.ms": str(rng.choice([30_000, 2_000, 500])),
        },
        settings=settings,
        about=about,
    )
    plan = replace(plan, **theme.plan)
    if plan.acks == ACKS_LEADER:
        # A broker that stops waits for who is behind, but not for ever: they can catch up in time.
        plan = replace(plan, properties={**plan.properties, "replica.fetch.max.bytes": "1048576"})
    draw = _one_damage if about else _favoured
    faults = _draw_faults(rng, plan.brokers, draw(rng, sorted(theme.kinds)), theme.mean_s)
    if theme.with_damage is not None:
        faults = tuple(
            fault._replace(amount=theme.with_damage) if fault.kind in DAMAGE else fault
            for fault in faults
        )
    return replace(plan, faults=faults)


def _patient(plan: Plan) -> Plan:
    """Let followers lag for longer than a fetch takes where time passes in steps: it takes some."""
    lag_ms = max(2_000, int(plan.properties["replica.lag.time.max.ms"]))
    properties = {**plan.properties, "replica.lag.time.max.ms": str(lag_ms)}
    return replace(plan, properties=properties)


def _varied(plan: Plan) -> Plan:
    """Have clients set up in many ways; what they send may be compressed in another one."""
    chosen = COMPRESSION_TYPES[int(_apart("compression", plan.seed) * len(COMPRESSION_TYPES))]
    return replace(
        plan, varied=True, sealed=True, settings={**plan.settings, "compression.type": chosen}
    )


def _short_lived(plan: Plan) -> Plan:
    """Have old records deleted: on demand, and perhaps by size; what is deleted goes soon."""
    bytes_max = RETAINED_BYTES[int(_apart("retention", plan.seed) * len(RETAINED_BYTES))]
    return replace(
        plan,
        trims=True,
        properties={**plan.properties, "log.retention.check.interval.ms": "500"},
        settings={**plan.settings, RETENTION_BYTES: bytes_max},
    )


def _any_faults(kinds: Collection[str] | None, acks: int) -> Theme:
    """Give the theme of a run that has none of its own."""
    if kinds is None:
        kinds = KINDS.keys() - THEMED_ONLY if acks == ACKS_ALL else PLANNED
    return Theme(frozenset(kinds), (3.0, 0.8, 0.4, 0.2))


def _one_damage(rng: random.Random, kinds: list[str]) -> list[str]:
    """Leave one kind of damage at most: in a run there is little room for it."""
    damage = [kind for kind in kinds if kind in DAMAGE]
    kept = rng.choice(damage) if damage else None
    return [kind for kind in kinds if kind not in DAMAGE or kind == kept]


def _favoured(rng: random.Random, kinds: list[str]) -> list[str]:
    """Draw the kinds of faults that come up in a run, some of them more often."""
    if not kinds:
        return []
    return rng.choices(kinds, [KINDS[kind].weight for kind in kinds], k=rng.randint(1, len(kinds)))


def _draw_faults(
    rng: random.Random, brokers: int, kinds: list[str], means_s: tuple[float, ...]
) -> tuple[Fault, ...]:
    if not kinds:
        return ()
    mean_s = rng.choice(means_s)
    # Trouble comes twice to the same broker more often than chance would have it.
    loyalty = rng.choice([0.0, 0.3, 0.7])
    faults: list[Fault] = []
    at_s = rng.expovariate(1 / mean_s)
    while at_s < FAULTS_S:
        kind = rng.choice(kinds)
        fault = KINDS[kind].draw(rng, brokers)._replace(at_s=round(at_s, 3), kind=kind)
        if faults and rng.random() < loyalty and 0 < faults[-1].broker != fault.other:
            fault = fault._replace(broker=faults[-1].broker if fault.broker else 0)
        faults.append(fault)
        # Things that fail together, or one right after the other, are worth as much as calm.
        at_s += rng.expovariate(1 / mean_s) if rng.random() < 0.8 else 0.001
    return tuple(faults)
