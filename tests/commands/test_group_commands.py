"""`ottla group` and `ottla consume --group` on real brokers."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

import pytest

from tests.support.command_line import TIMEOUT_S

pytestmark = pytest.mark.slow


LOOKS_MAX = 100
"""Each look is a process of its own and takes some tenths of a second."""


def write(ottla, topic, *values):
    ottla.run("produce", topic, stdin="".join(f"{value}\n" for value in values).encode())


def read(ottla, topic, group, *options):
    """Read to the end as the group's only member."""
    return ottla.out("consume", topic, "--group", group, "--exit-at-end", *options).split()


def listed(ottla, name):
    return next((g for g in ottla.json("group", "list")["groups"] if g["group"] == name), None)


def describe(ottla, name):
    (described,) = ottla.json("group", "describe", name)["groups"]
    return described


def wait_until(look):
    """Look again until it is so."""
    for _ in range(LOOKS_MAX):
        if look():
            return
    pytest.fail("it did not come to be so")


@contextmanager
def member(ottla, topic, group, *options):
    """A member that reads until it is told to end."""
    process = ottla.start("consume", topic, "--group", group, *options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def end(process, signum=signal.SIGINT):
    process.send_signal(signum)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (130, b"")
    return out.decode()


def test_a_run_goes_on_where_the_last_one_ended(ottla):
    write(ottla, "resumed", *range(5))
    assert sorted(read(ottla, "resumed", "goer", "--from-beginning")) == list("01234")
    write(ottla, "resumed", 5, 6)

    assert sorted(read(ottla, "resumed", "goer", "--from-beginning")) == ["5", "6"]
    assert read(ottla, "resumed", "goer") == []


def test_what_a_count_left_unread_is_read_by_the_next_run(ottla):
    ottla.run("topic", "create", "counted", "--partitions", "1")
    write(ottla, "counted", *range(10))
    first = ottla.out("consume", "counted", "--group", "c", "--from-beginning", "--count", "3")

    assert first.split() == ["0", "1", "2"]
    assert read(ottla, "counted", "c") == [str(n) for n in range(3, 10)]


def test_without_a_commit_a_group_begins_with_what_is_to_come(ottla):
    write(ottla, "fresh", "before")

    assert read(ottla, "fresh", "newcomer") == []
    write(ottla, "fresh", "after")
    assert read(ottla, "fresh", "newcomer") == ["after"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_member_told_to_end_commits_what_was_written_out_and_leaves_the_group(ottla, signum):
    topic, group = f"ended-{signum.name}", f"quitter-{signum.name}"
    write(ottla, topic, "one")
    with member(ottla, topic, group, "--from-beginning") as process:
        assert process.stdout.readline() == b"one\n"
        wait_until(lambda: listed(ottla, group)["state"] == "Stable")
        end(process, signum)

    assert listed(ottla, group)["state"] == "Empty"
    write(ottla, topic, "two")
    assert read(ottla, topic, group) == ["two"]


def test_members_share_the_partitions_and_each_lag_has_its_reader(ottla):
    ottla.run("topic", "create", "shared", "--partitions", "4")
    write(ottla, "shared", *range(8))
    with member(ottla, "shared", "pair", "--from-beginning"), member(ottla, "shared", "pair"):
        wait_until(lambda: (g := listed(ottla, "pair")) and g["members"] == 2)
        # A list counts the members later than it looks at the states; a description does not.
        wait_until(lambda: describe(ottla, "pair")["state"] == "Stable")
        described = describe(ottla, "pair")

    assert [len(m["assigned"]) for m in described["members"]] == [2, 2]
    assert [p["partition"] for p in described["partitions"]] == [0, 1, 2, 3]
    assert {p["member"] for p in described["partitions"]} == {
        m["member"] for m in described["members"]
    }
    assert all(p["high_watermark"] == p["last_stable"] for p in described["partitions"])


def test_a_group_is_described_with_its_lag_once_its_members_have_gone(ottla):
    ottla.run("topic", "create", "behind", "--partitions", "1")
    write(ottla, "behind", *range(4))
    ottla.run("consume", "behind", "--group", "slow", "--from-beginning", "--count", "3")
    (described,) = ottla.json("group", "describe", "slow")["groups"]
    (partition,) = described["partitions"]

    assert (described["state"], described["lag"], described["members"]) == ("Empty", 1, [])
    assert (partition["committed"], partition["log_start"], partition["high_watermark"]) == (
        3,
        0,
        4,
    )
    assert "1 partition, lag 1, to the high watermark 1" in ottla.out("group", "describe", "slow")


def test_a_reset_is_shown_first_and_done_when_it_is_applied(ottla):
    ottla.run("topic", "create", "replayed", "--partitions", "1")
    write(ottla, "replayed", *range(6))
    read(ottla, "replayed", "again", "--from-beginning")
    shown = ottla.json("group", "reset", "again", "--shift-by", "-2", "--all-topics")

    assert not shown["applied"]
    (move,) = shown["partitions"]
    assert (move["before"], move["wanted"], move["after"], move["clamped"]) == (6, 4, 4, False)
    assert read(ottla, "replayed", "again") == []
    ottla.run("group", "reset", "again", "--shift-by", "-2", "--all-topics", "--apply")
    assert read(ottla, "replayed", "again") == ["4", "5"]


def test_a_reset_takes_a_group_to_each_kind_of_place(ottla):
    ottla.run("topic", "create", "places", "--partitions", "1")
    write(ottla, "places", *range(6))
    read(ottla, "places", "mover", "--from-beginning")
    targets = {
        ("--to-earliest",): 0,
        ("--to-offset", "3"): 3,
        ("--to-timestamp", "1000"): 0,
        ("--to-latest",): 6,
        ("--shift-by", "-4"): 2,
    }
    reached = {}
    for target in targets:
        reset = ("group", "reset", "mover", *target, "--topic", "places:0", "--apply")
        reached[target] = ottla.json(*reset)["partitions"][0]["after"]

    assert reached == targets
    assert read(ottla, "places", "mover") == ["2", "3", "4", "5"]


def test_a_reset_to_a_place_outside_of_the_log_says_so(ottla):
    ottla.run("topic", "create", "bounded", "--partitions", "1")
    write(ottla, "bounded", "a", "b")
    shown = ottla.run("group", "reset", "far", "--to-offset", "99", "--topic", "bounded")

    assert b"99 is outside the log" in shown.stdout
    assert b"there is no group 'far' yet; 1 of 1 partition would change" in shown.stderr


def test_a_group_with_members_is_neither_reset_nor_deleted_and_they_are_named(ottla):
    write(ottla, "busy", "x")
    with member(ottla, "busy", "working", "--from-beginning") as process:
        process.stdout.readline()
        reset = ottla.run(
            "group", "reset", "working", "--to-earliest", "--topic", "busy", "--apply", status=1
        )
        shown = ottla.run("group", "reset", "working", "--to-earliest", "--topic", "busy")
        deleted = ottla.run("group", "delete", "working", status=1)

    assert b"group 'working' has 1 member: " in reset.stderr
    assert b"(client ottla-consume, 127.0.0.1); stop them first" in reset.stderr
    assert b"not while it has members: " in shown.stderr
    assert b"the group has members (NON_EMPTY_GROUP); stop its members first" in deleted.stderr


def test_what_a_group_committed_is_deleted_by_topic_and_as_a_whole(ottla):
    for topic in ("kept", "dropped"):
        ottla.run("topic", "create", topic, "--partitions", "1")
        write(ottla, topic, "x")
        read(ottla, topic, "forgetful", "--from-beginning")
    ottla.run("group", "delete", "forgetful", "--topic", "dropped")
    (described,) = ottla.json("group", "describe", "forgetful")["groups"]
    assert [p["topic"] for p in described["partitions"]] == ["kept"]

    assert ottla.json("group", "delete", "forgetful") == {"deleted": ["forgetful"]}
    assert listed(ottla, "forgetful") is None


def test_only_what_was_committed_is_told_to_be_deleted(ottla):
    for topic in ("read", "unread"):
        ottla.run("topic", "create", topic, "--partitions", "2", "--if-not-exists")
    write(ottla, "read", "x")
    ottla.run("group", "reset", "part", "--to-latest", "--topic", "read:1", "--apply")
    nothing = ottla.run("group", "delete", "part", "--topic", "unread")
    told = ottla.out("group", "delete", "part", "--topic", "read", "--topic", "unread")

    assert (nothing.stdout, nothing.stderr) == (b"", b"nothing was committed there\n")
    assert told == "deleted part read-1\n"


def test_a_group_that_there_is_is_described_beside_one_that_there_is_not(ottla):
    ottla.run("topic", "create", "seen", "--partitions", "1")
    ottla.run("group", "reset", "real", "--to-latest", "--topic", "seen", "--apply")
    described = ottla.run("group", "describe", "real", "unreal", status=1)

    assert described.stdout.startswith(b"real: Empty, ")
    assert b"Group unreal not found. (GROUP_ID_NOT_FOUND)" in described.stderr


def test_where_a_filter_leaves_no_group_it_is_named(ottla):
    none = ottla.run("group", "list", "--state", "dead", "--type", "share")

    assert none.stderr == b"no group is in state Dead and of type share\n"


def test_a_reset_to_a_time_before_all_records_says_so(ottla):
    ottla.run("topic", "create", "timed", "--partitions", "1")
    write(ottla, "timed", "x")
    reset = ("group", "reset", "early", "--topic", "timed", "--to-timestamp")

    assert "before the oldest record" in ottla.out(*reset, "1764123456")
    assert "after the newest record" in ottla.out(*reset, "2999-01-01")
    ottla.run(*reset, "2999-01-01", "--apply")
    assert ottla.run(*reset, "2999-01-01").stderr == b"0 of 1 partition would change\n"


def test_a_history_says_who_came_and_who_left(ottla):
    write(ottla, "eventful", "x")
    with member(ottla, "eventful", "storied", "--from-beginning") as process:
        process.stdout.readline()
        end(process)
    told = ottla.out("group", "history", "storied").splitlines()
    kinds = [
        cause["kind"]
        for rebalance in ottla.json("group", "history", "storied")["rebalances"]
        for cause in rebalance["causes"]
    ]

    assert "generation 0 -> 1: member ottla-consume" in told[0]
    assert "(client ottla-consume, 127.0.0.1) joined" in told[0]
    assert kinds[0] == "joined"
    assert "left" in kinds


@pytest.mark.parametrize(
    "command",
    [
        ("group", "describe", "nobody"),
        ("group", "history", "nobody"),
        ("group", "delete", "nobody"),
        ("group", "reset", "nobody", "--to-latest", "--all-topics"),
    ],
    ids=" ".join,
)
def test_a_group_that_there_is_not_is_one_line_with_a_next_step(ottla, command):
    error = ottla.run(*command, status=1).stderr.decode()

    assert error.count("\n") == 1
    assert error.startswith("ottla: error: ")
    assert "nobody" in error
    assert "; " in error


def test_json_is_json_where_there_is_nothing_as_well(ottla):
    assert json.loads(ottla.out("group", "list", "--state", "Dead", "--json")) == {"groups": []}
