"""Faults are carried out and mended in their time; processes themselves are in test_chaos_run."""

from __future__ import annotations

import trio

from chaos.breakage import Breakage
from chaos.schedule import COORDINATOR, Fault


class Links:
    """The links of a cluster, as far as a breakage cuts them."""

    nodes = ("1", "2", "3", COORDINATOR)

    def __init__(self) -> None:
        self.blocked: set[tuple[str, str]] = set()
        self.refused: set[tuple[str, str]] = set()

    def block(self, source, target):
        self.blocked.add((source, target))

    def unblock(self, source, target):
        self.blocked.remove((source, target))

    def refuse(self, one, other):
        self.refused.add((one, other))

    def allow(self, one, other):
        self.refused.remove((one, other))


async def cut_at(at_s: float, *faults: Fault) -> Links:
    """Give the links as they are so long after the faults began to come."""
    links = Links()
    with trio.move_on_after(at_s):
        await Breakage(links, told=lambda _: None).run(faults)
    return links


async def test_each_fault_cuts_what_its_name_says(autojump_clock):
    async def blocked(kind: str, other: str = "") -> set[tuple[str, str]]:
        return (await cut_at(1, Fault(0, kind, 5.0, "1", other))).blocked

    assert await blocked("partition", "2") == {("1", "2"), ("2", "1")}
    assert await blocked("one-way", "2") == {("1", "2")}
    assert await blocked("one-way") == {("1", "2"), ("1", "3"), ("1", COORDINATOR)}
    assert await blocked("cut-store") == {("1", COORDINATOR), (COORDINATOR, "1")}
    assert len(await blocked("isolate")) == 6
    assert (await cut_at(1, Fault(0, "reject", 5.0, "1", "2"))).refused == {("1", "2")}


async def test_what_two_faults_cut_is_whole_once_both_have_passed(autojump_clock):
    faults = (
        Fault(0, "partition", 3.0, "1", "2"),
        Fault(0, "isolate", 5.0, "1"),
        Fault(0, "reject", 3.0, "1", "2"),
    )

    assert len((await cut_at(2, *faults)).blocked) == 6
    assert len((await cut_at(4, *faults)).blocked) == 6
    links = await cut_at(6, *faults)
    assert links.blocked == links.refused == set()


async def test_faults_are_noted_with_their_times(autojump_clock):
    told: list[str] = []
    breakage = Breakage(Links(), told=told.append)
    await breakage.run([Fault(1, "partition", 2.0, "1", "2"), Fault(2, "isolate", 3.0, "3")])

    assert [(met.began_s, met.ended_s) for met in breakage.met] == [(1, 3), (2, 5)]
    assert breakage.injected == {"partition": 1, "isolate": 1}
    assert breakage.now == []
    assert told == [
        "partition broker 1 and broker 2 for 2.0 s",
        "isolate broker 3 for 3.0 s",
        "partition broker 1 and broker 2 for 2.0 s is over",
        "isolate broker 3 for 3.0 s is over",
    ]
