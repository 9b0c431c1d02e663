""".proto source as tokens: comments dropped, one fixed layout, bounds on size and depth.

A text is measured here before it is compiled, so that no text keeps the compiler busy for long,
and every token that is not Protobuf's own is refused here.

Must never know: what the tokens mean, files, descriptors.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NESTING_MAX: Final = 30
"""Brackets of all kinds within one another. protoc gives up at 32 messages."""

STATEMENTS_MAX: Final = 10_000
"""Statements, blocks and elements of lists together: whatever the compiler may find wrong."""

COST_MAX: Final = 1 << 29
"""Statements times characters: what the compiler may have to do when all of them are wrong."""

_COLUMNS_AIM: Final = 96
_CONTINUATION: Final = "    "

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n\f\v]+)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<word>\.?[0-9](?:[eE][+-]|[0-9A-Za-z_.])*|[A-Za-z_.][A-Za-z0-9_.]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<symbol>(?!/\*)[{}()\[\]<>=;,:/+-])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENS: Final = frozenset("{([<")
_CLOSES: Final = frozenset("})]>")
_ENDS: Final = frozenset(";{,")
_CLOSING: Final = frozenset(")],;:>")
_OPENING: Final = frozenset("([<-+")
_SPACED_BEFORE_PARENTHESIS: Final = frozenset({"returns", "option", "=", ",", "]", ">", ":", ")"})
_BLOCKS: Final = frozenset({"message", "enum", "service", "extend"})


class Token(Struct, frozen=True):
    """A word, string or symbol, and where it begins in the text that it was read from."""

    text: str
    position: int


class Source(Struct, frozen=True):
    """A text in the fixed layout, and where in the original its tokens were.

    `starts` has where each token begins in `text`: line and column, from 1, a column for each
    byte of UTF-8; `places` has line and column of the same token in the original.
    """

    text: str
    starts: tuple[tuple[int, int], ...]
    places: tuple[tuple[int, int], ...]
    statements: int

    def place(self, line: int, column: int) -> str:
        """Say where in the original the token at a place of `text` was."""
        index = max(bisect_right(self.starts, (line, column)) - 1, 0)
        line, column = self.places[index] if self.places else (1, 1)
        return f"line {line}, column {column}"

    def check_cost(self) -> None:
        """Refuse what could take the compiler too long. Raises: InvalidSchema."""
        if self.statements * len(self.text) > COST_MAX:
            raise InvalidSchema(
                f"{self.statements} statements in {len(self.text)} characters are too much to "
                f"compile (their product is more than {COST_MAX}): move some of the file's types "
                "into a file that it imports"
            )


def lay_out(text: str) -> Source:
    """Bring a .proto text into the fixed layout, without its comments.

    The layout depends on the tokens alone, so that texts which differ in white space and
    comments become one.
    Raises: InvalidSchema where there is no token, or where there are too many or too deep ones.
    """
    tokens: list[Token] = []
    nesting = statements = 0
    for token in _tokens(text):
        tokens.append(token)
        nesting += (token.text in _OPENS) - (token.text in _CLOSES)
        statements += token.text in _ENDS
        if nesting > NESTING_MAX:
            raise InvalidSchema(
                f"{_where(text, token.position)}: brackets are nested more "
                f"than {NESTING_MAX} deep: move inner messages to the top level of the file"
            )
        if statements > STATEMENTS_MAX:
            raise InvalidSchema(
                f"the file has more than {STATEMENTS_MAX} statements: move some of its types "
                "into a file that it imports"
            )
    layout = _Layout()
    for token in tokens:
        layout.add(token.text)
    layout.end()
    places = tuple(_places(text, tokens))
    return Source("\n".join(layout.lines), tuple(layout.starts), places, statements)


def _tokens(text: str) -> Iterator[Token]:
    position = 1 if text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}") else 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _no_token(text, position)
        if found.lastgroup not in {"space", "comment"}:
            yield Token(found.group(), position)
        position = found.end()


def _no_token(text: str, position: int) -> InvalidSchema:
    where = _where(text, position)
    if text.startswith("/*", position):
        return InvalidSchema(f"{where}: the comment has no end: close it with '*/'")
    if text[position] in "\"'":
        return InvalidSchema(
            f"{where}: the string has no end on its line: close it with {text[position]}"
        )
    return InvalidSchema(
        f"{where}: {text[position]!a} is no part of .proto source: take it out, or put it into "
        "a string or a comment"
    )


def _where(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - start + 1}"


def _places(text: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Give line and column of each token, in one pass over the text."""
    line, start, seen = 1, 0, 0
    for token in tokens:
        breaks = text.count("\n", seen, token.position)
        if breaks:
            line += breaks
            start = text.rfind("\n", seen, token.position) + 1
        seen = token.position
        yield line, token.position - start + 1


class _Layout:
    """Lines as they grow: a statement on each, two spaces for each level."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.starts: list[tuple[int, int]] = []
        self._line: list[str] = []
        self._columns = 0
        self._bytes = 0  # of the line
        self._depth = 0  # of braces: what lines are indented by
        self._previous = ""

    def add(self, part: str) -> None:
        if self._previous == "{" and part != "}":
            self._break()
            self._depth += 1
        elif self._previous == ";" or (self._previous == "}" and part not in _CLOSING):
            self._break()
        if part == "}" and self._previous != "{":
            self._break()
            self._depth = max(self._depth - 1, 0)
        self._write(part)
        self._previous = part

    def end(self) -> None:
        self._break()
        while self.lines and not self.lines[-1]:
            self.lines.pop()

    def _write(self, part: str) -> None:
        if not self._line:
            self._begin(part)
        elif _apart(self._previous, part):
            if self._columns > _COLUMNS_AIM:
                self._finish()
                self._append("  " * self._depth + _CONTINUATION)
            else:
                self._append(" ")
        self.starts.append((len(self.lines) + 1, self._bytes + 1))
        self._append(part)

    def _begin(self, part: str) -> None:
        """Begin a statement, after an empty line where a block of the file begins."""
        if not self._depth and part in _BLOCKS and self.lines and self.lines[-1]:
            self.lines.append("")
        self._append("  " * self._depth)

    def _append(self, part: str) -> None:
        self._line.append(part)
        self._columns += len(part)
        self._bytes += len(part.encode())

    def _break(self) -> None:
        """End a statement, with an empty line where a block of the file ends."""
        if self._line and self._finish().endswith(("}", "};")) and not self._depth:
            self.lines.append("")

    def _finish(self) -> str:
        line = "".join(self._line)
        self._line.clear()
        self._columns = self._bytes = 0
        self.lines.append(line)
        return line


def _apart(previous: str, part: str) -> bool:
    """Tell whether a space stands between two tokens of one line."""
    if part == "/" or previous == "/":
        return part == previous  # two of them together would begin a comment
    if part in _CLOSING or previous in _OPENING or part == "<" or (previous + part) == "{}":
        return False
    if part == "(":
        return previous in _SPACED_BEFORE_PARENTHESIS
    return not (previous == ")" and part.startswith("."))
