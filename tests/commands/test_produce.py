from __future__ import annotations

import pytest

from commands.produce import LineFormat, Summary, tell


def test_a_line_is_a_value():
    assert LineFormat().parse(b"a:b") == (None, b"a:b")


def test_the_key_ends_at_the_first_separator():
    assert LineFormat(key_separator=b"::").parse(b"k::v::w") == (b"k", b"v::w")
    assert LineFormat(key_separator=b":").parse(b":v") == (b"", b"v")


def test_a_line_without_the_separator_is_refused_and_not_guessed_at():
    with pytest.raises(ValueError, match="no ':' after a key"):
        LineFormat(key_separator=b":").parse(b"value")


def test_a_separator_that_is_not_utf_8_can_be_missing_too():
    with pytest.raises(ValueError, match="there is no .*xff.* after a key"):
        LineFormat(key_separator=b"\xff").parse(b"value")


def test_the_null_text_is_null_as_key_and_as_value():
    line_format = LineFormat(key_separator=b":", null=b"")

    assert line_format.parse(b":v") == (None, b"v")
    assert line_format.parse(b"k:") == (b"k", None)
    assert line_format.parse(b"k:v") == (b"k", b"v")


def test_without_a_null_text_nothing_is_null():
    assert LineFormat(key=b"k").parse(b"") == (b"k", b"")


def test_an_interrupted_production_claims_no_more_than_is_known(capsys):
    tell(Summary(records=5, failed=1), "t", as_json=False)

    out, err = capsys.readouterr()
    assert (out, err) == ("", "up to 4 records to t, not all of them acknowledged\n")


def test_where_nothing_could_be_tried_there_is_no_summary(capsys):
    tell(Summary(), "t", as_json=False)

    assert capsys.readouterr() == ("", "")


def test_a_complete_production_counts_what_was_written(capsys):
    tell(Summary(records=5, failed=1, seconds=2.0, is_complete=True), "t", as_json=False)

    assert capsys.readouterr().err == "4 records to t in 2.0 s (2/s)\n"
