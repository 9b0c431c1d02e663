from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.failure import CommandFailed
from commands.line_source import LineCutter, lines_of


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_lines_are_the_same_however_the_input_is_cut(chunks, ends_with_newline):
    text = b"".join(chunks) + (b"\n" if ends_with_newline else b"")
    cutter = LineCutter()
    lines = [
        line for chunk in [*chunks, text[len(b"".join(chunks)) :]] for line in cutter.feed(chunk)
    ]
    lines += cutter.finish()

    assert lines == (text.removesuffix(b"\n").split(b"\n") if text else [])


def test_a_long_line_of_many_chunks_is_copied_once_and_not_for_each():
    chunk, cutter = b"x" * 1_000, LineCutter()
    started = time.process_time()
    for _ in range(30_000):
        cutter.feed(chunk)
    (line,) = cutter.feed(b"\n")

    assert len(line) == 30_000_000
    assert time.process_time() - started < 2.0, "copied for each chunk it takes a minute"


def test_an_endless_line_is_refused_rather_than_kept():
    cutter = LineCutter(line_bytes_max=10)
    cutter.feed(b"0123456789")

    with pytest.raises(CommandFailed, match="longer than 10 bytes"):
        cutter.feed(b"0")


async def test_a_files_lines_are_read_to_the_end(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\n\nthree\r\nfour")

    assert [line async for lines in lines_of(path) for line in lines] == [
        b"one",
        b"",
        b"three\r",
        b"four",
    ]


async def test_a_line_of_a_pipe_comes_before_the_pipe_ends(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr("commands.line_source.STDIN", reader)
    lines = lines_of(None)
    os.write(writer, b"first\nsec")
    assert await anext(lines) == [b"first"]
    os.write(writer, b"ond\n")
    assert await anext(lines) == [b"second"]
    os.close(writer)
    assert await anext(lines) == []
    await lines.aclose()
    os.close(reader)


async def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        await anext(lines_of(tmp_path / "none"))
