"""A group on stage: its clients, its clock and its store, all moved by hand.

What `broker.groups.serving` does with a group in trio is done here step by step: it stores what
wants to be stored, one write at a time, and wakes the group at its deadlines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.groups.errors import MemberIdRequired
from broker.groups.group import Group, GroupRules
from broker.groups.joining import join
from broker.groups.living import check_commit, heartbeat, leave
from broker.groups.member import Joined, Joining, Synced, Syncing
from broker.groups.membership import encode_membership, restore_membership
from broker.groups.subscriptions import owners
from broker.groups.syncing import sync
from coordinator.errors import NotGroupOwner
from protocol.errors import RequestError

WAKES_MAX = 200
"""At one moment; more would be a group that is never done."""


class Answer:
    """Where an answer goes, once and never again. Implements `member.Reply`."""

    def __init__(self, client: Client, answered: list[Answer]) -> None:
        self.client = client
        self.protocols = client.protocols
        self.outcome: Joined | Synced | RequestError | None = None
        self._answered = answered

    def answer(self, outcome: Joined | Synced | RequestError) -> None:
        assert self.outcome is None, (
            f"{self.client.name} was answered {self.outcome}, now {outcome}"
        )
        self.outcome = outcome
        self._answered.append(self)
        if isinstance(outcome, Joined):
            self.client.member_id = outcome.member_id
            self.client.generation_id = outcome.generation_id


@dataclass(eq=False)
class Client:
    """What a client knows of itself, and says."""

    name: str
    member_id: str = ""
    instance: str | None = None
    generation_id: int = -1
    protocols: tuple[tuple[str, bytes], ...] = (("range", b"r"),)
    protocol_type: str = "consumer"
    session_ms: int = 10_000
    rebalance_ms: int = 60_000
    version: int = 9
    answers: list[Answer] = field(default_factory=list)
    """What it has asked for, also in the life before a restart."""


class WatchedGroup(Group):
    """A group that remembers by what it was moved."""

    moves: list[tuple[object, object]]

    def _move(self, trigger) -> None:
        self.__dict__.setdefault("moves", []).append((self.state, trigger))
        super()._move(trigger)


class Stage:
    """One group that one broker after the other owns."""

    def __init__(self, rules: GroupRules | None = None) -> None:
        self.rules = rules or GroupRules()
        self.now = 0.0
        self.clients: dict[str, Client] = {}
        self.names: dict[str, str] = {}
        """Which client a member id was given to."""
        self.durable = b""
        self.moves: set[tuple[object, object]] = set()
        self.stores_at_once = True
        self.answered: list[Answer] = []
        """What was answered, in order."""
        self._ids = 0
        self._open()

    def _open(self) -> None:
        self.group = WatchedGroup(
            "g",
            rules=self.rules,
            new_id=self._new_id,
            wall_ms=lambda: round(1_000_000 + self.now * 1000),
            owners=owners,
        )
        restore_membership(self.group, self.durable, now=self.now)
        self.stored_revision = 0
        self.writing: tuple[int, bytes] | None = None

    def _new_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def client(self, name: str) -> Client:
        return self.clients.setdefault(name, Client(name))

    def name_of(self, member_id: str) -> str:
        return self.names.get(member_id, member_id)

    # What clients ask.

    def join(self, name: str, reason: str | None = None) -> Answer | RequestError:
        client = self.client(name)
        joining = Joining(
            member_id=client.member_id,
            group_instance_id=client.instance,
            client_id=name,
            client_host="/127.0.0.1",
            session_timeout_ms=client.session_ms,
            rebalance_timeout_ms=client.rebalance_ms,
            protocol_type=client.protocol_type,
            protocols=client.protocols,
            reason=reason,
            needs_member_id=client.version >= 4,
            may_skip_assignment=client.version >= 9,
        )
        answer = Answer(client, self.answered)
        before = set(self.member_ids())
        try:
            join(self.group, joining, answer, now=self.now)
            client.answers.append(answer)
        except MemberIdRequired as error:
            client.member_id = error.member_id
            self.names[error.member_id] = name
            return error
        except RequestError as error:
            return error
        finally:
            for member_id in set(self.member_ids()) - before:
                self.names[member_id] = name
            self._settle()
        return answer

    def sync(self, name: str, assignments: dict[str, bytes] | None = None) -> Answer | RequestError:
        client = self.client(name)
        by_id = {
            member_id: each
            for member_id in self.member_ids()
            for who, each in (assignments or {}).items()
            if self.name_of(member_id) == who
        }
        syncing = Syncing(client.member_id, client.instance, client.generation_id, by_id)
        answer = Answer(client, self.answered)
        try:
            sync(self.group, syncing, answer, now=self.now)
            client.answers.append(answer)
        except RequestError as error:
            return error
        finally:
            self._settle()
        return answer

    def heartbeat(self, name: str) -> RequestError | None:
        return self._tell(heartbeat, name)

    def commit(self, name: str) -> RequestError | None:
        return self._tell(check_commit, name)

    def _tell(self, act, name: str) -> RequestError | None:
        client = self.client(name)
        try:
            act(self.group, client.member_id, client.instance, client.generation_id, now=self.now)
        except RequestError as error:
            return error
        return None

    def leave(
        self, member_id: str, instance: str | None = None, reason: str | None = None
    ) -> RequestError | None:
        try:
            leave(self.group, member_id, instance, reason=reason, now=self.now)
        except RequestError as error:
            return error
        finally:
            self._settle()
        return None

    def restart(self, name: str) -> None:
        """Start a client's process anew: it knows nothing of what was."""
        client = self.client(name)
        client.member_id, client.generation_id = "", -1

    # Time, and the store.

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        wakes = 0
        while self.group.deadline <= until:
            wakes = wakes + 1 if self.group.deadline <= self.now else 0
            assert wakes < WAKES_MAX, f"{self.group} has something to do for ever"
            self.now = max(self.now, self.group.deadline)
            self.group.expire(now=self.now)
            self._settle()
        self.now = until

    def finish_write(self, error: RequestError | None = None) -> None:
        """Let the store answer the one write that is on its way."""
        assert self.writing is not None, "nothing is being stored"
        revision, packed = self.writing
        self.writing = None
        if error is None:
            self.durable = packed
            self.group.stored(revision, now=self.now)
        else:
            self.group.not_stored(error, now=self.now)
        self.stored_revision = revision
        self._settle()

    def take_over(self) -> None:
        """Let another broker go on with what is stored; who waits is sent there."""
        self.group.abandon(NotGroupOwner("g"))
        self._remember_moves()
        self._open()

    def _settle(self) -> None:
        self._remember_moves()
        group = self.group
        if group.is_settled and group.revision != self.stored_revision and self.writing is None:
            self.writing = (group.revision, encode_membership(group))
            if self.stores_at_once:
                self.finish_write()

    def _remember_moves(self) -> None:
        self.moves.update(self.group.__dict__.get("moves", ()))

    # What there is to be seen.

    def member_ids(self) -> list[str]:
        return [member.member_id for member in self.group.members]

    def waiting(self) -> list[Answer]:
        """Every request that has not been answered."""
        clients = self.clients.values()
        return [each for c in clients for each in c.answers if each.outcome is None]
