from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from commands.cluster_directory import Cluster, Node
from commands.failure import CommandFailed
from commands.plan import Wishes, plan
from commands.process import Identity, identify


def written(words: str) -> str:
    """Write a command so that one that is not asked for can be told."""
    return f"<{words}>"


def ports(cluster: Cluster) -> dict[str, int]:
    return {node.name: node.port for node in cluster.nodes}


def test_without_wishes_it_is_three_brokers_a_coordinator_and_a_registry():
    assert ports(plan(None, Wishes())) == {
        "coordinator": 9192,
        "1": 9092,
        "2": 9093,
        "3": 9094,
        "registry": 8081,
    }


def test_without_a_registry_there_is_none_until_it_is_wished_for():
    known = plan(None, Wishes(registry=False))

    assert known.registry is None
    assert plan(known, Wishes()).registry is None
    assert ports(plan(known, Wishes(registry=True)))["registry"] == 8081


def test_a_registry_that_runs_is_not_left_out_of_the_cluster():
    known = plan(None, Wishes())
    running = known.with_node(replace(known.registry, process=identify(os.getpid())))

    assert plan(known, Wishes(registry=False)).registry is None
    with pytest.raises(CommandFailed, match="stop it with <node stop registry> before"):
        plan(running, Wishes(registry=False), command=written)


def test_the_coordinator_is_first_for_brokers_need_it():
    assert plan(None, Wishes()).nodes[0].name == "coordinator"


def test_with_zookeeper_no_coordinator_is_started():
    cluster = plan(None, Wishes(zookeeper="zk:2181"))

    assert ports(cluster) == {"1": 9092, "2": 9093, "3": 9094, "registry": 8081}
    assert cluster.coordinator == "zk:2181"


def test_port_0_takes_the_free_ports_in_order():
    cluster = plan(None, Wishes(brokers=2, port=0), free_ports=[5, 6, 7, 8])

    assert ports(cluster) == {"coordinator": 7, "1": 5, "2": 6, "registry": 8}


def test_a_known_cluster_is_carried_on_with():
    known = plan(None, Wishes(brokers=2, port=5000, settings=(("num.partitions", "4"),)))

    assert plan(known, Wishes()) == known


def test_a_known_cluster_can_grow_and_keeps_what_it_had():
    known = plan(None, Wishes(brokers=1, port=5000))

    assert ports(plan(known, Wishes(brokers=3))) == {
        "coordinator": 5100,
        "1": 5000,
        "2": 5001,
        "3": 5002,
        "registry": 3989,
    }


def test_a_known_cluster_does_not_shrink_for_records_are_there():
    known = plan(None, Wishes(brokers=3))

    with pytest.raises(CommandFailed, match="3 brokers, and records on all"):
        plan(known, Wishes(brokers=2))


def test_another_coordinator_is_refused_for_the_metadata_is_in_the_first():
    with pytest.raises(CommandFailed, match="coordinator at 127.0.0.1:9192"):
        plan(plan(None, Wishes()), Wishes(zookeeper="zk:2181"))


def test_a_stopped_cluster_may_move_to_other_ports():
    known = plan(None, Wishes(brokers=1))

    assert ports(plan(known, Wishes(port=7000))) == {
        "coordinator": 7100,
        "1": 7000,
        "registry": 5989,
    }


def test_a_running_cluster_does_not_move_and_keeps_its_processes():
    alive = identify(os.getpid())
    known = plan(None, Wishes(brokers=1))
    known = known.with_node(replace(known.node("1"), process=alive, started_at="then"))

    with pytest.raises(CommandFailed, match="stop it with <down> before"):
        plan(known, Wishes(port=7000), command=written)
    assert plan(known, Wishes(port=9092, brokers=2)).node("1").process == alive


@pytest.mark.parametrize(
    ("wishes", "cause", "next_step"),
    [
        (
            Wishes(port=1000),
            "port -11, which the registry would have, does not exist",
            "choose a --port from 1012 to 65435; --no-registry leaves it out",
        ),
        (
            Wishes(port=65_436),
            "port 65536, which the coordinator would have, does not exist",
            "choose a --port from 1012 to 65435",
        ),
        (
            Wishes(port=65_500, registry=False),
            "port 65600, which the coordinator would have, does not exist",
            "choose a --port from 1 to 65435",
        ),
        (
            Wishes(port=65_534, zookeeper="zk:2181"),
            "port 65536, which broker 3 would have, does not exist",
            "choose a --port from 1012 to 65533",
        ),
    ],
)
@pytest.mark.parametrize("known", [None, plan(None, Wishes())], ids=["new", "known"])
def test_ports_that_do_not_exist_are_told_with_those_that_would_do(known, wishes, cause, next_step):
    if known is not None and wishes.zookeeper is not None:
        known = replace(known, zookeeper=wishes.zookeeper)
    with pytest.raises(CommandFailed) as failed:
        plan(known, wishes)

    assert (failed.value.cause, failed.value.next_step) == (cause, next_step)


@pytest.mark.parametrize("port", [1012, 65_435])
def test_the_first_and_the_last_port_would_do(port):
    assert plan(None, Wishes(port=port)).brokers[0].port == port


def test_new_settings_replace_the_old_ones():
    known = plan(None, Wishes(settings=(("a", "1"),)))

    assert plan(known, Wishes(settings=(("b", "2"),))).settings == ("b=2",)


def test_a_node_is_found_by_its_name_or_the_names_are_told():
    cluster = Cluster((Node("coordinator", 1), Node("1", 2, Identity(1, "x"))))

    assert cluster.node("1").port == 2
    with pytest.raises(CommandFailed, match="no node '9'; choose one of coordinator, 1"):
        cluster.node("9")


def test_a_registry_on_a_free_port_stays_there():
    cluster = plan(None, Wishes(brokers=2, port=0), free_ports=[50, 60, 70, 80])
    running = cluster.with_node(replace(cluster.brokers[0], process=identify(os.getpid())))

    assert ports(plan(cluster, Wishes())) == ports(cluster)
    assert ports(plan(running, Wishes())) == ports(cluster)
