from __future__ import annotations

from msgspec.structs import replace

from client.descriptions import ClusterDescription, LogDir, Reassignment, ReplicaSize
from client.metadata import Address, Broker, PartitionInfo, TopicInfo
from client.records import TopicPartition
from commands.cluster import Facts, brokers_table, describe_facts, map_brokers, troubles
from protocol.errors import ErrorCode, RequestError

ORDERS_0 = TopicPartition("orders", 0)
MIB = 1_048_576


def topics(*partitions):
    return {"orders": TopicInfo("orders", bytes(16), False, {p.partition: p for p in partitions})}


WELL = PartitionInfo(0, 1, 4, (1, 2), (1, 2))
BEHIND = PartitionInfo(1, 2, 4, (2, 1), (2,))
LEADERLESS = PartitionInfo(2, -1, 4, (2,), ())
FACTS = Facts(
    ClusterDescription(
        "abc", 2, (Broker(1, Address("a", 9092), "north"), Broker(2, Address("b", 9092), None))
    ),
    topics(WELL, BEHIND, LEADERLESS),
    {
        1: (
            LogDir("/x", {ORDERS_0: ReplicaSize(3 * MIB, 0)}, 100 * MIB, 40 * MIB),
            LogDir("/y", {}, 100 * MIB, 20 * MIB),
        ),
        2: RequestError.of(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "not allowed"),
    },
    {ORDERS_0: Reassignment((1, 2, 3), (3,), (1,))},
)


def test_each_brokers_share_and_disks_are_added_up():
    one, two = map_brokers(FACTS)

    assert (one["replicas"], one["leaders"], one["controller"]) == (2, 1, False)
    assert (one["log_bytes"], one["free_bytes"], one["error"]) == (3 * MIB, 60 * MIB, None)
    assert (two["replicas"], two["leaders"], two["controller"]) == (3, 1, True)
    assert (two["log_bytes"], two["free_bytes"], two["error"]) == (None, None, "not allowed")


def test_what_a_broker_does_not_say_is_a_dash_with_the_reason():
    assert brokers_table(FACTS).splitlines() == [
        "BROKER  ENDPOINT  RACK   REPLICAS  LEADERS  LOGS   FREE    NOTE",
        "1       a:9092    north  2         1        3 MiB  60 MiB",
        "2*      b:9092    -      3         1        -      -       not allowed",
    ]


def test_an_old_broker_does_not_say_how_much_is_free():
    facts = Facts(FACTS.cluster, {}, {1: (LogDir("/x", {}),)}, {})

    assert map_brokers(facts)[0]["log_bytes"] == 0
    assert map_brokers(facts)[0]["free_bytes"] is None


def only(*partitions, moving=()):
    return replace(FACTS, topics=topics(*partitions), moving=dict(moving))


def test_partitions_in_trouble_are_named():
    assert troubles(FACTS) == [
        "1 topic, 3 partitions",
        "1 WITHOUT A LEADER: orders-2",
        "2 under-replicated: orders-1, orders-2",
    ]
    assert troubles(only(WELL)) == ["1 topic, 1 partition"]


def test_a_replica_that_is_on_its_way_is_not_missed_yet():
    on_its_way = PartitionInfo(0, 1, 4, (1, 2, 3), (1, 2))
    move = Reassignment((1, 2, 3), (3,), ())

    assert troubles(only(on_its_way, moving={ORDERS_0: move})) == ["1 topic, 1 partition"]
    assert troubles(only(on_its_way))[1] == "1 under-replicated: orders-0"


def test_of_many_partitions_in_trouble_some_are_named_and_the_others_counted():
    many = only(*(PartitionInfo(p, 1, 0, (1, 2), (1,)) for p in range(25)))

    assert troubles(many)[1].startswith("25 under-replicated: orders-0, orders-1, ")
    assert troubles(many)[1].endswith("orders-19 and 5 more")


def test_json_has_all_of_it():
    described = describe_facts(FACTS)

    assert described["partitions_without_leader"] == ["orders-2"]
    assert described["moving"] == [
        {"topic": "orders", "partition": 0, "replicas": (1, 2, 3), "adding": (3,), "removing": (1,)}
    ]
