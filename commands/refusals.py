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


def run_explaining(main: Callable[[], Awaitable[T]], next_steps: Mapping[ErrorCode, str]) -> T:
    """Run an async function to its end; a refusal gets its next step.

    Raises: what `run_client` raises, CommandFailed.
    """
    try:
        return run_client(main)
    except RequestError as error:
        raise CommandFailed(str(error), next_step=next_steps.get(error.code, "")) from error


def require_none_refused(
    errors: Iterable[RequestError | None], next_steps: Mapping[ErrorCode, str]
) -> None:
    """Raise one error for all refusals, with the next step for the first. Raises: CommandFailed."""
    refused = [error for error in errors if error is not None]
    if refused:
        causes = "; ".join(map(str, refused[:CAUSES_MAX]))
        if len(refused) > CAUSES_MAX:
            causes += f"; and {len(refused) - CAUSES_MAX:,} more"
        raise CommandFailed(causes, next_step=next_steps.get(refused[0].code, ""))
