"""Keys that other registries spell in their own way, when what they stand for is deleted."""

from __future__ import annotations

from registry.records import Record, SchemaGone, decode, encode
from registry.spellings import Spellings

THEIRS = b'{"subject":"a","version":1,"magic":1,"keytype":"SCHEMA"}'
OLDER = b'{"keytype":"SCHEMA","subject":"a","version":1,"magic":0}'
VALUE = b'{"subject":"a","version":1,"id":1,"schema":"\\"int\\""}'


def test_a_tombstone_is_written_for_every_spelling_that_was_met():
    spellings = Spellings()
    for key in (THEIRS, OLDER, THEIRS):
        spellings.see(key, decode(key, VALUE))
    ours = encode(SchemaGone("a", 1))

    completed = spellings.complete([ours, encode(SchemaGone("a", 2))])

    assert completed[0] == ours
    assert set(completed[1:3]) == {Record(THEIRS, None), Record(OLDER, None)}
    assert completed[3:] == [encode(SchemaGone("a", 2))]
    assert {decode(*each) for each in completed[:3]} == {SchemaGone("a", 1)}


def test_what_has_a_value_is_written_once():
    """It comes after what others wrote, and outweighs it."""
    spellings = Spellings()
    change = decode(THEIRS, VALUE)
    spellings.see(THEIRS, change)

    assert spellings.complete([encode(change)]) == [encode(change)]


def test_our_own_spelling_is_no_other_one():
    spellings = Spellings()
    record = encode(decode(THEIRS, VALUE))
    spellings.see(record.key, decode(*record))
    ours = encode(SchemaGone("a", 1))

    assert spellings.complete([ours]) == [ours]
