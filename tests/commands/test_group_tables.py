from __future__ import annotations

import json

from client.group_descriptions import GroupDescription, GroupMember, ListedGroup
from client.records import OffsetAndMetadata, TopicPartition
from commands.group_lag import LogEnds, PartitionLag
from commands.group_plan import Move
from commands.group_tables import describe_view, listing, moves_table, show
from commands.group_view import GroupView

ORDERS_0, ORDERS_1, AUDIT_3 = (
    TopicPartition("orders", 0), TopicPartition("orders", 1), TopicPartition("audit", 3),
)  # fmt: skip
MEMBER = GroupMember("app-1", "shop-1", "app", "10.0.0.7", (AUDIT_3, ORDERS_0, ORDERS_1))
VIEW = GroupView(
    GroupDescription("billing", "Stable", "consumer", "range", 2, (MEMBER,)),
    (
        PartitionLag(AUDIT_3, LogEnds(), None, MEMBER),
        PartitionLag(ORDERS_0, LogEnds(2, 9, 12), OffsetAndMetadata(7, 1, "x"), MEMBER),
        PartitionLag(ORDERS_1, LogEnds(0, 5, 5), OffsetAndMetadata(5), None),
    ),
)


def test_a_group_is_shown_with_both_lags_and_who_reads_what():
    assert show(VIEW).splitlines() == [
        "billing: Stable, consumer range, 1 member, kept by broker 2",
        "TOPIC   PARTITION  COMMITTED  LOG-START  STABLE  HIGH-WATERMARK  LAG  LAG-TO-HIGH  CLIENT"
        "  HOST      MEMBER",
        "audit   3          -          -          -       -               -    -            app"
        "     10.0.0.7  app-1",
        "orders  0          7          2          9       12              2    5            app"
        "     10.0.0.7  app-1",
        "orders  1          5          0          5       5               0    0            -"
        "       -         -",
        "3 partitions, lag 2, to the high watermark 5, nothing committed in 1",
        "CLIENT  HOST      INSTANCE  MEMBER  COUNT  ASSIGNED",
        "app     10.0.0.7  shop-1    app-1   3      audit:3 orders:0,1",
    ]


def test_a_group_with_nothing_says_so():
    empty = GroupView(GroupDescription("new", "Empty", "", "", 1, ()), ())

    assert show(empty).splitlines() == [
        "new: Empty, no protocol, 0 members, kept by broker 1",
        "nothing committed, nothing assigned",
    ]


def test_json_has_all_that_the_tables_have_and_null_for_what_is_unknown():
    described = json.loads(json.dumps(describe_view(VIEW)))

    assert (described["lag"], described["high_watermark_lag"]) == (2, 5)
    assert described["partitions"][0]["lag"] is None
    assert described["partitions"][1] == {
        "topic": "orders", "partition": 0, "committed": 7, "leader_epoch": 1, "metadata": "x",
        "log_start": 2, "last_stable": 9, "high_watermark": 12, "lag": 2, "high_watermark_lag": 5,
        "member": "app-1", "client": "app", "host": "10.0.0.7",
    }  # fmt: skip
    assert described["members"][0]["assigned"][0] == {"topic": "audit", "partition": 3}


def test_a_list_has_a_dash_for_what_old_brokers_do_not_say():
    groups = (ListedGroup("a", "consumer", "Stable", "classic", 1), ListedGroup("b", "", "", "", 3))

    assert listing(groups, {"a": 2}).splitlines() == [
        "GROUP  STATE   TYPE     PROTOCOL  MEMBERS  BROKER",
        "a      Stable  classic  consumer  2        1",
        "b      -       -        -         -        3",
    ]


def test_a_plan_says_where_the_log_does_not_reach():
    moves = (Move(ORDERS_0, 7, 3, 3), Move(ORDERS_1, None, 99, 5))

    assert moves_table(moves).splitlines() == [
        "TOPIC   PARTITION  BEFORE  AFTER  CHANGE  NOTE",
        "orders  0          7       3      -4",
        "orders  1          -       5      -       99 is outside the log",
    ]
