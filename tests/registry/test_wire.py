"""Bodies and paths of requests, before any endpoint sees them."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from registry.errors import BadRequest
from registry.http.contexts import without_context
from registry.http.wire import BODY_BYTES_MAX, BodyTooLarge, json_object, read_body


def request_of(*chunks: bytes) -> tuple[Request, list[bytes]]:
    """Make a request whose body comes in chunks. Returns: it, and the chunks not taken yet."""
    left = list(chunks)

    async def receive():
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive), left


async def test_a_body_is_read_as_often_as_it_is_wanted():
    request, _ = request_of(b"ab", b"c")

    assert [await read_body(request), await read_body(request)] == [b"abc", b"abc"]


async def test_a_body_that_is_too_long_is_refused_before_it_is_all_read():
    request, left = request_of(*[bytes(1 << 20)] * 20)

    with pytest.raises(BodyTooLarge):
        await read_body(request)

    assert len(left) == 20 - (BODY_BYTES_MAX >> 20) - 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"schema":"\\ud800"}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"metadata":{"properties":{"a":NaN}}}',
        b'{"ruleSet":[-Infinity]}',
        b'{"a":1e999}',
    ],
)
def test_a_body_that_is_no_json_object_that_can_be_stored_is_refused(body):
    with pytest.raises(BadRequest):
        json_object(body)


def test_a_whole_surrogate_pair_is_a_character():
    assert json_object(b'{"a":"\\uD83D\\uDE00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    ("path", "query", "rewritten"),
    [
        ("/subjects/a", "", ("/subjects/a", "")),
        ("/contexts", "", ("/contexts", "")),
        ("/contexts/.x/subjects/a%2Fb/versions", "", ("/subjects/%3A.x%3Aa%2Fb/versions", "")),
        ("/contexts/x/subjects/a", "deleted=true", ("/subjects/%3A.x%3Aa", "deleted=true")),
        ("/contexts/./subjects/a", "", ("/subjects/a", "")),
        ("/contexts/.x/subjects", "", ("/subjects", "subjectPrefix=%3A.x%3A")),
        ("/contexts/.x/subjects", "subjectPrefix=a", ("/subjects", "subjectPrefix=%3A.x%3Aa")),
        ("/contexts/.x/config", "", ("/config/%3A.x%3A", "")),
        ("/contexts/.x/mode/a", "force=true", ("/mode/%3A.x%3Aa", "force=true")),
        ("/contexts/.x/schemas/ids/1", "", ("/schemas/ids/1", "subject=%3A.x%3A")),
        ("/contexts/.x/schemas/ids/1", "subject=a", ("/schemas/ids/1", "subject=%3A.x%3Aa")),
        (
            "/contexts/.x/compatibility/subjects/a/versions/1",
            "",
            ("/compatibility/subjects/%3A.x%3Aa/versions/1", ""),
        ),
    ],
)
def test_a_path_below_a_context_is_the_same_endpoint_with_subjects_of_that_context(
    path, query, rewritten
):
    assert without_context(path, query) == rewritten
