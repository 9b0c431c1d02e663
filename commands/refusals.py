"""What to say where a cluster refuses what was asked: all causes in one line, one next step.

Must never know: any particular command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.failure import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from protocol.errors import ErrorCode, RequestError


def require_none_refused(
    errors: Iterable[RequestError | None], next_steps: Mapping[ErrorCode, str]
) -> None:
    """Raise one error for all refusals, with the next step for the first. Raises: CommandFailed."""
    refused = [error for error in errors if error is not None]
    if refused:
        causes = "; ".join(map(str, refused))
        raise CommandFailed(causes, next_step=next_steps.get(refused[0].code, ""))
