"""One fetch of some assigned partitions: what its request names, and whose its answers are.

Must never know: connections, what is done with the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.fetch_session import FetchedTopic
from client.metadata import NO_TOPIC_ID
from client.records import TopicPartition
from protocol.api.fetch import FetchPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from client.assignment import PartitionState
    from client.fetch_session import FetchSessionHandler
    from client.metadata import Metadata
    from protocol.api.fetch import FetchRequest, FetchResponse, PartitionData


class AssignedFetch:
    """A fetch from one leader, as part of a session with it."""

    def __init__(
        self, states: list[PartitionState], metadata: Metadata, session: FetchSessionHandler
    ) -> None:
        self.session = session
        self.leader_epochs: dict[PartitionState, int] = {}
        self._seeks = {state: state.seeks for state in states}
        self._topics: dict[str, FetchedTopic] = {}
        self._topic_names: dict[bytes, str] = {}
        self._by_place = {state.place: state for state in states}
        for state in states:
            info = metadata.topics[state.place.topic]
            self.leader_epochs[state] = info.partitions[state.place.partition].leader_epoch
            self._topics[info.name] = FetchedTopic(info.name, info.topic_id)
            self._topic_names[info.topic_id] = info.name

    @property
    def states(self) -> Iterable[PartitionState]:
        """The partitions that are fetched."""
        return self.leader_epochs

    @property
    def knows_topic_ids(self) -> bool:
        """Whether every topic can be named by its id."""
        return NO_TOPIC_ID not in self._topic_names

    def name_in(self, request: FetchRequest, *, by_id: bool, partition_bytes_max: int) -> None:
        """Have the request name the partitions, as far as the broker does not know of them."""
        asked = {}
        for state, leader_epoch in self.leader_epochs.items():
            topic = self._topics[state.place.topic]
            if not by_id:
                topic = FetchedTopic(topic.name)
            asked[topic, state.place.partition] = FetchPartition(
                partition=state.place.partition,
                current_leader_epoch=leader_epoch,
                fetch_offset=state.fetch_offset or 0,
                partition_max_bytes=partition_bytes_max,
            )
        self.session.go_by(topic_ids=by_id)
        self.session.want_only(asked)
        self.session.name(request)

    def answers(self, response: FetchResponse) -> Iterator[tuple[PartitionState, PartitionData]]:
        """Iterate over the answers for partitions that still want what was asked for."""
        for topic in response.responses:
            name = topic.topic or self._topic_names.get(topic.topic_id, "")
            for answer in topic.partitions:
                state = self._by_place.get(TopicPartition(name, answer.partition_index))
                if state is not None and state.seeks == self._seeks[state]:
                    yield state, answer
