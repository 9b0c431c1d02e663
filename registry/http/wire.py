"""What every request and answer has in common: media types, bodies, parameters, errors.

Must never know: which endpoints there are.
Source: Schema Registry API reference, "Content Types" and "Errors".
"""

from __future__ import annotations

import json
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from starlette.responses import Response

from registry.errors import LATEST, BadRequest, InvalidVersion, RegistryError
from registry.names import normal
from registry.records import check_surrogates

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
ANSWERED: Final = (MEDIA_TYPE, "application/vnd.schemaregistry+json", "application/json")
ACCEPTED: Final = frozenset({*ANSWERED, "application/octet-stream", ""})
BODY_BYTES_MAX: Final = 8 << 20
_BODY: Final = "ottla.body"
VERSION_MAX: Final = 2**31 - 1
LATEST_NUMBERS: Final = frozenset({LATEST, "-1"})


class NotAcceptable(RegistryError):
    """No media type that the client accepts can be answered."""

    code = 406


class UnsupportedMediaType(RegistryError):
    """The body has a media type that is not understood."""

    code = 415


class BodyTooLarge(RegistryError):
    """A body is longer than any schema may be."""

    code = 413


def answer(value: Any, media_type: str = MEDIA_TYPE, *, status: int = 200) -> Response:
    """Make a response of a value."""
    content = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(content, status, media_type=media_type)


def refusal(error: RegistryError, media_type: str = MEDIA_TYPE) -> Response:
    """Make the response that says what was refused, and why."""
    told = {"error_code": error.code, "message": str(error)}
    return answer(told, media_type, status=error.status)


def media_type_for(request: Request) -> str:
    """Choose the media type of the answer. Raises: NotAcceptable."""
    asked = request.headers.get("accept", "")
    ranges = [each.split(";")[0].strip().lower() for each in asked.split(",")]
    if not asked or any(each in ("*/*", "application/*") for each in ranges):
        return next((each for each in ranges if each in ANSWERED), MEDIA_TYPE)
    for each in ranges:
        if each in ANSWERED:
            return each
    raise NotAcceptable(f"{asked} cannot be answered: accept one of {', '.join(ANSWERED)}")


async def read_body(request: Request) -> bytes:
    """Read a body of bounded length, as often as it is wanted.

    Raises: BodyTooLarge, UnsupportedMediaType.
    """
    if (read_before := request.scope.get(_BODY)) is not None:
        kept: bytes = read_before
        return kept
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ACCEPTED:
        raise UnsupportedMediaType(f"{kind} is not understood: send one of {', '.join(ANSWERED)}")
    chunks: list[bytes] = []
    size = 0
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise BodyTooLarge(f"The body has more than the {BODY_BYTES_MAX} bytes accepted")
            chunks.append(chunk)
    body = b"".join(chunks)
    request.scope[_BODY] = body
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """Read a body that has to be a JSON object. Raises: BadRequest."""
    try:
        value = json.loads(body, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f"The body has to be a JSON object, it is a {type(value).__name__}")
    try:
        check_surrogates(body, value)
    except UnicodeEncodeError as error:
        raise BadRequest(f"The body holds half of a surrogate pair: {error}") from error
    return value


def _finite(digits: str) -> float:
    """Refuse what Python reads as a number, and JSON has no way to write. Raises: ValueError."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number, or too large a one")
    return number


def text(value: dict[str, Any], name: str, *, needed: bool = False) -> str | None:
    """Take a text out of a body. Raises: BadRequest."""
    found = value.get(name)
    if found is None and not needed:
        return None
    if not isinstance(found, str):
        raise BadRequest(f'"{name}" has to be a string, it is {json.dumps(found)[:100]}')
    return found


def integer(value: dict[str, Any], name: str) -> int | None:
    """Take a whole number out of a body. Raises: BadRequest."""
    found = value.get(name)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) > VERSION_MAX:
        raise BadRequest(f'"{name}" has to be a number, it is {json.dumps(found)[:100]}')
    return found


def flag(request: Request, name: str, *, default: bool = False) -> bool:
    """Read a parameter that is true or false. Raises: BadRequest."""
    given = request.query_params.get(name)
    if given is None or given == "":
        return default
    if given.lower() not in ("true", "false"):
        raise BadRequest(f'Parameter {name} has to be "true" or "false", it is "{given}"')
    return given.lower() == "true"


def number(request: Request, name: str, default: int) -> int:
    """Read a parameter that is a whole number. Raises: BadRequest."""
    given = request.query_params.get(name)
    if given is None or given == "":
        return default
    try:
        return int(given)
    except ValueError as error:
        raise BadRequest(f'Parameter {name} has to be a number, it is "{given}"') from error


def subject_of(request: Request, name: str = "subject") -> str:
    """Read the subject in a path; slashes in it are percent-encoded. Raises: InvalidSubject."""
    return normal(unquote(request.path_params[name]))


def version_of(request: Request) -> int | None:
    """Read the version in a path: its number, None for the latest one. Raises: InvalidVersion."""
    given = request.path_params["version"]
    if given in LATEST_NUMBERS:
        return None
    try:
        version = int(given)
    except ValueError as error:
        raise InvalidVersion(given) from error
    if not 1 <= version <= VERSION_MAX:
        raise InvalidVersion(given)
    return version


def page(request: Request, values: list[Any]) -> list[Any]:
    """Cut out what `offset` and `limit` ask for."""
    start = max(0, number(request, "offset", 0))
    limit = number(request, "limit", -1)
    return values[start:] if limit < 0 else values[start : start + limit]
