"""Subjects and the contexts that they are in.

`:.sales:orders-value` is the subject `orders-value` in the context `.sales`; without such a prefix
a subject is in the default context `.`. Ids of schemas count within a context.
Must never know: what is registered under a name.
Source: Schema Registry documentation, "Schema Contexts".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from registry.errors import InvalidSubject

DEFAULT_CONTEXT: Final = "."
ALL_CONTEXTS: Final = ":*:"
"""As a prefix of subjects: those of every context."""

NAME_CHARACTERS_MAX: Final = 1_024
"""For what is stored here; other registries have no bound."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class SubjectName(NamedTuple):
    """A context and what it calls a subject; `subject` is empty for the context as a whole."""

    context: str
    subject: str

    def __str__(self) -> str:
        return f"{prefix_of(self.context)}{self.subject}"


def prefix_of(context: str) -> str:
    """Return what the names of a context's subjects begin with."""
    return "" if context == DEFAULT_CONTEXT else f":{context}:"


def split(name: str) -> SubjectName:
    """Take a subject's name apart, whatever it is.

    `:.sales` without a second colon is the context as a whole too, as in the public registry.
    """
    if not name.startswith(":."):
        return SubjectName(DEFAULT_CONTEXT, name)
    context, _, subject = name[1:].partition(":")
    return SubjectName(context, subject)


def has_control_characters(name: str) -> bool:
    """Whether a name holds what no subject may: it is all that the public registry refuses."""
    return _CONTROL.search(name) is not None


def within(parent: str, name: str) -> str:
    """Write out whom a subject's schema refers to: in that subject's context, unless said."""
    return str(split(name) if name.startswith(":.") else SubjectName(split(parent).context, name))


def normal(name: str) -> str:
    """Write a subject's name in the one way that it is stored by. Raises: InvalidSubject."""
    if has_control_characters(name):
        raise InvalidSubject(name, "it holds control characters")
    split_name = split(name)
    if name.startswith(":.") and ":" not in name[1:]:
        raise InvalidSubject(name, f"a colon has to follow the context {split_name.context}")
    return str(split_name)


def to_store(name: str) -> str:
    """Check a name under which something is to be stored. Raises: InvalidSubject."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise InvalidSubject(name[:40] + "...", f"longer than {NAME_CHARACTERS_MAX} characters")
    return normal(name)


def subject_to_register(name: str) -> str:
    """Check a name under which a schema is to be registered. Raises: InvalidSubject."""
    if split(name).subject in ("", "__GLOBAL", "__EMPTY"):
        raise InvalidSubject(name, "this name is empty or reserved")
    return to_store(name)
