"""The simulator finds deliberate bugs: `docs/mutations.md` says how soon each of them."""

from __future__ import annotations

import ast

import pytest

from tests.simulation.mutate import hunt
from tests.simulation.planted import PACKAGES, load_mutations

MUTATIONS = {mutation.name: mutation for mutation in load_mutations()}
FOUND_SOON = {
    "acknowledged-before-fsync": 4,
    "acknowledged-by-the-leader-alone": 4,
    "any-generation-commits": 1,
    "commit-acknowledged-before-stored": 1,
    "commit-acknowledged-without-a-group": 2,
    "dropped-pages-trusted": 2,
    "followers-forget-producers": 4,
    "four-batches-remembered": 1,
    "hand-over-before-the-successor-has-all": 2,
    "interrupted-swap-forgotten": 5,
    "lost-records-trusted": 12,
    "same-leader-epoch-elected": 2,
    "sequence-gaps-accepted": 4,
    "uncommitted-records-shown": 4,
    "swapped-before-it-is-synced": 1,
    "unflushed-leader-counted": 8,
    "waiters-outlive-their-epoch": 2,
}
"""Some of each kind, and within how many runs they must be found."""


def test_there_are_enough_deliberate_bugs_and_each_has_a_name():
    assert len(MUTATIONS) == len(load_mutations()) >= 25


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_deliberate_bug_still_applies(name):
    files = MUTATIONS[name].files()

    assert {file.split("/")[0] for file in files} <= {*PACKAGES} - {"simulation"}
    for text in files.values():
        ast.parse(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND_SOON)
def test_a_deliberate_bug_is_found(name):
    found = hunt(MUTATIONS[name], runs=FOUND_SOON[name])

    assert found.anomaly is not None, str(found)
