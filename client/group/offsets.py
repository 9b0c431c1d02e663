"""Committing offsets and looking up committed ones, for as long as it takes.

Commits go out one at a time, in the order in which they were asked for, so that a repeated one
never undoes a later one.
Must never know: positions, when to commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from client.cluster import UNKNOWN_TOPIC_GRACE_S
from client.errors import CommitFailed, ConnectionBroken, MemberFenced, UnknownTopic, refusal
from client.group.requests import commit_codes, commit_request, fetch_request, fetched_offsets
from client.group.verdicts import Verdict, verdict_on
from client.records import OffsetAndMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from client.cluster import Cluster
    from client.group.broker import GroupBroker
    from client.group.committer import Committer

REFUSALS: Final = {
    ErrorCode.UNKNOWN_MEMBER_ID: "the group has members, and only they may commit",
    ErrorCode.OFFSET_METADATA_TOO_LARGE: "the metadata are longer than the broker keeps",
}
"""What to tell of refusals to which brokers add no sentence."""

Committed = OffsetAndMetadata | None
"""A committed offset, None where there is none."""


class GroupOffsets:
    """The committed offsets of one group."""

    def __init__(self, cluster: Cluster, broker: GroupBroker) -> None:
        self._cluster = cluster
        self._broker = broker
        self._one_at_a_time = trio.Lock()

    async def commit(
        self,
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        committer: Committer,
        *,
        is_held: Callable[[TopicPartition], bool] = lambda _: True,
    ) -> None:
        """Commit offsets; a rebalance that is under way is waited for.

        What is not `is_held` any more may be another member's, and is not committed.
        Raises: CommitFailed, MemberFenced, UnknownTopic, RequestError, UnsupportedApi.
        """
        losses = committer.losses
        left, given_up = dict(offsets), False
        backoff = self._cluster.backoff()
        started_at = trio.current_time()
        async with self._one_at_a_time:
            while left:
                if committer.losses != losses or not committer.may_commit:
                    raise CommitFailed(self._broker.group_id, committer.loss)
                held = {place: at for place, at in left.items() if is_held(place)}
                given_up |= len(held) < len(left)
                left = held
                if not left:
                    break
                believed_unknown = trio.current_time() - started_at >= UNKNOWN_TOPIC_GRACE_S
                verdicts = await self._try(left, committer, believe_unknown=believed_unknown)
                if Verdict.REJOIN in verdicts or Verdict.STALE in verdicts:
                    await committer.wait_settled()
                if left and committer.may_commit:
                    await trio.sleep(backoff.next_s())
        if given_up:
            raise CommitFailed(self._broker.group_id, "its partitions were given up meanwhile")

    async def fetch(
        self, places: Collection[TopicPartition]
    ) -> dict[TopicPartition, Committed | RequestError]:
        """Look up committed offsets; an error stands for a partition that is refused.

        Raises: RequestError where the group is refused, UnsupportedApi.
        """
        found: dict[TopicPartition, Committed | RequestError] = {}
        backoff = self._cluster.backoff()
        while missing := [place for place in places if place not in found]:
            await self._try_fetch(missing, found)
            if len(found) < len(places):
                await trio.sleep(backoff.next_s())
        return found

    async def _try(
        self,
        left: dict[TopicPartition, OffsetAndMetadata],
        committer: Committer,
        *,
        believe_unknown: bool,
    ) -> set[Verdict]:
        """Ask once and take out of `left` what was committed."""
        asked_as = committer.identity
        try:
            answer = await self._broker.ask(lambda _: commit_request(asked_as, left))
        except ConnectionBroken:
            return set()
        codes = commit_codes(answer)
        verdicts = set()
        for place in sorted(left):
            code = codes.get(place, ErrorCode.UNKNOWN_SERVER_ERROR)
            verdict = committer.answered(ApiKey.OFFSET_COMMIT, code, asked_as=asked_as)
            verdicts.add(verdict)
            if verdict is Verdict.DONE:
                del left[place]
            elif code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and believe_unknown:
                raise UnknownTopic(*place)
            elif verdict is Verdict.ELSEWHERE:
                self._broker.forget()
            elif verdict is Verdict.FENCED:
                raise MemberFenced(asked_as.group_id, asked_as.group_instance_id)
            elif verdict is Verdict.REFUSED:
                what = f"committing an offset of {place} for group {asked_as.group_id!r}"
                raise refusal(code, what, detail=REFUSALS.get(code))
        return verdicts

    async def _try_fetch(
        self,
        missing: list[TopicPartition],
        found: dict[TopicPartition, Committed | RequestError],
    ) -> None:
        group_id = self._broker.group_id
        try:
            answer = await self._broker.ask(
                lambda connection: fetch_request(connection, group_id, missing)
            )
        except ConnectionBroken:
            return
        code, offsets = fetched_offsets(answer)
        match verdict_on(ApiKey.OFFSET_FETCH, code):
            case Verdict.ELSEWHERE:
                self._broker.forget()
            case Verdict.REFUSED:
                raise refusal(code, f"committed offsets of group {group_id!r}")
            case Verdict.DONE:
                for place in missing:
                    told = offsets.get(place, ErrorCode.UNKNOWN_SERVER_ERROR)
                    if not isinstance(told, ErrorCode):
                        found[place] = told
                    elif verdict_on(ApiKey.OFFSET_FETCH, told) is Verdict.REFUSED:
                        found[place] = refusal(told, f"the committed offset of {place}")
