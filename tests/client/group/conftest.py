"""Applications that read as members of a group of the scripted cluster."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.group_apps import group_consumer


@pytest.fixture
def consumer_of(cluster):
    """Makes consumers of group "g": see `group_consumer`."""
    return partial(group_consumer, cluster)


@pytest.fixture
def group(cluster):
    """The group that `consumer_of` makes members of, as its broker keeps it."""
    return cluster.groups["g"]
