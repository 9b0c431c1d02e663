"""How a consumer works: its settings, and what they mean for its parts.

Must never know: the parts at work.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from client.cluster_options import METADATA_MAX_AGE_S
from client.fetcher import FetcherOptions
from client.group.assignors import assignors_named
from client.group.committing import CommitOptions
from client.group.joining import MemberOptions
from client.group.participant import GroupOptions
from client.offsets import BEGINNING, END, READ_COMMITTED, READ_UNCOMMITTED

_RESETS: Final = {"earliest": BEGINNING, "latest": END, "none": None}
_ISOLATION_LEVELS: Final = {
    "read_uncommitted": READ_UNCOMMITTED,
    "read_committed": READ_COMMITTED,
}


SECONDS_MAX: Final = 2_147_483
"""The longest time that requests about groups can name, in milliseconds of 31 bits."""


class ConsumerConfig(Struct, frozen=True, kw_only=True):
    """How a consumer works.

    - `auto_offset_reset`: where to start without a position, and where to go on when the position
      is no longer in the log; "none" raises instead.
    - `isolation`: "read_committed" leaves out records of open and aborted transactions.
    - `fetch_min_bytes`, `fetch_max_wait_ms`: how much a broker waits for, and how long.
    - `fetch_bytes_max`, `partition_bytes_max`: bounds of one response; a single batch may be
      larger. `buffer_bytes_max`: how much is fetched ahead at most.
    - `check_crc`: verify the checksum of every batch.
    - `request_timeout_s`: how long a broker may take for one request, long polls not counted.
    - `metadata_timeout_s`: how long to look for topics, leaders and offsets, and to commit.
      `metadata_max_age_s`: after how long news of topics are asked for.

    Of a consumer in a group, or one that commits for it:

    - `group_id`: the group. `group_instance_id`: makes the member static: it keeps its partitions
      through a restart shorter than the session timeout (KIP-345).
    - `session_timeout_s`: after how long without a heartbeat the group goes on without the member.
      `heartbeat_interval_s`: how often it sends one.
    - `max_poll_interval_s`: after how long without a poll the member leaves; also how long a
      rebalance waits for it.
    - `assignors`: names, in order of preference: range, roundrobin, sticky, cooperative-sticky.
      Rebalances are cooperative (members go on reading) if all of them are.
    - `enable_auto_commit`, `auto_commit_interval_s`: commit by itself what was handed out before
      the last poll.
    - `client_rack`: told to the leader of the group. The range assignor prefers partitions with a
      replica in that rack, as far as equal shares allow (KIP-881).
    """

    client_id: str = "ottla-consumer"
    auto_offset_reset: Literal["earliest", "latest", "none"] = "latest"
    isolation: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    fetch_min_bytes: int = 1
    fetch_max_wait_ms: int = 500
    fetch_bytes_max: int = 16 * 1024 * 1024
    partition_bytes_max: int = 1024 * 1024
    buffer_bytes_max: int = 32 * 1024 * 1024
    check_crc: bool = True
    request_timeout_s: float = 30.0
    metadata_timeout_s: float = 60.0
    metadata_max_age_s: float = METADATA_MAX_AGE_S
    group_id: str | None = None
    group_instance_id: str | None = None
    session_timeout_s: float = 45.0
    heartbeat_interval_s: float = 3.0
    max_poll_interval_s: float = 300.0
    assignors: tuple[str, ...] = ("range", "cooperative-sticky")
    enable_auto_commit: bool = True
    auto_commit_interval_s: float = 5.0
    client_rack: str | None = None

    def __post_init__(self) -> None:
        if self.auto_offset_reset not in _RESETS:
            raise ValueError(
                f"auto_offset_reset is {self.auto_offset_reset!r}: give one of {', '.join(_RESETS)}"
            )
        if self.isolation not in _ISOLATION_LEVELS:
            raise ValueError(
                f"isolation is {self.isolation!r}: give one of {', '.join(_ISOLATION_LEVELS)}"
            )
        assignors_named(self.assignors)
        if self.group_id == "":
            raise ValueError("group_id is empty: give a name, or None for no group")
        for name in ("heartbeat_interval_s", "max_poll_interval_s", "auto_commit_interval_s"):
            if not 0 < getattr(self, name) <= SECONDS_MAX:
                raise ValueError(
                    f"{name} is {getattr(self, name):g}: give more than 0 and at most "
                    f"{SECONDS_MAX} seconds"
                )
        if not self.heartbeat_interval_s < self.session_timeout_s <= SECONDS_MAX:
            raise ValueError(
                f"session_timeout_s is {self.session_timeout_s:g}: give more than the "
                f"{self.heartbeat_interval_s:g} s between heartbeats, best three times as much, "
                f"and at most {SECONDS_MAX}"
            )

    @property
    def reset_to(self) -> int | None:
        """Return where to start without a position: END, BEGINNING, None for nowhere."""
        return _RESETS[self.auto_offset_reset]

    @property
    def isolation_level(self) -> int:
        """Return the isolation level as requests name it."""
        return _ISOLATION_LEVELS[self.isolation]

    def fetcher_options(self) -> FetcherOptions:
        """Return what the fetcher has to know."""
        return FetcherOptions(
            min_bytes=self.fetch_min_bytes,
            max_wait_ms=self.fetch_max_wait_ms,
            fetch_bytes_max=self.fetch_bytes_max,
            partition_bytes_max=self.partition_bytes_max,
            buffer_bytes_max=self.buffer_bytes_max,
            isolation_level=self.isolation_level,
            reset_to=self.reset_to,
            request_timeout_s=self.request_timeout_s,
            metadata_timeout_s=self.metadata_timeout_s,
        )

    def group_options(self, group_id: str) -> GroupOptions:
        """Return what a participant of the group has to know."""
        return GroupOptions(
            group_id,
            self.group_instance_id,
            MemberOptions(
                session_timeout_s=self.session_timeout_s,
                heartbeat_interval_s=self.heartbeat_interval_s,
                max_poll_interval_s=self.max_poll_interval_s,
                assignors=assignors_named(self.assignors),
                rack_id=self.client_rack,
            ),
            CommitOptions(self.enable_auto_commit, self.auto_commit_interval_s),
            has_reset=self.reset_to is not None,
        )
