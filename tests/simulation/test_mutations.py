"""The simulator finds deliberate bugs: `docs/mutations.md` says how soon each of them."""

from __future__ import annotations

import ast

import pytest

from tests.simulation.mutate import Hunt, hunt
from tests.simulation.planted import PACKAGES, ROOT, load_mutations

MUTATIONS = {mutation.name: mutation for mutation in load_mutations()}
FOUND_SOON = (
    "acknowledged-before-fsync",
    "acknowledged-by-the-leader-alone",
    "any-generation-commits",
    "commit-acknowledged-before-stored",
    "dropped-pages-trusted",
    "followers-forget-producers",
    "four-batches-remembered",
    "hand-over-before-the-successor-has-all",
    "interrupted-swap-forgotten",
    "lost-records-trusted",
    "same-leader-epoch-elected",
    "sequence-gaps-accepted",
    "uncommitted-records-shown",
    "swapped-before-it-is-synced",
    "unflushed-leader-counted",
    "waiters-outlive-their-epoch",
)
"""Some of each kind; `docs/mutations.md` says that they take few runs."""
FOUND_WITHIN = 20
"""Runs. Which one of them finds a bug moves with everything that a broker does at another time."""


def test_there_are_enough_deliberate_bugs_and_each_has_a_name():
    assert len(MUTATIONS) == len(load_mutations()) >= 25


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_deliberate_bug_still_applies(name):
    files = MUTATIONS[name].files()

    assert {file.split("/")[0] for file in files} <= {*PACKAGES} - {"simulation"}
    for text in files.values():
        ast.parse(text)


def test_what_is_found_without_the_bug_as_well_is_no_find(monkeypatch):
    mutation = MUTATIONS["unflushed-leader-counted"]
    runs = []

    def look(mutation, root, _, *, only=None):
        runs.append((root == ROOT, only))
        return Hunt(mutation, 7, "lost-write", "orders-0: gone")

    monkeypatch.setattr("tests.simulation.mutate._look", look)
    found = hunt(mutation, runs=60)

    assert runs == [(False, None), (True, 7)]
    assert (found.anomaly, found.runs) == (None, 7)
    assert "without the bug as well: lost-write" in found.facts


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND_SOON)
def test_a_deliberate_bug_is_found(name):
    found = hunt(MUTATIONS[name], runs=FOUND_WITHIN)

    assert found.anomaly is not None, str(found)
