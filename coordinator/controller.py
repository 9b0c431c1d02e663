"""The controller's shell: campaigns, serves terms of office, carries requests to the one in office.

Must never know: what is decided and why (`decide`), how it is written (`office`), sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog
import trio
from msgspec.structs import replace

from coordinator import paths
from coordinator.campaign import campaign
from coordinator.cluster import NO_CONTROLLER, NO_LEADER
from coordinator.decide import partitions_led
from coordinator.errors import NotController
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    AlterReassignments,
    ConfigChecks,
    ConfigEdit,
    CreatePartitions,
    CreateTopics,
    DeleteTopics,
    ElectLeaders,
    IsrChange,
    NewTopic,
    Reassignment,
    ShutDownBroker,
    TopicGrowth,
)
from coordinator.office import Office
from coordinator.requests import Request, Round
from coordinator.store import SessionLost
from protocol.errors import CoordinationError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from coordinator.campaign import Term
    from coordinator.cluster import PartitionState, TopicState
    from coordinator.requests import Itemised
    from coordinator.store import Store
    from coordinator.watcher import ClusterWatcher

log_events = structlog.get_logger()

NO_CHECKS = ConfigChecks()
NO_IDS: Mapping[str, bytes] = {}


class Controller:
    """This broker's part in deciding: candidate at first, the one who decides when elected."""

    def __init__(
        self,
        store: Store,
        broker_id: int,
        watcher: ClusterWatcher,
        *,
        random_bytes: Callable[[int], bytes],
        checks: ConfigChecks = NO_CHECKS,
        rebalances: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._broker_id = broker_id
        self._watcher = watcher
        self._random_bytes = random_bytes
        self._checks = checks
        self._rebalances = rebalances
        self._office: Office | None = None

    @property
    def is_active(self) -> bool:
        """Say whether this broker decides now."""
        return self._office is not None

    async def run(self) -> None:
        """Campaign, lead, resign, for ever. The watcher must be running.

        Raises: SessionLost.
        """
        failure: CoordinationError = SessionLost("the session of this candidate has ended")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_watcher)
            nursery.start_soon(self._end_with_session, nursery.cancel_scope)
            try:
                while True:
                    await self._serve(await campaign(self._store, self._broker_id))
            except CoordinationError as error:
                failure = error
            nursery.cancel_scope.cancel()
        raise failure

    # What handlers ask. All raise NotController where this broker does not decide.

    async def create_topics(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False
    ) -> dict[str, TopicState | RequestError]:
        """Create topics. Returns: for each name the topic as written, or why it is refused."""
        items = tuple(
            replace(new, topic_id=self._new_topic_id(), start=self._random_start())
            for new in topics
        )
        event = CreateTopics(items, self._checks.topic)
        results = await self._ask(event, validate_only=validate_only)
        return {new.name: result for new, result in zip(topics, results, strict=True)}

    async def delete_topics(
        self, names: Sequence[str], *, topic_ids: Mapping[str, bytes] = NO_IDS
    ) -> dict[str, TopicState | RequestError]:
        """Delete topics; only those with these ids, where `topic_ids` has one for the name.

        Returns: for each name the topic as it was, or why it is refused.
        """
        results = await self._ask(DeleteTopics(tuple(names), topic_ids))
        return dict(zip(names, results, strict=True))

    async def create_partitions(
        self, growths: Sequence[TopicGrowth], *, validate_only: bool = False
    ) -> dict[str, TopicState | RequestError]:
        """Add partitions to topics. Returns: for each name the topic, or why it is refused."""
        items = tuple(replace(growth, start=self._random_start()) for growth in growths)
        results = await self._ask(CreatePartitions(items), validate_only=validate_only)
        return {growth.name: result for growth, result in zip(growths, results, strict=True)}

    async def alter_configs(
        self, edits: Sequence[ConfigEdit], *, validate_only: bool = False
    ) -> dict[str, TopicState | RequestError]:
        """Change topics' configs. Returns: for each name the topic, or why it is refused."""
        event = AlterConfigs(tuple(edits), self._checks.topic)
        results = await self._ask(event, validate_only=validate_only)
        return {edit.name: result for edit, result in zip(edits, results, strict=True)}

    async def alter_broker_configs(
        self, edits: Sequence[ConfigEdit], *, validate_only: bool = False
    ) -> dict[str, RequestError | None]:
        """Change what brokers are given at run time. Returns: for each name None or a refusal."""
        event = AlterBrokerConfigs(tuple(edits), self._checks.broker)
        results = await self._decide(event, validate_only=validate_only)
        outcomes = (result if isinstance(result, RequestError) else None for result in results)
        return {edit.name: outcome for edit, outcome in zip(edits, outcomes, strict=True)}

    async def alter_partitions(
        self, broker_id: int, broker_epoch: int, changes: Sequence[IsrChange]
    ) -> list[PartitionState | RequestError]:
        """Change in-sync replicas as a leader proposes; the results are in the proposals' order.

        Raises: StaleBrokerEpoch.
        """
        event = AlterPartitions(
            broker_id=broker_id, broker_epoch=broker_epoch, items=tuple(changes)
        )
        results = await self._ask(event)
        return [
            result if isinstance(result, RequestError) else result.partitions[change.partition]
            for change, result in zip(changes, results, strict=True)
        ]

    async def alter_reassignments(
        self, reassignments: Sequence[Reassignment]
    ) -> list[PartitionState | RequestError]:
        """Send partitions to other replicas, or back; the results are in the order asked."""
        results = await self._ask(AlterReassignments(tuple(reassignments)))
        return [
            result if isinstance(result, RequestError) else result.partitions[item.partition]
            for item, result in zip(reassignments, results, strict=True)
        ]

    async def elect_leaders(
        self, partitions: Iterable[tuple[str, int]] | None, *, unclean: bool = False
    ) -> dict[tuple[str, int], PartitionState | RequestError]:
        """Have leaders elected: the preferred ones, or with `unclean` any where there is none.

        None asks for all partitions that are not led as wanted. A leader that is there hands over
        first: the state returned names its successor. See `ElectLeaders`.
        """
        if partitions is None:
            partitions = [
                (topic.name, index)
                for topic in self._watcher.state.topics.values()
                for index, partition in enumerate(topic.partitions)
                if (
                    partition.leader_id == NO_LEADER
                    if unclean
                    else partition.leader_id != partition.replicas[0]
                )
            ]
        items = tuple(dict.fromkeys(partitions))
        results = await self._ask(ElectLeaders(items, unclean=unclean))
        return {
            item: result if isinstance(result, RequestError) else result.partitions[item[1]]
            for item, result in zip(items, results, strict=True)
        }

    async def controlled_shutdown(
        self, broker_id: int, broker_epoch: int
    ) -> tuple[tuple[str, int], ...]:
        """Hand over what a broker leads. Returns: the partitions that nobody else could take.

        Raises: StaleBrokerEpoch.
        """
        await self._submit(Request(ShutDownBroker(broker_id=broker_id, broker_epoch=broker_epoch)))
        return partitions_led(self._watcher.state, broker_id)

    async def _ask(
        self, event: Itemised, *, validate_only: bool = False
    ) -> list[TopicState | RequestError]:
        results = await self._decide(event, validate_only=validate_only)
        assert None not in results, "every item has a result"
        return [result for result in results if result is not None]

    async def _decide(
        self, event: Itemised, *, validate_only: bool
    ) -> list[TopicState | RequestError | None]:
        request = Request(event)
        if validate_only:
            self._office_held()
            trial = Round(self._watcher.state)
            request.decide_in(trial)
            request.finish(trial, failed=())
        else:
            await self._submit(request)
        return request.results

    async def _submit(self, request: Request) -> None:
        self._office_held().submit(request)
        await request.done.wait()
        if request.refusal is not None:
            raise request.refusal

    def _office_held(self) -> Office:
        if self._office is None:
            known_id = self._watcher.state.controller_id
            raise NotController(
                controller_id=NO_CONTROLLER if known_id == self._broker_id else known_id
            )
        return self._office

    def _new_topic_id(self) -> bytes:
        """Make a random UUID (version 4), as Kafka's topic ids are."""
        drawn = bytearray(self._random_bytes(16))
        drawn[6] = drawn[6] & 0x0F | 0x40
        drawn[8] = drawn[8] & 0x3F | 0x80
        return bytes(drawn)

    def _random_start(self) -> int:
        return int.from_bytes(self._random_bytes(4))

    async def _serve(self, term: Term) -> None:
        """Hold the office until the term is over. Raises: SessionLost."""
        await self._watcher.reread([paths.CONTROLLER, paths.CONFIG])
        # What the controller before us wrote last must be known: where a registration is settled
        # in all topics but those, a replica that lost its log would stay in sync there.
        await self._watcher.wait_complete()
        log = log_events.bind(broker_id=self._broker_id, controller_epoch=term.controller_epoch)
        log.info("controller_elected", topics=len(self._watcher.state.topics))
        self._office = Office(
            self._store,
            self._watcher,
            term,
            broker_id=self._broker_id,
            rebalances=self._rebalances,
        )
        try:
            await self._office.serve()
        finally:
            self._office.close()
            self._office = None
            log.info("controller_resigned")

    async def _end_with_session(self, candidacy: trio.CancelScope) -> None:
        await self._store.wait_lost()
        candidacy.cancel()

    async def _follow_watcher(self) -> None:
        state = self._watcher.state
        while True:
            state = await self._watcher.wait_changed(state)
            if self._office is not None:
                self._office.wake()
