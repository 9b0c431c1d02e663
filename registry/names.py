"""Subjects and the contexts that they are in.

`:.sales:orders-value` is the subject `orders-value` in the context `.sales`; without such a prefix
a subject is in the default context `.`. Ids of schemas count within a context.
Must never know: what is registered under a name.
Source: Schema Registry documentation, "Schema Contexts".
"""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.errors import InvalidSubject

DEFAULT_CONTEXT: Final = "."
ALL_CONTEXTS: Final = ":*:"
"""As a prefix of subjects: those of every context."""

NAME_CHARACTERS_MAX: Final = 1_024


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
    """Take a subject's name apart. Raises: InvalidSubject."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise InvalidSubject(name[:40] + "...", f"longer than {NAME_CHARACTERS_MAX} characters")
    if any(not character.isprintable() for character in name):
        raise InvalidSubject(name, "it holds control characters")
    if not name.startswith(":."):
        return SubjectName(DEFAULT_CONTEXT, name)
    context, colon, subject = name[1:].partition(":")
    if not colon:
        raise InvalidSubject(name, f"a colon has to follow the context {context}")
    return SubjectName(context, subject)


def within(parent: str, name: str) -> str:
    """Write out a name that a subject's schema refers to: in that subject's context, unless said.

    Raises: InvalidSubject.
    """
    if name.startswith(":."):
        return normal(name)
    return str(SubjectName(split(parent).context, name))


def normal(name: str) -> str:
    """Write a subject's name in the one way that it is stored by. Raises: InvalidSubject."""
    return str(split(name))


def subject_to_register(name: str) -> str:
    """Check a name under which something is to be stored. Raises: InvalidSubject."""
    split_name = split(name)
    if not split_name.subject or split_name.subject in ("__GLOBAL", "__EMPTY"):
        raise InvalidSubject(name, "this name is empty or reserved")
    return str(split_name)
