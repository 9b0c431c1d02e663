"""Which settings there are: refusing names that are none, or fixed, before they are unset.

A cluster that is told to unset what it does not know, or what nobody can have set there, has
nothing to do, and says that it is done.
Must never know: particular settings, where they are kept.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from client.descriptions import ALL_BROKERS, ResourceType
from commands.failure import CommandFailed
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client.admin import Admin

ALL_OF_A_TOPIC: Final = "see those of any topic with 'ottla config describe topic TOPIC --all'"
ALL_OF_A_BROKER: Final = "see all with 'ottla config describe broker N --all', N a broker's id"


def next_steps(kind: ResourceType) -> dict[ErrorCode, str]:
    """Give what to do about refusals of settings to which the broker does not say it."""
    see = ALL_OF_A_TOPIC if kind is ResourceType.TOPIC else ALL_OF_A_BROKER
    return {
        ErrorCode.INVALID_CONFIG: see,
        ErrorCode.INVALID_REQUEST: see,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "see what there is with 'ottla topic list'",
    }


async def require_alterable(
    admin: Admin, kind: ResourceType, name: str, keys: Iterable[str]
) -> None:
    """Refuse names that are not settings of a topic, a broker or ALL_BROKERS, or fixed ones.

    Raises: CommandFailed, RequestError, ConnectionBroken, NoBrokerReachable.
    """
    asked = list(keys)
    if not asked:
        return
    entries = await admin.describe_configs(kind, name)
    if kind is ResourceType.BROKER and name == ALL_BROKERS:  # of those only what is set is listed
        anyone = (await admin.describe_cluster()).brokers[0]
        entries += await admin.describe_configs(kind, str(anyone.broker_id))
    known = {entry.name: entry for entry in entries}
    for key in asked:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            whose = f"topic {name}" if kind is ResourceType.TOPIC else "brokers"
            raise CommandFailed(
                f"{key} is not a setting of {whose}{hint}",
                next_step=next_steps(kind)[ErrorCode.INVALID_CONFIG],
            )
        if known[key].read_only:
            raise CommandFailed(
                f"{key} does not change while a broker runs",
                next_step="set it in the broker's file or with --set, and start it again",
            )
