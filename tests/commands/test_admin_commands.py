"""`ottla cluster`, `ottla config` and what `ottla topic` does to replicas, on real brokers."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


BROKERS = [1, 2, 3]


def partitions(ottla, topic):
    return ottla.json("topic", "describe", topic)["topics"][0]["partitions"]


def settings(ottla, *resource):
    found = ottla.json("config", "describe", *resource)["settings"]
    return {one["name"]: (one["value"], one["from"]) for one in found}


def throttled(ottla, topic: str) -> set[str]:
    """Which settings of throttles are given, of a topic and of all brokers."""
    return {
        name
        for resource in (("topic", topic), *(("broker", str(b)) for b in BROKERS))
        for name, (_, source) in settings(ottla, *resource).items()
        if "throttled" in name and source != "default"
    }


def test_a_cluster_is_described_with_brokers_and_disks(ottla):
    ottla.run("topic", "create", "measured", "--partitions", "3")
    ottla.run("produce", "measured", stdin=b"x" * 1000 + b"\n")
    described = ottla.json("cluster", "describe")

    assert [broker["broker"] for broker in described["brokers"]] == BROKERS
    assert sum(broker["controller"] for broker in described["brokers"]) == 1
    assert sum(broker["leaders"] for broker in described["brokers"]) == described["partitions"]
    assert all(broker["log_bytes"] >= 1000 for broker in described["brokers"])
    assert all(broker["free_bytes"] > 0 for broker in described["brokers"])
    assert described["partitions_without_leader"] == []
    assert described["moving"] == []
    assert f"cluster {described['cluster_id']}, controller broker " in ottla.out(
        "cluster", "describe"
    )


def test_replicas_are_spread_over_the_brokers_named(ottla):
    ottla.run("topic", "create", "moved", "--partitions", "4", "--replication-factor", "1")
    ottla.run("produce", "moved", stdin=b"kept\n")
    told = ottla.out(
        "topic", "reassign", "moved", "--brokers", "2,3", "--replication-factor", "2", "--wait"
    )

    assert "nothing of moved moves any more" in told
    assert all(sorted(p["replicas"]) == [2, 3] for p in partitions(ottla, "moved"))
    assert ottla.out("consume", "moved", "--from-beginning", "--exit-at-end") == "kept\n"
    again = ottla.out("topic", "reassign", "moved", "--brokers", "2,3")
    assert again == "moved is there already\n"


def test_one_partition_is_moved_to_just_these_brokers(ottla):
    ottla.run("topic", "create", "single", "--partitions", "2")
    ottla.run("topic", "reassign", "single", "--partition", "1", "--replicas", "3,1", "--wait")

    assert [p["replicas"] for p in partitions(ottla, "single")][1] == [3, 1]
    assert len(partitions(ottla, "single")[0]["replicas"]) == 3


def test_a_throttle_is_lifted_when_the_move_is_done(ottla):
    ottla.run("topic", "create", "slow", "--partitions", "1", "--replication-factor", "1")
    (before,) = partitions(ottla, "slow")[0]["replicas"]
    other = next(broker for broker in BROKERS if broker != before)
    ottla.run(
        *("topic", "reassign", "slow", "--replicas", f"{other},{before}"),
        *("--throttle", "1000000", "--wait"),
    )

    assert throttled(ottla, "slow") == set()


def test_a_throttle_that_another_move_needs_stays_until_nothing_moves(ottla):
    """At a byte a second the first move is under way for as long as the test takes."""
    rates = {f"{side}.replication.throttled.rate" for side in ("leader", "follower")}
    for topic in ("held", "quick"):
        ottla.run("topic", "create", topic, "--partitions", "2", "--replication-factor", "1")
    ottla.run("produce", "held", "--partition", "0", stdin=(b"x" * 1_000 + b"\n") * 3_000)
    leaders = [p["leader"] for p in partitions(ottla, "held")]
    others = [str(next(b for b in BROKERS if b != leader)) for leader in leaders]

    held = ("topic", "reassign", "held", "--replicas")
    ottla.run(*held, others[0], "--partition", "0", "--throttle", "1")
    told = ottla.out(*held, others[1], "--partition", "1", "--wait")
    assert "the throttle stays, for held-0: " in told
    assert "nothing of held-1 moves any more" in told
    assert "lifted" not in told
    assert "the throttle stays, for held-0: " in ottla.out("topic", "reassign", "quick", "--cancel")
    assert throttled(ottla, "quick") == rates
    assert len(throttled(ottla, "held")) == 4

    assert ottla.out("topic", "reassign", "held", "--cancel") == (
        "lifted the throttle\ncancelled 1 move\n"
    )
    assert throttled(ottla, "held") == set()


def test_what_does_not_move_cannot_be_cancelled_and_has_no_status(ottla):
    ottla.run("topic", "create", "still", "--partitions", "1")

    assert ottla.out("topic", "reassign", "still", "--status") == "nothing of still moves\n"
    assert ottla.out("topic", "reassign", "still", "--cancel") == "cancelled 0 moves\n"


def test_leadership_goes_back_to_the_first_replica(ottla):
    ottla.run("topic", "create", "led", "--partitions", "3")
    for p in partitions(ottla, "led"):
        first, *rest = p["replicas"]
        reordered = ",".join(map(str, [*rest, first]))
        ottla.run(
            *("topic", "reassign", "led", "--partition", str(p["partition"])),
            *("--replicas", reordered, "--wait"),
        )
    ottla.run("topic", "elect", "led")

    assert all(p["leader"] == p["replicas"][0] for p in partitions(ottla, "led"))
    assert ottla.json("topic", "elect", "led") == {"elected": [], "not_needed": 3}


def test_settings_of_a_topic_are_set_and_unset(ottla):
    ottla.run("topic", "create", "tuned")
    ottla.run("config", "alter", "topic", "tuned", "--set", "retention.ms=5000")
    assert settings(ottla, "topic", "tuned")["retention.ms"] == ("5000", "topic")

    ottla.run("config", "alter", "topic", "tuned", "--unset", "retention.ms")
    assert "retention.ms" not in settings(ottla, "topic", "tuned")
    assert settings(ottla, "topic", "tuned", "--all")["retention.ms"][1] == "default"


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (
            ("config", "alter", "topic", "named", "--unset", "retention.mz"),
            "retention.mz is not a setting of topic named; did you mean retention.ms?",
        ),
        (
            ("topic", "alter", "named", "--delete-config", "retention.mz"),
            "retention.mz is not a setting of topic named; did you mean retention.ms?",
        ),
        (
            ("config", "alter", "brokers", "--unset", "log.retention.mz"),
            "log.retention.mz is not a setting of brokers; did you mean log.retention.ms?",
        ),
        (
            ("config", "alter", "broker", "1", "--unset", "nonsense"),
            "nonsense is not a setting of brokers; see all with",
        ),
        (("config", "alter", "broker", "1", "--set", "nonsense=1"), "nonsense is not a setting"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_is_no_setting_cannot_be_unset_and_the_one_meant_is_named(ottla, command, cause):
    ottla.run("topic", "create", "named", "--if-not-exists")
    error = ottla.run(*command, status=1).stderr.decode()

    assert cause in error
    assert " --all'" in error


@pytest.mark.parametrize("whose", [("brokers",), ("broker", "1")], ids=" ".join)
def test_what_does_not_change_while_a_broker_runs_cannot_be_unset(ottla, whose):
    error = ottla.run("config", "alter", *whose, "--unset", "node.id", status=1).stderr.decode()

    assert "node.id does not change while a broker runs; set it in the broker's file" in error


def test_what_was_altered_is_told_to_scripts(ottla):
    ottla.run("topic", "create", "scripted")
    alter = ("config", "alter", "topic", "scripted", "--set", "retention.ms=5000")

    told = ottla.json(*alter, "--validate-only")
    assert told == {"kind": "topic", "name": "scripted", "altered": False}
    assert ottla.json(*alter)["altered"]
    assert ottla.json("topic", "alter", "scripted", "--partitions", "4") == {
        "altered": ["scripted"]
    }


def test_a_topic_is_described_with_the_settings_of_its_own(ottla):
    ottla.run("topic", "create", "own", "--config", "retention.ms=5000")
    ottla.run("config", "alter", "broker", "2", "--set", "log.segment.bytes=1000000")
    ottla.run("config", "alter", "brokers", "--set", "min.insync.replicas=1")
    try:
        told = ottla.out("topic", "describe", "own")
        brokers = ottla.out("config", "describe", "broker", "2")
    finally:
        ottla.run("config", "alter", "broker", "2", "--unset", "log.segment.bytes")
        ottla.run("config", "alter", "brokers", "--unset", "min.insync.replicas")

    assert [line.strip() for line in told.splitlines() if "=" in line] == ["retention.ms=5000"]
    assert "broker 2" in next(
        line for line in brokers.splitlines() if line.startswith("log.segment.bytes")
    )


def test_a_broker_setting_hides_that_of_all_brokers(ottla):
    key = "log.retention.ms"
    ottla.run("config", "alter", "brokers", "--set", f"{key}=700000")
    ottla.run("config", "alter", "broker", "2", "--set", f"{key}=800000")
    try:
        assert settings(ottla, "brokers")[key] == ("700000", "brokers")
        assert settings(ottla, "broker", "1")[key] == ("700000", "brokers")
        assert settings(ottla, "broker", "2")[key] == ("800000", "broker")
    finally:
        ottla.run("config", "alter", "broker", "2", "--unset", key)
        ottla.run("config", "alter", "brokers", "--unset", key)
    assert key not in settings(ottla, "broker", "2")


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        (("config", "describe", "topic", "nowhere"), "nowhere"),
        (("config", "describe", "broker", "77"), "broker 77 is not a live member"),
        (("config", "alter", "brokers", "--set", "no.such=1"), "no.such"),
        (("topic", "reassign", "nowhere", "--brokers", "1,2"), "nowhere"),
        (("topic", "elect", "nowhere"), "nowhere"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_is_refused_is_one_line_with_the_cause_and_a_next_step(ottla, command, cause):
    error = ottla.run(*command, status=1).stderr.decode()

    assert error.count("\n") == 1
    assert error.startswith("ottla: error: ")
    assert cause in error


def test_replicas_on_a_broker_that_there_is_not_are_refused(ottla):
    ottla.run("topic", "create", "stays", "--partitions", "1")
    done = ottla.run("topic", "reassign", "stays", "--replicas", "1,77", status=1)

    assert b"INVALID_REPLICA_ASSIGNMENT" in done.stderr
    assert b"reassigning stays-0: there is no live broker 77" in done.stderr
    assert b"ottla cluster describe" in done.stderr


def test_one_cause_for_many_partitions_is_told_once(ottla):
    ottla.run("topic", "create", "several", "--partitions", "3")
    error = ottla.run("topic", "reassign", "several", "--brokers", "1,2,77", status=1).stderr

    assert error.count(b"there is no live broker 77") == 1
    more = ottla.run(
        *("topic", "reassign", "several", "--brokers", "1,2,3", "--replication-factor", "4"),
        status=1,
    )
    assert b"name more with --brokers, or give a lower --replication-factor" in more.stderr


def test_a_topic_that_is_there_already_is_told_with_its_partitions(ottla):
    create = ("topic", "create", "twice", "--if-not-exists", "--partitions")
    ottla.run(*create, "2")

    assert ottla.out(*create, "2") == "twice exists already: 2 partitions\n"
    assert ottla.out(*create, "5") == "twice exists already: 2 partitions, not 5\n"
    assert ottla.json(*create, "5") == {"created": [], "existing": ["twice"]}


def test_topics_that_there_are_are_described_beside_those_that_there_are_not(ottla):
    ottla.run("topic", "create", "present", "--partitions", "1")
    described = ottla.run("topic", "describe", "absent", "present", status=1)

    assert described.stdout.startswith(b"present: 1 partition")
    assert b"there is no topic 'absent'" in described.stderr
