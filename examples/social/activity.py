"""People who post and like without end: what they do next, and the loop that has them do it.

Must never know: records, brokers; they use the page's endpoints as everybody does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import httpx
import structlog
import trio

from .people import PEOPLE, VISITOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .stage import Stage

log_events = structlog.get_logger()

T = TypeVar("T")

ACTIONS_PER_S: Final = 4.0
ANSWER_WITHIN_S: Final = 30.0
POSTS_SHARE: Final = 0.25
MESSAGES_SHARE: Final = 0.06
ACTIVE: Final = tuple(name for name in PEOPLE if name != VISITOR)
TEXTS: Final = (
    "Coffee first, then the backlog. #monday",
    "Saw a heron by the canal this morning #birds #walks",
    "My sourdough has opinions. #baking",
    "Anyone up for the late film on Friday? #cinema",
    "Three hills, two punctures, one good day #cycling",
    "Reading Kafka's letters to Ottla again #books",
    "The tomatoes are finally red #garden",
    "Rain on the roof, tea on the stove #weather",
    "Found the bug. It was a comma. #code",
    "New strings, old songs #music",
    "Night train to Prague! #travel",
    "The cat has learnt to open the fridge #cats",
)
MESSAGES: Final = ("Lunch tomorrow?", "Did you see that?", "Call me later.", "Thank you!")


class Random(Protocol):
    """Where chance comes from."""

    def random(self) -> float:
        """Give a number of [0, 1)."""
        ...

    def choice(self, seq: Sequence[T], /) -> T:
        """Give one of them."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody does: an endpoint and what is sent there."""

    path: str
    fields: dict[str, Any]


def next_request(random: Random, posts: Sequence[dict[str, Any]]) -> Request:
    """Decide what happens next, among people who see `posts`, the newest first."""
    user = random.choice(ACTIVE)
    chance = random.random()
    others = [post for post in posts if post["author"] != user]
    if chance < MESSAGES_SHARE:
        to = random.choice([name for name in ACTIVE if name != user])
        return Request("/api/messages", {"user": user, "to": to, "text": random.choice(MESSAGES)})
    if chance < MESSAGES_SHARE + POSTS_SHARE or not others:
        return Request("/api/posts", {"user": user, "text": random.choice(TEXTS)})
    # The newer a post, the likelier it is liked: some trend.
    liked = others[int(random.random() ** 2 * len(others))]
    return Request("/api/likes", {"user": user, "post_id": liked["post_id"]})


async def run_activity(url: str, stage: Stage, random: Random) -> None:
    """Have people do things at the page of `url`, a few each second, until cancelled."""
    done = 0
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_WITHIN_S, trust_env=False) as http:
        while True:
            await trio.sleep(random.random() * 2 / ACTIONS_PER_S)
            try:
                posts = (await http.get("/api/posts")).json()
                request = next_request(random, posts)
                answer = await http.post(request.path, json=request.fields)
            except (httpx.HTTPError, ValueError) as error:
                log_events.warning("page_unreachable", why=repr(error))
                await trio.sleep(1.0)
                continue
            if answer.is_success:
                done += 1
                await stage.tell(records=done)
            else:
                log_events.warning("refused", status=answer.status_code, why=answer.text)
