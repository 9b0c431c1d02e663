"""What is left of `_schemas` after compaction says the same as all that was ever written there.

A registry decides, writes and dies at random; in between the log is compacted as brokers do it.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from itertools import cycle

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from registry import decide, records
from registry.decide import Decision, Registration
from registry.errors import RegistryError
from registry.ids import note_before
from registry.model import Body, Config, Mode, Reference
from registry.names import split
from registry.parsing import Parser
from registry.records import Record, SchemaSet
from registry.state import State
from schemas.schema import SchemaType

PARSER = Parser(None)
SUBJECTS = ("a", "b", ":.c:a")
CONTEXTS = (".", ".c")
NUMBERS = range(1, 8)


def user(*optional: str) -> Body:
    """Make a record with an id and fields with a default."""
    fields = "".join(f',{{"name":"{n}","type":["null","int"],"default":null}}' for n in optional)
    text = f'{{"type":"record","name":"U","fields":[{{"name":"id","type":"int"}}{fields}]}}'
    return Body(SchemaType.AVRO, text)


REFERS = Body(
    SchemaType.AVRO,
    '{"type":"record","name":"O","fields":[{"name":"by","type":"U"}]}',
    (Reference("U", "a", 1),),
)
BODIES = (*(user(*names) for names in ("", "x", "y", "xy", "xyz")), REFERS)

subjects = st.sampled_from(("a", "a", *SUBJECTS))
scopes = st.sampled_from(("", ":.c:", *SUBJECTS))
bodies = st.sampled_from(BODIES)
settings_given = st.sampled_from(
    (
        Config("NONE"),
        Config("BACKWARD"),
        Mode.READONLY,
        decide.delete_config,
        decide.delete_mode,
        decide.delete_mode,
    )
)
indices = st.integers(0, 20)
numbers = st.integers(1, 4)
survived = st.none() | st.none() | st.integers(0, 3)
"""How many records of a change are written before the registry dies; None where it does not.

All may be: it dies before it has answered.
"""


class Topic:
    """All that was written, and what compaction has left of it."""

    def __init__(self) -> None:
        self.written: list[Record] = []
        self.left: list[tuple[int, Record]] = []

    def append(self, record: Record) -> None:
        """Write a record at the end."""
        self.left.append((len(self.written), record))
        self.written.append(record)

    def compact(self, end: int, is_dropped) -> None:
        """Keep the newest record of each key below an offset, not tombstones that are dropped."""
        newest = {record.key: offset for offset, record in self.left if offset < end}
        self.left = [
            (offset, record)
            for offset, record in self.left
            if offset >= end
            or (newest[record.key] == offset and not (record.value is None and is_dropped()))
        ]


def replayed(read) -> State:
    """Read records from the first to the last, as a registry does that starts."""
    state = State()
    for record in read:
        if (change := records.decode(*record)) is not None:
            state.apply(change)
    return state


def told(state: State) -> dict:
    """Ask a state all that can be asked."""
    ids = [(context, number) for context in CONTEXTS for number in range(40)]
    versions = [(subject, number) for subject in SUBJECTS for number in NUMBERS]
    return {
        "configs": state.configs,
        "modes": state.modes,
        "contexts": state.contexts(),
        "versions": list(state.all_versions()),
        "subjects": [state.subjects(deleted=deleted) for deleted in (False, True)],
        "bodies": {each: state.body(*each) for each in ids},
        "users": {each: state.users(*each) for each in ids},
        "ids": {
            (context, body): state.id_of(context, body) for context in CONTEXTS for body in BODIES
        },
        "referred": {each: state.referred_from(*each) for each in versions},
        "next": {context: state.id_max(context) + 1 for context in CONTEXTS},
    }


class Registries(RuleBasedStateMachine):
    """Registries that lead one after the other, and the topic that they share."""

    @initialize()
    def begin(self) -> None:
        self.topic = Topic()
        self.state = State()
        self.given: dict[str, set[int]] = defaultdict(set)
        self.decide(lambda: decide.set_config(self.state, "", Config("NONE")), None)

    @rule(subject=subjects, body=bodies, dies_after=survived)
    def register(self, subject, body, dies_after):
        context = split(subject).context
        known = self.state.id_of(context, body)
        asked = Registration(subject, body)
        given = set(self.given[context])
        version = self.decide(lambda: decide.register(self.state, PARSER, asked), dies_after)
        if version is not None and known is None:
            assert version.schema_id not in given, "this id was given out before"

    @rule(
        subject=subjects,
        body=bodies,
        number=numbers,
        schema_id=st.integers(1, 20),
        over=st.none() | indices,
        dies_after=survived,
    )
    def import_schema(self, subject, body, number, schema_id, over, dies_after):
        """Give a version an id by hand, a new version or one that is there (`over`)."""
        if over is not None and (there := self.nth_version(over)) is not None:
            subject, number = there.subject, there.version
        modes = self.state.modes
        before = modes.get(subject)
        self.write(decide.set_mode(self.state, subject, Mode.IMPORT, force=True), None)
        asked = Registration(subject, body, number, schema_id)
        self.decide(lambda: decide.register(self.state, PARSER, asked), dies_after)
        if before is None:
            back = decide.delete_mode(self.state, subject)
        else:
            back = decide.set_mode(self.state, subject, before, force=True)
        self.write(back, None)

    @rule(which=indices, dies_after=survived)
    def delete_version(self, which, dies_after):
        """Delete one softly, or permanently if it is deleted softly already."""
        each = self.nth_version(which)
        if each is not None:
            self.decide(
                lambda: decide.delete_version(
                    self.state, each.subject, each.version, permanent=each.deleted
                ),
                dies_after,
            )

    @rule(subject=subjects, dies_after=survived)
    def delete_subject(self, subject, dies_after):
        """Delete all versions softly, or permanently if all are deleted softly already."""
        permanent = not self.state.versions(subject)

        def decided():
            return decide.delete_subject(self.state, subject, permanent=permanent)

        self.decide(decided, dies_after)

    @rule(scope=scopes, setting=settings_given, dies_after=survived)
    def change_settings(self, scope, setting, dies_after):
        """Give a level or a mode to a scope, or take it back."""

        def decided():
            match setting:
                case Config():
                    return decide.set_config(self.state, scope, setting)
                case Mode():
                    return decide.set_mode(self.state, scope, setting, force=True)
            return setting(self.state, scope)

        self.decide(decided, dies_after)

    @rule(back=st.integers(0, 6), dropped=st.lists(st.booleans(), min_size=1, max_size=5))
    def compact(self, back, dropped):
        drops = cycle(dropped)
        self.topic.compact(len(self.topic.written) - back, lambda: next(drops))
        self.check()

    @rule()
    def another_leads(self):
        """Another registry reads what is left, and begins its term."""
        self.check()
        self.state = replayed(record for _, record in self.topic.left)
        self.topic.append(records.noop())
        self.write(Decision((), None), None)

    def teardown(self):
        self.check()

    def nth_version(self, index):
        there = list(self.state.all_versions())
        return there[index % len(there)] if there else None

    def check(self):
        left = replayed(record for _, record in self.topic.left)
        assert told(left) == told(replayed(self.topic.written)) == told(self.state)

    def decide(self, decided, dies_after):
        """Do what was decided, unless it is refused. Returns: the answer once all is written."""
        with suppress(RegistryError):
            decision = decided()
            if self.write(decision, dies_after):
                return decision.answer
        return None

    def write(self, decision: Decision, dies_after: int | None) -> bool:
        """Write as the leader does, as far as it lives. Returns: whether it did all."""
        note = note_before(self.state, decision.changes)
        changes = [*([note] if note else []), *decision.changes]
        for change in changes[:dies_after]:
            self.topic.append(records.encode(change))
            self.state.apply(change)
            if isinstance(change, SchemaSet):
                self.given[split(change.version.subject).context].add(change.version.schema_id)
        if dies_after is None:
            return True
        self.check()
        self.topic.compact(len(self.topic.written), lambda: True)
        self.another_leads()
        return False


TestCompacted = Registries.TestCase
TestCompacted.settings = settings(stateful_step_count=60)
TestCompacted.pytestmark = pytest.mark.slow
