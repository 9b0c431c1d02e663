"""What a leader makes of the members' subscriptions, and what changes hands afterwards."""

from __future__ import annotations

from client.group.assignor import Partitions, RebalanceProtocol
from client.group.assignors import ASSIGNORS
from client.group.handover import change_to, to_give_up
from client.group.leader import count_assigned, divide, read_subscribers, topics_of
from client.group.topics import Subscription
from protocol.api.describe_groups import DescribedGroup, DescribedGroupMember
from protocol.api.join_group import JoinGroupResponseMember
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitions,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from protocol.errors import ErrorCode
from tests.support.group_apps import place, places


def told(member_id, *topics, **subscription):
    metadata = encode_subscription(ConsumerProtocolSubscription(list(topics), **subscription))
    return JoinGroupResponseMember(member_id, None, metadata)


def test_subscriptions_are_read_whole():
    owned = [TopicPartitions("orders", [1, 0]), TopicPartitions("orders", [1])]
    (subscriber,), unreadable = read_subscribers(
        [told("m1", "orders", "tills", user_data=b"x", owned_partitions=owned, generation_id=3)]
    )

    assert subscriber.topics == {"orders", "tills"}
    assert subscriber.owned == (place(1), place(0))
    assert (subscriber.generation_id, subscriber.user_data) == (3, b"x")
    assert not unreadable


def test_a_member_that_cannot_be_understood_gets_nothing_and_stops_nobody():
    members = [told("m1", "orders"), JoinGroupResponseMember("m2", None, b"\xff\xff garbage")]
    subscribers, unreadable = read_subscribers(members)
    assert [*unreadable] == ["m2"]
    for assignor in ASSIGNORS.values():
        given = {
            entry.member_id: decode_assignment(entry.assignment).assigned_partitions
            for entry in divide(assignor, subscribers, Partitions({"orders": 2}))
        }
        assert given == {"m1": [TopicPartitions("orders", [0, 1])], "m2": []}


def test_the_group_wants_what_any_member_wants():
    subscribers, _ = read_subscribers([told("a", "x", "y"), told("b", "y", "z")])

    assert topics_of(subscribers) == {*"xyz"}
    assert topics_of([]) == frozenset()


def test_what_the_members_of_a_stable_group_have_is_counted():
    def member(*topics):
        assignment = encode_assignment(ConsumerProtocolAssignment(list(topics)))
        return DescribedGroupMember(member_assignment=assignment)

    members = [
        member(TopicPartitions("orders", [0, 2]), TopicPartitions("tills", [0])),
        member(TopicPartitions("orders", [1, 2])),
        member(),
        DescribedGroupMember(member_assignment=b"\xff\xff garbage"),
    ]

    stable = DescribedGroup(group_state="Stable", members=members)
    assert count_assigned(stable) == {"orders": 3, "tills": 1}
    rebalancing = DescribedGroup(group_state="PreparingRebalance", members=members)
    assert count_assigned(rebalancing) == {}
    assert count_assigned(DescribedGroup(error_code=ErrorCode.NOT_COORDINATOR)) == {}


def test_what_is_given_up_before_joining_depends_on_the_protocol():
    owned = [place(1), place(0), place(0, "tills")]
    orders = Subscription.to(["orders"])

    assert to_give_up(owned, protocol=RebalanceProtocol.EAGER, subscription=orders) == (
        place(0),
        place(1),
        place(0, "tills"),
    )
    assert to_give_up(owned, protocol=RebalanceProtocol.COOPERATIVE, subscription=orders) == (
        place(0, "tills"),
    )


def test_a_change_is_what_differs():
    change = change_to([place(3), place(1)], [place(1), place(0)])

    assert (change.revoked, change.assigned) == ((place(0),), (place(3),))
    assert change_to(places(2), places(2)).assigned == ()
