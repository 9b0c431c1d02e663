"""Judges a run of a consumer group by what its members reported. The laws:

- `unread`: every record is processed by somebody.
- `poll-skip`, `nonmonotonic-poll`: while a member owns a partition, offsets follow each other.
- `unowned`: a member processes records of partitions that it owns, no others.
- `stale-start`: an owner begins no earlier than a commit that was acknowledged before.
- `odd-start`: an owner begins where somebody can have committed, or at the start.
- `owned-twice`: no two members own a partition at a time.
- `commit-went-back`, `commit-lost`: what an outsider reads of the committed offsets only grows,
  and ends at or above every acknowledged commit.
- `duplicate`: where exactly once was promised, no record is processed twice, except by whoever
  follows an owner that was refused its last commit.
- `failed`: no member gives up.

Must never know: clients, processes, clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import NamedTuple

from tests.support.groups.events import Committed, Event, Failed, Observed, Partition
from tests.support.groups.spans import Cut, Span, cut


class Violation(NamedTuple):
    """A law that was broken, and the facts."""

    law: str
    partition: Partition | None
    facts: str


@dataclass(frozen=True)
class Run:
    """All that is known of a run.

    `ends`: each partition's end offset; records begin at 0. Only these partitions are judged.
    `evictions`: members may have been put out of the group unawares, as when brokers are killed;
    then an acknowledged commit proves ownership, a member's own belief does not.
    """

    histories: Mapping[str, Sequence[Event]]
    ends: Mapping[Partition, int]
    observed: Sequence[Observed] = ()
    exactly_once: bool = False
    evictions: bool = False


class Acknowledged(NamedTuple):
    """A commit that was acknowledged."""

    at_ms: int
    offset: int


@dataclass(frozen=True)
class _Facts:
    """What concerns one partition."""

    partition: Partition
    end: int
    spans: Sequence[Span] = field(repr=False)
    commits: Sequence[Acknowledged] = field(repr=False)
    observed: Sequence[int] = field(repr=False)


def check(run: Run) -> list[Violation]:
    """Return every broken law, none for a run that is right."""
    whole = cut(run.histories)
    found = [*_failed(run.histories), *_unowned(whole)]
    for partition in run.ends:
        facts = _facts(run, partition, whole)
        found += _unread(facts)
        found += _unsteady(facts)
        found += _stale_starts(facts)
        found += _odd_starts(facts)
        found += _owned_twice(facts, evictions=run.evictions)
        found += _committed(facts)
        if run.exactly_once:
            found += _duplicates(facts)
    return found


def _facts(run: Run, partition: Partition, whole: Cut) -> _Facts:
    commits = [
        Acknowledged(event.at_ms, offset)
        for events in run.histories.values()
        for event in events
        if isinstance(event, Committed) and event.error is None
        for committed, offset in event.offsets
        if committed == partition
    ]
    return _Facts(
        partition,
        run.ends[partition],
        [span for span in whole.spans if span.partition == partition],
        commits,
        [seen.offset for seen in run.observed if seen.partition == partition],
    )


def _failed(histories: Mapping[str, Sequence[Event]]) -> Iterator[Violation]:
    for member, events in histories.items():
        for event in events:
            if isinstance(event, Failed):
                yield Violation("failed", None, f"{member}: {event.error}")


def _unowned(whole: Cut) -> Iterator[Violation]:
    for member, read in whole.unowned:
        yield Violation("unowned", read.partition, f"{member}: {read}")


def _unread(facts: _Facts) -> Iterator[Violation]:
    next_offset = 0
    for first, last, _ in _reads(facts.spans):
        if first > next_offset:
            yield Violation("unread", facts.partition, f"[{next_offset}, {first})")
        next_offset = max(next_offset, last + 1)
    if next_offset < facts.end:
        yield Violation("unread", facts.partition, f"[{next_offset}, {facts.end})")


def _unsteady(facts: _Facts) -> Iterator[Violation]:
    for span in facts.spans:
        for before, after in pairwise(span.reads):
            if after.first != before.last + 1:
                law = "poll-skip" if after.first > before.last else "nonmonotonic-poll"
                what = f"{span}: {after.first} came after {before.last}"
                yield Violation(law, facts.partition, what)


def _stale_starts(facts: _Facts) -> Iterator[Violation]:
    for span in facts.spans:
        known = max((c.offset for c in facts.commits if c.at_ms < span.began_ms), default=0)
        if span.reads and span.reads[0].first < known:
            what = f"{span}: began at {span.reads[0].first}, {known} had been committed"
            yield Violation("stale-start", facts.partition, what)


def _odd_starts(facts: _Facts) -> Iterator[Violation]:
    """Members commit the end of what they processed, and nothing else."""
    ends = [(read.at_ms, read.last + 1) for span in facts.spans for read in span.reads]
    for span in facts.spans:
        if not span.reads:
            continue
        first = span.reads[0]
        if first.first != 0 and not any(o == first.first and at <= first.at_ms for at, o in ends):
            what = f"{span}: began at {first.first}, which nobody can have committed"
            yield Violation("odd-start", facts.partition, what)


def _owned_twice(facts: _Facts, *, evictions: bool) -> Iterator[Violation]:
    for one, other in combinations(facts.spans, 2):
        if one.member == other.member:
            continue
        mine, theirs = (one.proven, other.proven) if evictions else (one.believed, other.believed)
        if max(mine[0], theirs[0]) < min(mine[1], theirs[1]):
            yield Violation("owned-twice", facts.partition, f"{one} and {other}")


def _committed(facts: _Facts) -> Iterator[Violation]:
    for before, after in pairwise(facts.observed):
        if after < before:
            yield Violation("commit-went-back", facts.partition, f"{before}, then {after}")
    acknowledged = max((commit.offset for commit in facts.commits), default=0)
    if facts.observed and facts.observed[-1] < acknowledged:
        what = f"{acknowledged} was acknowledged, {facts.observed[-1]} is there at the end"
        yield Violation("commit-lost", facts.partition, what)


def _duplicates(facts: _Facts) -> Iterator[Violation]:
    furthest, by = -1.0, ""
    for first, last, member in sorted(
        (read.first, min(read.last, span.settled - 1), span.member)
        for span in facts.spans
        for read in span.reads
        if read.first < span.settled
    ):
        if first <= furthest:
            what = f"{member} processed [{first}, {last}] after {by} had come to {furthest}"
            yield Violation("duplicate", facts.partition, what)
        if last > furthest:
            furthest, by = last, member


def _reads(spans: Iterable[Span]) -> list[tuple[int, int, str]]:
    return sorted((read.first, read.last, span.member) for span in spans for read in span.reads)
