"""What can be configured about consumer groups, under Kafka's keys.

Must never know: where a setting comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.groups.group import GroupRules
from broker.settings import INT32_MAX, setting


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """Bounds and times of consumer groups."""

    group_initial_rebalance_delay_ms: int = setting(
        "group.initial.rebalance.delay.ms",
        3_000,
        at_most=INT32_MAX,
        doc="How long the first member of an empty group waits for others to come.",
    )
    group_min_session_timeout_ms: int = setting(
        "group.min.session.timeout.ms",
        6_000,
        at_most=INT32_MAX,
        doc="The shortest session timeout that a member may ask for.",
    )
    group_max_session_timeout_ms: int = setting(
        "group.max.session.timeout.ms",
        1_800_000,
        at_most=INT32_MAX,
        doc="The longest session timeout that a member may ask for.",
    )
    group_max_size: int = setting(
        "group.max.size", INT32_MAX, at_least=1, at_most=INT32_MAX, doc="Members of one group."
    )
    group_member_max_bytes: int = setting(
        "ottla.group.member.max.bytes",
        1_048_576,
        at_least=1_024,
        at_most=INT32_MAX,
        doc="What one member may say of itself when it joins: its subscription, in all protocols.",
    )
    offset_metadata_max_bytes: int = setting(
        "offset.metadata.max.bytes",
        4_096,
        at_most=INT32_MAX,
        doc="What may be said with a committed offset.",
    )
    offsets_retention_minutes: int = setting(
        "offsets.retention.minutes",
        10_080,
        at_least=1,
        at_most=INT32_MAX,
        doc="How long the offsets of a group without members are kept.",
    )
    offsets_retention_check_interval_ms: int = setting(
        "offsets.retention.check.interval.ms",
        600_000,
        at_least=1,
        doc="How often old offsets and groups are looked for.",
    )

    def rules(self) -> GroupRules:
        """Give what single groups have to know."""
        return GroupRules(
            initial_rebalance_delay_s=self.group_initial_rebalance_delay_ms / 1000,
            session_timeout_min_ms=self.group_min_session_timeout_ms,
            session_timeout_max_ms=self.group_max_session_timeout_ms,
            members_max=self.group_max_size,
            member_bytes_max=self.group_member_max_bytes,
        )
