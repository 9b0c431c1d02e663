"""The layout of .proto source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.protobuf.source import COST_MAX, NESTING_MAX, STATEMENTS_MAX, lay_out
from schemas.schema import InvalidSchema

LAID_OUT = """\
syntax = "proto3";
package shop;
import public "other.proto";
option (file_rules).strict = true;

message Order {
  map<string, Line> lines = 1 [deprecated = true, (rules) = {
    min: -1 names: ["a", "b"] inner<a: 1e-5>
  }];
  oneof payment {
    .shop.Card card = 2;
  };
  message Empty {}
  reserved 5, 7 to max;
}

service Shop {
  rpc Buy(stream Order) returns (Order);
}"""

WORDS = st.sampled_from(
    ["message", "M", "1", "-", "1e+5", ".a.b", "'x'", '"é\\""', "to", "max", "option", "returns"]
)
SYMBOLS = st.sampled_from(list("{}()[]<>=;,:/+-"))
GAPS = st.sampled_from([" ", "\n\n", "\t", " /* a\n' */ ", ' // " { \n', "\r\n"])


@given(st.lists(st.tuples(WORDS | SYMBOLS, GAPS, GAPS), max_size=60))
def test_layout_depends_on_tokens_alone(parts):
    first = lay_out("".join(token + gap for token, gap, _ in parts)).text
    second = lay_out("".join(token + gap for token, _, gap in parts)).text

    assert first == second
    assert lay_out(first).text == first


@given(st.lists(st.tuples(WORDS | SYMBOLS, GAPS), max_size=60))
def test_a_token_is_found_at_its_place_in_the_original(parts):
    original = "".join(token + gap for token, gap in parts)
    source = lay_out(original)
    lines, laid_out = original.split("\n"), source.text.encode().split(b"\n")

    assert len(source.starts) == len(parts)
    for (token, _), start, (line, column) in zip(parts, source.starts, source.places, strict=True):
        assert lines[line - 1][column - 1 :].startswith(token)
        assert laid_out[start[0] - 1][start[1] - 1 :].decode().startswith(token)
        assert source.place(*start) == f"line {line}, column {column}"


def test_the_layout_is_one_that_people_would_write():
    on_one_line = " ".join(LAID_OUT.split())

    assert lay_out(LAID_OUT).text == LAID_OUT
    assert lay_out(on_one_line).text == LAID_OUT


def test_lines_are_broken_where_they_get_long():
    text = lay_out("reserved " + ", ".join(str(number) for number in range(200)) + ";").text

    assert len(text.split("\n")) > 5
    assert all(len(line) <= 110 for line in text.split("\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("message M {\n  int32 $x = 1;\n}", "line 2, column 9: '$' is no part"),
        ("message M { /* int32 x = 1; }", "line 1, column 13: the comment has no end"),
        ('import "a.proto;\nmessage M {}', "line 1, column 8: the string has no end"),
        ("message M {}\n\n\0", "line 3, column 1: '\\x00' is no part"),
        ("message Ж {}", "line 1, column 9: '\\u0416' is no part"),
    ],
)
def test_what_is_no_token_is_refused_where_it_stands(text, said):
    with pytest.raises(InvalidSchema) as refused:
        lay_out(text)

    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "message M {" * (NESTING_MAX + 1),
        "option (a) = " + "[" * (NESTING_MAX + 1),
        ";" * (STATEMENTS_MAX + 1),
        "int32 " + "x" * (COST_MAX // 1000) + ";" * 1001,
    ],
    ids=["braces", "brackets", "statements", "characters"],
)
def test_what_is_too_much_for_the_compiler_is_told_by_its_tokens(text):
    with pytest.raises(InvalidSchema, match="move"):
        lay_out(text).check_cost()


def test_comments_of_any_number_and_depth_cost_nothing():
    assert lay_out("/* " * 100_000 + "*/" + "//" * 100_000).text == ""
