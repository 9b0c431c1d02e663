"""What to say where a cluster refuses what was asked: all causes in one line, one next step.

Must never know: any particular command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from commands.failure import CommandFailed
from commands.session import run_client
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

T = TypeVar("T")

CAUSES_MAX: Final = 3
"""So many refusals are told; a topic may have thousands of partitions."""


WORDS: Final = {
    ErrorCode.GROUP_ID_NOT_FOUND: "there is no such group",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "a member of the group reads it",
    ErrorCode.NON_EMPTY_GROUP: "the group has members",
    ErrorCode.UNKNOWN_MEMBER_ID: "the group has members",
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "there is no such topic or partition",
}
"""What codes mean, where the broker adds no sentence of its own."""

_KAFKAS_OPTION: Final = "(--entity-default)"
_OUR_COMMAND: Final = "('ottla config alter brokers')"


def explain(error: RequestError) -> str:
    """Say in words why something was refused, and by this command line's names."""
    text = str(error).replace(_KAFKAS_OPTION, _OUR_COMMAND)
    code = error.code.name
    if error.code in WORDS and text.endswith(f": {code}"):
        return f"{text.removesuffix(code)}{WORDS[error.code]} ({code})"
    return text


def run_explaining(main: Callable[[], Awaitable[T]], next_steps: Mapping[ErrorCode, str]) -> T:
    """Run an async function to its end; a refusal gets its next step.

    Raises: what `run_client` raises, CommandFailed.
    """
    try:
        return run_client(main)
    except RequestError as error:
        raise CommandFailed(explain(error), next_step=next_steps.get(error.code, "")) from error


def require_none_refused(
    errors: Iterable[RequestError | None], next_steps: Mapping[ErrorCode, str]
) -> None:
    """Raise one error for all refusals, with the next step for the first. Raises: CommandFailed."""
    refused = [error for error in errors if error is not None]
    if refused:
        causes = "; ".join(map(explain, refused[:CAUSES_MAX]))
        if len(refused) > CAUSES_MAX:
            causes += f"; and {len(refused) - CAUSES_MAX:,} more"
        raise CommandFailed(causes, next_step=next_steps.get(refused[0].code, ""))
