"""Whether two schema registries decide alike: both are told the same random stories.

    python -m tests.interop.compare_registries http://localhost:8081 http://localhost:8082

A story is a schema and what it becomes, version by version, under each compatibility level in turn.
They agree where both take a version, both find it incompatible, both find it invalid, or both fail.
What comes after the first disagreement of a story is not compared: from there on they hold
different versions. Exit status 1 where they disagree.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

from registry.compatibility import Level
from tests.support.schema_stories import STORIES

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S = 30.0
REASON_CHARACTERS_MAX = 300
OUTCOMES = {200: "taken", 409: "incompatible", 422: "invalid"}
FAILED = "failed"


@dataclass(frozen=True)
class Disagreement:
    """A version about which they decided differently; all before it both have taken or refused."""

    level: Level
    versions: tuple[str, ...]
    outcomes: tuple[str, str]
    reasons: tuple[str, str]

    def __str__(self) -> str:
        told = zip(self.outcomes, self.reasons, strict=True)
        lines = [f"{self.level}: " + " / ".join(f"{outcome} {why}" for outcome, why in told)]
        return "\n".join([*lines, *(f"    {version}" for version in self.versions)])


@dataclass
class Findings:
    """What was compared of one type of schemas."""

    decisions: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)

    def __str__(self) -> str:
        compared = self.decisions.total() + len(self.disagreements)
        alike = ", ".join(f"{count:,} {name}" for name, count in sorted(self.decisions.items()))
        return f"{compared:,} decisions; alike {alike}; different {len(self.disagreements):,}"


class Comparison:
    """Tells stories to both; `prefix` sets its subjects apart from those of others."""

    def __init__(self, ours: httpx.Client, theirs: httpx.Client, *, prefix: str) -> None:
        self._both = (ours, theirs)
        self._prefix = prefix
        self._count = 0

    def tell(self, versions: Sequence[str], *, kind: str, level: Level, found: Findings) -> None:
        """Register versions in turn, and note how each was decided.

        Raises: httpx.HTTPError.
        """
        self._count += 1
        subject = f"{self._prefix}-{self._count}"
        for registry in self._both:
            answer = registry.put(f"/config/{subject}", json={"compatibility": level.value})
            answer.raise_for_status()
        for number, text in enumerate(versions, 1):
            request = {"schema": text, "schemaType": kind}
            answers = [
                each.post(f"/subjects/{subject}/versions", json=request) for each in self._both
            ]
            ours, theirs = (_outcome(answer) for answer in answers)
            if ours == theirs:
                found.decisions[ours] += 1
                continue
            reasons = (_reason(answers[0]), _reason(answers[1]))
            found.disagreements.append(
                Disagreement(level, tuple(versions[:number]), (ours, theirs), reasons)
            )
            return


def _outcome(answer: httpx.Response) -> str:
    return OUTCOMES.get(answer.status_code, FAILED)


def _reason(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:REASON_CHARACTERS_MAX]


def compare(
    ours: httpx.Client, theirs: httpx.Client, *, kind: str, stories: int, number: int
) -> Findings:
    """Tell both so many stories of one type, drawn from a seed, under every level."""
    found = Findings()
    comparison = Comparison(ours, theirs, prefix=f"{kind.lower()}-{number}")

    @seed(number)
    @settings(
        max_examples=stories,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STORIES[kind]())
    def told(versions: list[str]) -> None:
        for level in Level:
            comparison.tell(versions, kind=kind, level=level, found=found)

    told()
    return found


def _client(url: str) -> httpx.Client:
    # A connection may be closed after an answer that says nothing of it.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, limits=limits)


def main() -> int:
    """Compare two registries and print what they disagree about."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("ours", metavar="URL")
    parser.add_argument("theirs", metavar="URL")
    parser.add_argument("--stories", type=int, default=100, help="of each type")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--type", choices=sorted(STORIES), action="append")
    parser.add_argument("--shown", type=int, default=20, help="disagreements of each type")
    options = parser.parse_args()
    differ = False
    with _client(options.ours) as ours, _client(options.theirs) as theirs:
        for kind in options.type or sorted(STORIES):
            found = compare(ours, theirs, kind=kind, stories=options.stories, number=options.seed)
            print(f"{kind}: {found}", flush=True)
            of_pair = defaultdict(list)
            for each in found.disagreements:
                of_pair[each.outcomes].append(each)
            for outcomes, alike in of_pair.items():
                print(f"  {len(alike):,} times {outcomes[0]} here, {outcomes[1]} there", flush=True)
                for each in alike[: options.shown]:
                    print(f"  {each}", flush=True)
            differ = differ or bool(found.disagreements)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
