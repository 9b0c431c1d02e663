"""Golden scripts of groups: what each member is told, step by step.

rules delay=3 max=2             what the broker's configuration says (delay: initial, in seconds)
client a version=3 instance=i protocols=range,rr type=connect session=10 rebalance=60
    reads=t,u                   topics that its metadata names; says=WORDS is metadata of its own
join a [why]                    what `a` asks; its answer comes behind `->`, or in a later line
sync a a=1,b=2                  a leader brings assignments
beat a | commit a | commit -    heartbeats and commits; `-` is nobody in particular
leave a | leave i=NAME          by member id, or by instance id alone
restart a                       its process knows nothing of what was
clone b a                       another process that takes itself for `a`
after 3                         seconds pass
store by hand                   from here on `stored`, or `too large`, ends each write
take over                       another broker goes on with what is stored
a -> ...                        the answer that `a` was waiting for; `a waits` says that it does
group STATE generation=1 ...    what is to be seen of the group
history ...                     the causes of the last rebalance
"""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.groups.group import GroupRules
from broker.groups.member import Joined, Synced
from broker.groups.state import NEXT, State, Trigger
from protocol.consumer_protocol import ConsumerProtocolSubscription, encode_subscription
from protocol.errors import ErrorCode, RequestError
from tests.broker.groups.stage import Answer, Client, Stage

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


class Script:
    """The stage that a script plays on."""

    def __init__(self) -> None:
        self.stage = Stage()

    def play(self, line: str) -> None:
        act, _, expected = line.partition(" -> ")
        verb, *words = act.split()
        if verb in self.stage.clients and not hasattr(self, f"do_{verb}"):
            self.check_answer(verb, words, expected)
            return
        outcome = getattr(self, f"do_{verb}")(*words)
        if isinstance(outcome, Answer) and not expected:
            return
        if outcome is not None or expected:
            assert self.shown(outcome) == (expected or "ok")
            if isinstance(outcome, Answer) and outcome.outcome is not None:
                outcome.client.answers.remove(outcome)

    def check_answer(self, name: str, words: list[str], expected: str) -> None:
        answers = self.stage.clients[name].answers
        assert answers, f"{name} has asked for nothing"
        if words == ["waits"]:
            assert self.shown(answers[0]) == "waits"
            return
        assert self.shown(answers.pop(0)) == expected

    def shown(self, outcome: Answer | Joined | Synced | RequestError | str | None) -> str:
        if isinstance(outcome, Answer):
            return "waits" if outcome.outcome is None else self.shown(outcome.outcome)
        if isinstance(outcome, RequestError):
            return outcome.code.name
        if isinstance(outcome, Synced):
            return f"assigned {outcome.assignment.decode() or 'nothing'}"
        if isinstance(outcome, Joined):
            leader = self.stage.name_of(outcome.leader_id)
            words = [f"generation={outcome.generation_id}", f"leader={leader}"]
            if outcome.members:
                words.append(
                    "members=" + ",".join(sorted(self.names(m[0] for m in outcome.members)))
                )
            words += [f"protocol={outcome.protocol_name}"] * (outcome.protocol_name != "range")
            words += ["skip"] * outcome.skip_assignment
            return " ".join(words)
        return outcome or "ok"

    def names(self, member_ids) -> list[str]:
        return [self.stage.name_of(each) for each in member_ids]

    # Verbs.

    def do_rules(self, *facts: str) -> None:
        told = dict(fact.split("=") for fact in facts)
        rules = GroupRules(
            initial_rebalance_delay_s=float(told.get("delay", 3)),
            members_max=int(told.get("max", 1000)),
        )
        by_hand = not self.stage.stores_at_once
        self.stage = Stage(rules)
        self.stage.stores_at_once = not by_hand

    def do_client(self, name: str, *facts: str) -> None:
        client = self.stage.client(name)
        for fact in facts:
            key, value = fact.split("=")
            if key == "protocols":
                client.protocols = tuple((each, each[:1].encode()) for each in value.split(","))
            elif key == "instance":
                client.instance = value
            elif key == "type":
                client.protocol_type = value
            elif key == "version":
                client.version = int(value)
            elif key == "member":
                client.member_id = value
            elif key == "says":
                client.protocols = tuple((n, value.encode()) for n, _ in client.protocols)
            elif key == "reads":
                said = encode_subscription(ConsumerProtocolSubscription(value.split(",")))
                client.protocols = tuple((n, said) for n, _ in client.protocols)
            else:
                setattr(client, f"{key}_ms", round(float(value) * 1000))

    def do_join(self, name: str, *why: str) -> Answer | RequestError:
        return self.stage.join(name, " ".join(why) or None)

    def do_sync(self, name: str, assignments: str = "") -> Answer | RequestError:
        pairs = (each.split("=") for each in assignments.split(",") if each)
        return self.stage.sync(name, {who: each.encode() for who, each in pairs})

    def do_beat(self, name: str) -> RequestError | str:
        return self.stage.heartbeat(name) or "ok"

    def do_commit(self, name: str) -> RequestError | str:
        if name.startswith("-"):
            self.stage.clients["-"] = Client("-", instance=name[1:] or None)
            name = "-"
        return self.stage.commit(name) or "ok"

    def do_leave(self, name: str, *why: str) -> RequestError | str:
        if name.startswith("i="):
            return self.stage.leave("", name.removeprefix("i=")) or "ok"
        client = self.stage.client(name)
        left = self.stage.leave(client.member_id, client.instance, " ".join(why) or None)
        return left or "ok"

    def do_restart(self, name: str) -> None:
        self.stage.restart(name)

    def do_clone(self, name: str, other: str) -> None:
        known = self.stage.client(other)
        clone = self.stage.client(name)
        clone.member_id, clone.instance = known.member_id, known.instance
        clone.generation_id = known.generation_id

    def do_after(self, seconds: str) -> None:
        self.stage.pass_time(float(seconds))

    def do_store(self, _by: str, _hand: str) -> None:
        self.stage.stores_at_once = False

    def do_stored(self) -> None:
        self.stage.finish_write()

    def do_too(self, _large: str) -> None:
        self.stage.finish_write(RequestError.of(ErrorCode.GROUP_MAX_SIZE_REACHED, "too large"))

    def do_take(self, _over: str) -> None:
        self.stage.take_over()

    def do_group(self, state: str, *facts: str) -> None:
        group = self.stage.group
        found = {
            "generation": str(group.generation_id),
            "leader": self.stage.name_of(group.leader_id) or "-",
            "members": ",".join(sorted(self.names(self.stage.member_ids()))) or "-",
            "pending": str(len(group.pending)),
            "protocol": group.protocol_name or "-",
            "assigned": ",".join(
                f"{self.stage.name_of(m.member_id)}={m.assignment.decode()}"
                for m in group.members
                if m.assignment
            )
            or "-",
        }
        assert group.state.value == state
        assert {fact: fact for fact in facts} == {
            fact: f"{(key := fact.partition('=')[0])}={found[key]}" for fact in facts
        }

    def do_history(self, *causes: str) -> None:
        last = list(self.stage.group.history)[-1]
        noted = [f"{c.kind.name}:{self.stage.name_of(c.member_id)}" for c in last.causes]
        assert tuple(noted) == causes


def play(path: Path) -> Stage:
    script = Script()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            try:
                script.play(line)
            except AssertionError as error:
                error.add_note(f"{path.name}:{number}: {line}")
                raise
    return script.stage


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_group_does_as_written(path: Path):
    stage = play(path)

    stage.take_over()
    assert not stage.waiting(), "whoever waits is answered, at the latest by the next owner"


def test_every_step_of_the_table_is_in_some_script():
    seen = set().union(*(play(path).moves for path in SCRIPTS))

    assert seen >= set(NEXT) - {(State.EMPTY, Trigger.DELETED)}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_what_is_not_in_the_table_is_illegal(state, trigger):
    group = Stage().group
    group.state = state
    if (state, trigger) in NEXT:
        group._move(trigger)
        assert group.state is NEXT[state, trigger]
    else:
        with pytest.raises(KeyError):
            group._move(trigger)
