"""One term of office: rounds in which decisions are made and written, until the fence says no.

What the watcher saw and what handlers asked since the last round is decided together and written
in a few multis. Lost races are normal: what could not be written is read and decided again.
Must never know: what is decided and why (`decide`), how one comes into office, handlers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from coordinator import elect, paths
from coordinator.cluster import NO_CONTROLLER
from coordinator.errors import NotController
from coordinator.events import BrokersChanged, DefaultsChanged, Rebalance
from coordinator.ledger import Ledger, is_written
from coordinator.requests import Round
from coordinator.store import ConnectionLost, MultiFailed
from protocol.errors import CoordinationError, ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.campaign import Term
    from coordinator.cluster import ClusterState, PartitionState, TopicState
    from coordinator.ledger import Outcome
    from coordinator.requests import Request
    from coordinator.store import Store
    from coordinator.watcher import ClusterWatcher

REBALANCE_DELAY_S: Final = 5.0
"""How long after a change the preferred leaders that came back are looked for."""
REBALANCE_STEP_S: Final = 1.0
REBALANCE_PARTITIONS_MAX: Final = 250
"""How many leaderships move in one step: clients have to follow each of them."""
LOST_RACE_PAUSE_S: Final = 0.01

_NEVER: Final = float("inf")

log_events = structlog.get_logger()


class _TermOver(CoordinationError):
    """The fence refused a write: somebody else has taken office."""


class Office:
    """The office of controller, held by this broker for one term."""

    def __init__(
        self,
        store: Store,
        watcher: ClusterWatcher,
        term: Term,
        *,
        broker_id: int,
        rebalances: Callable[[], bool],
    ) -> None:
        self._watcher = watcher
        self._ledger = Ledger(store, term)
        self._holder = (broker_id, term.controller_epoch)
        self._rebalances = rebalances
        self._rebalance_at = trio.current_time() + REBALANCE_DELAY_S
        self._requests: list[Request] = []
        self._work = trio.Event()
        self._settled: ClusterState | None = None

    async def serve(self) -> None:
        """Do rounds until the term is over. Raises: SessionLost."""
        try:
            while self._is_held():
                await self._do_round()
                with trio.move_on_at(self._rebalance_at):
                    await self._work.wait()
                self._work = trio.Event()
        except _TermOver:
            return

    def submit(self, request: Request) -> None:
        """Put a request into the next round; `request.done` says when it is through."""
        self._requests.append(request)
        self.wake()

    def wake(self) -> None:
        """Have another round: something has happened."""
        self._work.set()

    def close(self) -> None:
        """Refuse what is still open: the next controller has to be asked."""
        known_id = self._watcher.state.controller_id
        controller_id = NO_CONTROLLER if known_id == self._holder[0] else known_id
        for request in self._requests:
            if not request.done.is_set():
                request.refuse(NotController(controller_id=controller_id))
        self._requests.clear()

    def _is_held(self) -> bool:
        state = self._watcher.state
        return (state.controller_id, state.controller_epoch) == self._holder

    async def _do_round(self) -> None:
        """Decide on all that came up since the last round, and write it.

        Raises: _TermOver, SessionLost.
        """
        deciding = Round(self._watcher.state)
        requests = list(self._requests)
        self._settle_brokers(deciding)
        self._rebalance(deciding)
        for request in requests:
            _decide(request, deciding)
        failed = await self._write(deciding)
        self._settled = None if failed else deciding.before
        for request in requests:
            request.finish(deciding, failed=failed)
        self._requests = [each for each in self._requests if not each.done.is_set()]
        if deciding.touched and self._rebalance_at == _NEVER:
            self._rebalance_at = trio.current_time() + REBALANCE_DELAY_S
        if failed:
            await trio.sleep(LOST_RACE_PAUSE_S)
            self.wake()

    def _settle_brokers(self, deciding: Round) -> None:
        """Look at all partitions when brokers changed, else at those that somebody else wrote."""
        now, known = deciding.before, self._settled
        if known is None or known.config is not now.config:
            deciding.decide(DefaultsChanged())
            self._rebalance_at = min(  # `auto.leader.rebalance.enable` may be among what changed
                self._rebalance_at, trio.current_time() + REBALANCE_DELAY_S
            )
        if (
            known is None
            or known.brokers is not now.brokers
            or known.acknowledged is not now.acknowledged
        ):
            deciding.decide(BrokersChanged())
            return
        news = tuple(n for n, topic in now.topics.items() if known.topics.get(n) is not topic)
        if news:
            deciding.decide(BrokersChanged(news))

    def _rebalance(self, deciding: Round) -> None:
        """Give some leaderships back to preferred leaders, if that is due."""
        now = trio.current_time()
        if now < self._rebalance_at:
            return
        self._rebalance_at = _NEVER
        if not self._rebalances():
            return
        changes = deciding.decide(Rebalance(REBALANCE_PARTITIONS_MAX))
        if changes.topics:
            self._rebalance_at = now + REBALANCE_STEP_S

    async def _write(self, decided: Round) -> set[str]:
        """Write a round. Returns: the topics not written, and `paths.BROKERS` for the notes."""
        outcome = await self._ledger.write_topics(decided.before, decided.after, decided.touched)
        self._watcher.adopt(
            changed=outcome.changed, created=outcome.created, deleted=outcome.deleted
        )
        _report(decided, outcome)
        if outcome.session_lost is not None:
            raise outcome.session_lost
        if outcome.term_over:
            raise _TermOver
        failed = set() if outcome.complete else await self._read_back(decided, outcome)
        if failed:
            return {*failed, paths.BROKERS}
        return await self._write_notes(decided)

    async def _read_back(self, decided: Round, outcome: Outcome) -> set[str]:
        """Read what somebody else wrote and what we may have written. Returns: the unwritten."""
        names = outcome.stale | outcome.unknown
        await self._watcher.reread([paths.TOPICS, paths.DELETED])
        await self._watcher.reread(paths.topic(name) for name in sorted(names))
        found = self._watcher.state
        return {
            name
            for name in names
            if name in outcome.stale or not is_written(name, wanted=decided.after, found=found)
        }

    async def _write_notes(self, decided: Round) -> set[str]:
        """Write what is noted of brokers, once all topics are: it says that these are settled."""
        try:
            written = await self._ledger.write_brokers(decided.before, decided.after)
        except MultiFailed as error:
            if error.index == 0:
                raise _TermOver from None
        except ConnectionLost:
            pass
        else:
            await self._watcher.reread(written)
            return set()
        await self._watcher.reread([paths.BROKER_IDS, paths.ACKNOWLEDGED, paths.CONFIG])
        return {paths.BROKERS}


def _decide(request: Request, deciding: Round) -> None:
    """Have a request decided; one over which that fails changes nothing, and ends no controller.

    Whoever asked would bring it to the next one, and to the one after that.
    """
    try:
        request.decide_in(deciding)
    except Exception as error:
        log_events.exception("request_undecidable")
        request.refuse(
            RequestError.of(ErrorCode.UNKNOWN_SERVER_ERROR, f"a bug: {type(error).__name__}")
        )


def _report(decided: Round, outcome: Outcome) -> None:
    """Log what was written, and loudly what may cost records."""
    if decided.touched:
        log_events.info(
            "changes_written",
            changed=len(outcome.changed),
            created=len(outcome.created),
            deleted=len(outcome.deleted),
            lost_races=len(outcome.stale),
            unknown=len(outcome.unknown),
        )
    for topic, _ in outcome.changed:
        old = decided.before.topics[topic.name].partitions
        for index, (before, after) in enumerate(zip(old, topic.partitions, strict=False)):
            if before is not after:
                _report_partition(topic, index, before, after)


def _report_partition(
    topic: TopicState, index: int, before: PartitionState, after: PartitionState
) -> None:
    log = log_events.bind(topic=topic.name, partition=index, isr_before=before.isr)
    if before.replicas != after.replicas:
        log.info(
            "replicas_changed",
            replicas=after.replicas,
            adding=after.adding,
            removing=after.removing,
        )
    if elect.is_unclean(before, after):
        log.error(
            "unclean_leader_election",
            leader_id=after.leader_id,
            consequence="acknowledged records may be lost",
        )
    elif after.lost and not before.lost:
        log.error(
            "partition_lost",
            consequence="all in-sync replicas came back without their data",
            next_step="allow unclean.leader.election.enable for the topic to go on without it",
        )
