"""Whether what a watch has shown is still so: asked with the force of a write.

A read may come from a server of the ensemble that is behind. A multi goes through its leader, also
one that only checks; so what it confirms is so at that moment, for everybody.
Must never know: who wants to know, what is done on the answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from coordinator import paths
from coordinator.retry import until_answered
from coordinator.store import Check, MultiFailed

if TYPE_CHECKING:
    from coordinator.cluster import TopicState
    from coordinator.store import Store


async def is_current(store: Store, topic: TopicState) -> bool:
    """Say whether the store holds this very state of a topic now. Raises: SessionLost.

    Of a topic that was deleted and created anew this may say yes by chance of its version: whoever
    asks must be able to do what he does with a deleted topic's replica too.
    """
    check = Check(paths.topic(topic.name), version=topic.version)
    try:
        await until_answered(partial(store.multi, [check]))
    except MultiFailed:
        return False
    return True
