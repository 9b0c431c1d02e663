"""The batches of one partition: open, ready, in flight; their order and sequence numbers.

The order of sending is the order of the log. When one batch must be sent again, those sent after it
are awaited first, and then all go again in their old order under their old sequence numbers, so
that the broker can tell what it has already. When a batch fails that had a sequence number, nobody
can say what the broker expects next: the partition goes on under a new producer id, and batches
behind it whose own fate is unknown fail too, because sending them again could double them.
Must never know: connections, requests, time (it is told).
Source: KIP-98 (idempotence), KIP-360.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from client.delivery import Batch, next_sequence
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from client.backoff import Backoff
    from client.identity import ProducerIdentity
    from client.records import TopicPartition


class SequenceLost(OttlaError):
    """A batch failed because of one before it, whose sequence numbers were never accounted for."""

    def __init__(self) -> None:
        super().__init__("a record before it failed, and sending it again could double it")


class PartitionQueue:
    """One partition's batches. `settled` is told of each batch whose fate is known.

    `gone` says why its partition is no more, as far as is known, since `gone_at` (trio's clock).
    """

    def __init__(
        self,
        place: TopicPartition,
        *,
        in_flight_max: int,
        backoff: Backoff,
        settled: Callable[[Batch], None],
    ) -> None:
        self.place = place
        self.open: Batch | None = None
        self.broker_id = -1
        self.retry_at = 0.0
        self.gone: OttlaError | None = None
        self.gone_at = 0.0
        self.identity: ProducerIdentity | None = None
        self.spent_identity: ProducerIdentity | None = None
        self._in_flight_max = in_flight_max
        self._backoff = backoff
        self._settled = settled
        self._ready: deque[Batch] = deque()
        self._in_flight: list[Batch] = []
        self._unanswered: set[Batch] = set()
        self._next_sequence = 0
        self._draining = False
        self._sequence_lost = False
        self._known_to_broker = False

    @property
    def is_idle(self) -> bool:
        """Say whether it holds no batch at all."""
        return self.open is None and not self._ready and not self._in_flight

    @property
    def has_ready(self) -> bool:
        """Say whether a batch waits to be sent (it may have to wait longer)."""
        return bool(self._ready)

    @property
    def in_flight(self) -> int:
        """Count the batches sent and not settled."""
        return len(self._in_flight)

    @property
    def may_send(self) -> bool:
        """Say whether there is a batch that order and the window in flight allow to send now."""
        if self._draining or not self._ready:
            return False
        # A broker recognizes its last five batches. A batch that it may have already must stay
        # among them, so nothing new is sent until all that goes again is settled.
        if self._ready[0].last_error is None and any(
            batch.last_error is not None for batch in self._in_flight
        ):
            return False
        # A broker takes any sequence number from a producer id that it does not know. So the first
        # batch goes alone: were it refused, the second would be taken, and the first never again.
        window = self._in_flight_max if self._known_to_broker else 1
        return len(self._in_flight) < window

    def batches(self) -> Iterator[Batch]:
        """Iterate over all batches, in order."""
        yield from self._in_flight
        yield from self._ready
        if self.open is not None:
            yield self.open

    def close_open(self) -> None:
        """Take no more records into the open batch; one that was opened in vain is dropped."""
        if self.open is not None:
            if len(self.open):
                self._ready.append(self.open)
            self.open = None

    def adopt(self, identity: ProducerIdentity) -> None:
        """Go on under a producer id that this partition has never used."""
        self.identity = identity
        self._next_sequence = 0
        self._known_to_broker = False

    def next_size(self) -> int:
        """Return the size of the batch that `take` would return."""
        return self._ready[0].size_bytes

    def take(self, broker_id: int) -> Batch:
        """Take the next batch to send it to a broker, numbered if it is not."""
        batch = self._ready.popleft()
        if self.identity is not None and batch.identity is None:
            batch.identity = self.identity
            batch.base_sequence = self._next_sequence
            self._next_sequence = next_sequence(self._next_sequence, len(batch))
        self.broker_id = broker_id
        self._in_flight.append(batch)
        self._unanswered.add(batch)
        return batch

    def complete(self, batch: Batch, *, base_offset: int, log_append_time_ms: int) -> None:
        """Settle a batch in flight as written."""
        if batch.done:
            return
        self._backoff.reset()
        self._known_to_broker = True
        self._remove(batch)
        batch.complete(base_offset, log_append_time_ms)
        self._settled(batch)
        self._end_draining()

    def retry(self, batch: Batch, cause: OttlaError, *, in_doubt: bool, now: float) -> None:
        """Send a batch in flight again, once those sent after it are answered."""
        if batch.done:
            return
        if not self._draining or now >= self.retry_at:
            self.retry_at = now + self._backoff.next_s()
        batch.last_error = cause
        batch.in_doubt = batch.in_doubt or in_doubt
        self._unanswered.discard(batch)
        self._draining = True
        self._end_draining()

    def split(self, batch: Batch) -> None:
        """Send a refused batch again as two."""
        if batch.done:
            return
        position = self._in_flight.index(batch)
        self._unanswered.discard(batch)
        self._in_flight[position : position + 1] = batch.split()
        self._draining = True
        self._end_draining()

    def is_unanswered(self, batch: Batch) -> bool:
        """Say whether a broker has the batch and owes an answer."""
        return batch in self._unanswered

    def is_behind(self, batch: Batch) -> bool:
        """Say whether a batch before this one is unsettled, or has failed and left a gap."""
        return self._sequence_lost or self._in_flight[:1] != [batch]

    def fail(self, batch: Batch, cause: OttlaError) -> None:
        """Settle any batch as failed."""
        if batch.done:
            return
        if batch is self.open:
            self.open = None
        elif batch in self._in_flight:
            self._remove(batch)
        else:
            self._ready.remove(batch)
        if batch.identity is not None:
            self._sequence_lost = True
            self._draining = True
        batch.fail(cause)
        self._settled(batch)
        self._end_draining()

    def expired(self, opened_before: float) -> list[Batch]:
        """List the batches that are too old and not with a broker at the moment."""
        return [
            batch
            for batch in self.batches()
            if batch.opened_at <= opened_before and batch not in self._unanswered
        ]

    def _remove(self, batch: Batch) -> None:
        self._in_flight.remove(batch)
        self._unanswered.discard(batch)

    def _end_draining(self) -> None:
        """Once every batch in flight is answered, line up those to be sent again."""
        if not self._draining or self._unanswered:
            return
        self._ready.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._draining = False
        if self._sequence_lost:
            self._sequence_lost = False
            self._renumber()

    def _renumber(self) -> None:
        self.spent_identity, self.identity = self.identity, None
        for batch in list(self._ready):
            if batch.identity is None:
                continue
            if batch.in_doubt:
                self._ready.remove(batch)
                batch.fail(self.gone or SequenceLost())
                self._settled(batch)
            else:
                batch.identity = None
                batch.base_sequence = -1
