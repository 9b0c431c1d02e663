"""Paths below `/contexts/(context)`: the same endpoints, with subjects of that context.

Must never know: what endpoints do.
Source: Schema Registry documentation, "Schema Contexts", "Using a context in the URL".
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from registry.names import DEFAULT_CONTEXT, prefix_of

_IN_CONTEXT: Final = re.compile(r"/contexts/([^/]+)(/.*)")
_WITH_SUBJECT: Final = re.compile(r"/(subjects|compatibility/subjects|config|mode)/([^/]+)(.*)")
_LISTING: Final = frozenset({"/subjects", "/schemas"})
_SETTINGS: Final = frozenset({"/config", "/mode"})


def without_context(path: str, query: str) -> tuple[str, str]:
    """Rewrite a path and its query so that the context is in the subject. Both are encoded.

    `/contexts/.a/subjects/b` becomes `/subjects/:.a:b`.
    """
    matched = _IN_CONTEXT.fullmatch(path)
    if matched is None:
        return path, query
    context = unquote(matched[1])
    if not context.startswith("."):
        context = f".{context}"
    prefix = prefix_of(context)
    rest = matched[2].rstrip("/") or "/"
    if context == DEFAULT_CONTEXT:
        return rest, query
    if rest in _SETTINGS:
        return f"{rest}/{quote(prefix)}", query
    if rest in _LISTING:
        return rest, _prefixed(query, "subjectPrefix", prefix)
    if named := _WITH_SUBJECT.fullmatch(rest):
        return f"/{named[1]}/{quote(prefix + unquote(named[2]), safe='')}{named[3]}", query
    return rest, _prefixed(query, "subject", prefix)


def _prefixed(query: str, name: str, prefix: str) -> str:
    given = dict(parse_qsl(query, keep_blank_values=True))
    given[name] = prefix + given.get(name, "")
    return urlencode(given)
