"""Patterns: found as `re` finds them, in bounded time, and what is not decided counts against."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.json_schema.patterns import (
    PATTERN_CHARACTERS_MAX,
    STEPS_TOGETHER_MAX,
    TEXT_CHARACTERS_MAX,
    Undecided,
    bounded_together,
    is_found,
    is_found_in_all,
)
from tests.support.json_schemas import STRING, found, having, rules

CATASTROPHE = "^(a+)+$"
VICTIM = "a" * 40 + "!"
OPEN = "(?<=a)b*"
"""A pattern of which nothing is decided: it looks behind."""

PIECES = st.sampled_from(
    ["a", "b", "-", "\n", "{", "a{", "[ab]", "[^a]", "[]a]", r"[\]b]", ".", r"\w", r"\d", r"\x61"]
)
PLACES = st.sampled_from(["^", "$", r"\A", r"\Z", r"\b", r"\B"])
TIMES = st.sampled_from(
    ["*", "+", "?", "*?", "+?", "??", "{2}", "{,2}", "{1,}", "{1,2}?", "{,}", "{}", "{,"]
)
PATTERNS = st.recursive(
    PIECES | PLACES | st.just(""),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        inner.map("(?P<name>{})".format),
        inner.map("(?={})".format),
        inner.map("(?!{})".format),
        st.tuples(inner.map("(?:{})".format), TIMES).map("".join),
        st.tuples(PIECES, TIMES).map("".join),
    ),
    max_leaves=12,
)


@given(PATTERNS, st.text("ab1-\n{", max_size=8))
def test_a_pattern_is_found_where_re_finds_it(pattern, text):
    try:
        expected = re.search(pattern, text) is not None
    except re.error:
        assume(False)

    assert is_found(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (CATASTROPHE, VICTIM, False),
        ("^(a|a)*$", VICTIM, False),
        ("^(a?){40}a{40}$", VICTIM, False),
        ("(.*a){12}b", "a" * 100, False),
        ("^(?!(a+)+$)", "a" * 40, False),
        (r"^[a-z]+(-[a-z]+)*$", "orders-of-today", True),
    ],
)
def test_what_takes_re_for_ever_is_decided_at_once(pattern, text, expected):
    assert is_found(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)\\1+", "aa"),
        ("(?>a+)b", "ab"),
        ("a++b", "ab"),
        (OPEN, "ab"),
        ("(?i:a+)", "A"),
        ("((a{100}){100}){100}", "a"),
        ("(" * 60 + "a*" + ")" * 60, "a"),
        ("(a|b){1,900}c", "ab" * 4_000),
        ("a*" + "b" * PATTERN_CHARACTERS_MAX, "b"),
        ("a", "b" * (TEXT_CHARACTERS_MAX + 1)),
    ],
)
def test_what_would_take_long_is_not_decided(pattern, text):
    with pytest.raises(Undecided):
        is_found(pattern, text)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["ab", "a*b"])
def test_many_questions_of_one_comparison_are_bounded_together(pattern):
    def ask(times):
        for _ in range(times):
            is_found(pattern, "a" * 9_000)

    with bounded_together(), pytest.raises(Undecided, match="steps"):
        ask(STEPS_TOGETHER_MAX)
    ask(1)


def test_many_texts_are_bounded_together():
    with pytest.raises(Undecided, match="steps"):
        is_found_in_all("^a*$", ["a" * 9_000] * 1_000)


def test_a_pattern_that_lists_of_values_fail_is_found_out_at_once():
    values = {"enum": [VICTIM]}

    assert rules(values, {"pattern": CATASTROPHE}) == ["PATTERN_ADDED #/pattern"]
    assert rules({"const": "aaa"}, {"pattern": CATASTROPHE}) == []


def test_a_pattern_that_is_not_decided_on_listed_values_says_so():
    (told,) = found({"enum": ["ab"]}, {"pattern": OPEN})

    assert told.rule == "PATTERN_ADDED"
    assert "is not decided: '(?<=a)b*' in it can take too long" in told.why


def test_a_property_whose_name_takes_re_for_ever_is_compared_at_once():
    patterns = {"patternProperties": {CATASTROPHE: {"type": "integer"}}}

    assert rules({**having(**{VICTIM: STRING}), **patterns}, {**patterns, "properties": {}}) == []


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        # The reader may ask for an integer there.
        (having(False, b=STRING), {"patternProperties": {OPEN: {"type": "integer"}}}),
        # Or for nothing that it knows: there it is closed.
        (
            having(False, b=STRING),
            {"patternProperties": {OPEN: STRING}, "additionalProperties": False},
        ),
        # The writer may have written anything by the pattern, and not what holds for the rest.
        (
            {"patternProperties": {OPEN: {}}, "additionalProperties": STRING},
            having(b=STRING),
        ),
        ({"patternProperties": {OPEN: STRING}}, having(b=STRING)),
        (
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "patternProperties": {OPEN: {}},
                "unevaluatedProperties": False,
            },
            having(b=STRING),
        ),
    ],
)
def test_a_name_of_which_it_is_not_known_whether_it_matches_counts_against_a_change(writer, reader):
    told = found(writer, reader)

    assert told
    assert any('whether "b" matches "(?<=a)b*" is not decided' in each.why for each in told)


def test_a_reader_that_accepts_a_property_whether_or_not_its_name_matches_is_compatible():
    either = {"patternProperties": {OPEN: STRING}, "additionalProperties": STRING}

    assert rules(having(False, b=STRING), either) == []
