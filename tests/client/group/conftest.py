"""Applications that read as members of a group of the scripted cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from client.consumer import Consumer, ConsumerConfig


@pytest.fixture
def consumer_of(cluster):
    """Makes consumers of group "g"; `host` gives each a place in the network of its own."""

    def make(host="client", **config):
        defaults = {
            "group_id": "g",
            "auto_offset_reset": "earliest",
            "session_timeout_s": 10.0,
            "heartbeat_interval_s": 1.0,
            "max_poll_interval_s": 30.0,
        }
        environment = replace(cluster.environment, network=cluster.network.host(host))
        return Consumer(
            cluster.bootstrap, ConsumerConfig(**defaults | config), environment=environment
        )

    return make


@pytest.fixture
def group(cluster):
    """The group that `consumer_of` makes members of, as its broker keeps it."""
    return cluster.groups["g"]
