"""What a topic may be named. Source: Kafka's `Topic.validate`.

Must never know: which topics there are, the two names that directories have taken.
"""

from __future__ import annotations

import re
from typing import Final

NAME_CHARACTERS_MAX: Final = 249
NAME_RULE: Final = f"a name has 1 to {NAME_CHARACTERS_MAX} letters, digits, '.', '_' and '-'"

_CHARACTERS: Final = re.compile(r"[a-zA-Z0-9._-]+")


def has_legal_characters(name: str) -> bool:
    """Say whether a name is of the characters that it may have, one at least."""
    return _CHARACTERS.fullmatch(name) is not None


def is_topic_name(name: str) -> bool:
    """Say whether there can be a topic of that name, but for '.' and '..'."""
    return len(name) <= NAME_CHARACTERS_MAX and has_legal_characters(name)
