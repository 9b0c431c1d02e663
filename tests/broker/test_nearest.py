"""Which setting a misspelled one may mean, and that asking so costs next to nothing."""

from __future__ import annotations

import pytest

from broker import topic_config
from broker.nearest import CHARACTERS_MAX, hint
from broker.topic_config import TOPIC_KEYS, check_topic_config
from coordinator.errors import InvalidConfig


class Words(frozenset):
    """Words that count how often they are walked through."""

    walks = 0

    def __iter__(self):
        Words.walks += 1
        return super().__iter__()


class Word(str):
    """A word that counts how often it is cut."""

    cuts = 0

    def __getitem__(self, place):
        Word.cuts += 1
        return super().__getitem__(place)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("retention.sm", "retention.ms"),
        ("retention.mz", "retention.ms"),
        ("retention.m", "retention.ms"),
        ("retentionn.ms", "retention.ms"),
        ("etention.ms", "retention.ms"),
        ("retention.msec", "retention.ms"),
        ("retention", "retention.ms"),
        ("cleanup", "cleanup.policy"),
    ],
)
def test_a_letter_or_the_end_may_be_wrong(word, meant):
    assert hint(word, TOPIC_KEYS) == f"; did you mean {meant}?"


@pytest.mark.parametrize("word", ["", "r", "ret", "no.such.key", "é.ms", "retention.ms" * 10])
def test_what_is_like_no_known_word_means_none(word):
    assert hint(word, TOPIC_KEYS) == ""


def test_thousands_of_misspellings_walk_through_the_known_words_once(monkeypatch):
    monkeypatch.setattr(topic_config, "TOPIC_KEYS", Words({*TOPIC_KEYS, "of.this.test.alone"}))
    monkeypatch.setattr(Words, "walks", 0)

    for number in range(1_000):
        with pytest.raises(InvalidConfig, match="is not a setting of topics"):
            check_topic_config({f"retention.ms{number}": "1"})

    assert Words.walks <= 1


def test_a_word_longer_than_all_is_not_looked_for(monkeypatch):
    monkeypatch.setattr(Word, "cuts", 0)

    assert hint(Word("x" * 32_000), TOPIC_KEYS) == ""
    assert max(map(len, TOPIC_KEYS)) < CHARACTERS_MAX
    assert Word.cuts == 0
