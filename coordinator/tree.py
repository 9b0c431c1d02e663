"""The znode tree: a pure, synchronous machine. Transactions go in, results and notices come out.

`apply` is a deterministic function of the tree and the transaction, so replaying a journal gives
the same tree. A refused transaction changes nothing and takes no zxid.
Must never know: clocks (times come with transactions), disks, sockets, how notices travel.
Source: ZooKeeper programmer's guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias

from msgspec import Struct, field

from coordinator.watches import Event, EventType, W, Watches, WatchKind
from coordinator.znode import (
    ANY_VERSION,
    CONTAINER_OWNER,
    NO_OWNER,
    RESERVED_PATHS,
    ROOT,
    Acl,
    CheckVersion,
    CloseSession,
    Code,
    Created,
    CreateNode,
    DeleteNode,
    Multi,
    MultiRefused,
    NodeOperation,
    NodeResult,
    NodeStat,
    OpenSession,
    Refused,
    Result,
    SetAcl,
    SetData,
    SweepContainers,
    Transaction,
    Znode,
    check_acl,
    check_path,
    check_rooted,
    name_of,
    parent_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Undo: TypeAlias = "Callable[[], object]"


class Session(Struct):
    """A session that is open, and the paths of its ephemeral znodes."""

    timeout_ms: int
    password: bytes
    ephemerals: set[str] = field(default_factory=set)


class Applied(NamedTuple, Generic[W]):
    """What a transaction did: its zxid, its result and who must be told of what, in order."""

    zxid: int
    result: Result
    notices: list[tuple[W, Event]]


class _Moment(Struct, frozen=True):
    """Who acts and when: what an operation needs beside itself."""

    zxid: int
    time_ms: int
    session_id: int


class Tree(Generic[W]):
    """All znodes, sessions and watches. Public attributes are for reading."""

    def __init__(self) -> None:
        self.zxid = 0
        self.nodes: dict[str, Znode] = {path: Znode() for path in RESERVED_PATHS}
        self.sessions: dict[int, Session] = {}
        self.watches = Watches[W]()
        for path in RESERVED_PATHS[1:]:
            self.nodes[parent_of(path)].children.add(name_of(path))

    @classmethod
    def restore(cls, zxid: int, nodes: dict[str, Znode], sessions: dict[int, Session]) -> Tree[W]:
        """Build a tree from znodes and sessions; children and ephemerals are found anew."""
        tree: Tree[W] = cls()
        tree.zxid, tree.nodes, tree.sessions = zxid, nodes, sessions
        for path, node in nodes.items():
            if path != ROOT:
                nodes[parent_of(path)].children.add(name_of(path))
            if node.ephemeral:
                sessions[node.owner].ephemerals.add(path)
        return tree

    # Reading. With a watcher, a one-shot watch is set as well.

    def get(self, path: str, *, watcher: W | None = None) -> tuple[bytes | None, NodeStat]:
        """Read a znode; the watch is set only where it exists. Raises: Refused (NO_NODE)."""
        node = self._node(path)
        if watcher is not None:
            self.watches.add(watcher, WatchKind.DATA, path)
        return node.value, node.stat()

    def exists(self, path: str, *, watcher: W | None = None) -> NodeStat | None:
        """Stat of a znode, or None; the watch is set in both cases."""
        node = self.nodes.get(path or ROOT)
        if watcher is not None:
            self.watches.add(watcher, WatchKind.DATA, path)
        return None if node is None else node.stat()

    def children(self, path: str, *, watcher: W | None = None) -> tuple[list[str], NodeStat]:
        """Names of a znode's children, sorted. Raises: Refused (NO_NODE)."""
        node = self._node(path)
        if watcher is not None:
            self.watches.add(watcher, WatchKind.CHILDREN, path)
        return sorted(node.children), node.stat()

    def count_descendants(self, path: str) -> int:
        """Count the znodes below one, at any depth. Raises: Refused (NO_NODE)."""
        self._node(path)
        prefix = path.rstrip("/") + "/"
        return sum(other.startswith(prefix) for other in self.nodes if other != ROOT)

    def ephemerals(self, session_id: int) -> list[str]:
        """Paths of a session's ephemeral znodes, sorted. Raises: Refused (SESSION_EXPIRED)."""
        return sorted(self._session(session_id).ephemerals)

    def acl(self, path: str) -> tuple[tuple[Acl, ...], NodeStat]:
        """Read a znode's access control list. Raises: Refused (NO_NODE)."""
        node = self._node(path)
        return node.acl, node.stat()

    def rewatch(
        self, watcher: W, kind: WatchKind, paths: Iterable[str], *, seen_zxid: int
    ) -> list[Event]:
        """Set data or children watches again after a reconnection that had seen `seen_zxid`.

        Returns: what has changed since and must be told at once; the others are set.
        """
        missed: list[Event] = []
        for path in paths:
            node = self.nodes.get(path)
            if node is None:
                missed.append(Event(EventType.DELETED, path))
            elif kind is WatchKind.DATA and node.mzxid > seen_zxid:
                missed.append(Event(EventType.DATA_CHANGED, path))
            elif kind is WatchKind.CHILDREN and node.pzxid > seen_zxid:
                missed.append(Event(EventType.CHILDREN_CHANGED, path))
            else:
                self.watches.add(watcher, kind, path)
        return missed

    def rewatch_absent(self, watcher: W, paths: Iterable[str]) -> list[Event]:
        """Set watches on znodes that did not exist. Returns: those created meanwhile."""
        missed: list[Event] = []
        for path in paths:
            if path in self.nodes:
                missed.append(Event(EventType.CREATED, path))
            else:
                self.watches.add(watcher, WatchKind.DATA, path)
        return missed

    # Writing.

    def apply(self, transaction: Transaction) -> Applied[W]:
        """Apply a transaction, or nothing of it. Raises: Refused, MultiRefused."""
        operation = transaction.operation
        session_id = transaction.session_id
        changes: list[Event] = []
        result: Result = None
        moment = _Moment(self.zxid + 1, transaction.time_ms, session_id)
        if isinstance(operation, OpenSession):
            assert session_id not in self.sessions, "session ids are never used twice"
            self.sessions[session_id] = Session(operation.timeout_ms, operation.password)
        elif isinstance(operation, SweepContainers):
            self._sweep_containers(moment, changes)
        else:
            result = self._do_for(self._session(session_id), operation, moment, changes)
        self.zxid += 1
        return Applied(self.zxid, result, self.watches.trigger(changes))

    def _do_for(
        self,
        session: Session,
        operation: NodeOperation | Multi | CloseSession,
        moment: _Moment,
        changes: list[Event],
    ) -> Result:
        """Do what an open session asks for."""
        if isinstance(operation, CloseSession):
            self._close(session, moment, changes)
            return None
        if isinstance(operation, Multi):
            return self._multi(operation, moment, changes)
        result, _ = self._do(operation, moment, changes)
        return result

    def _multi(self, multi: Multi, moment: _Moment, changes: list[Event]) -> list[NodeResult]:
        """Do operations one after the other; undo them backwards where one is refused."""
        results: list[NodeResult] = []
        undos: list[Undo] = []
        for index, operation in enumerate(multi.operations):
            try:
                result, undo = self._do(operation, moment, changes)
            except Refused as cause:
                for undo in reversed(undos):
                    undo()
                raise MultiRefused(index, cause) from cause
            results.append(result)
            undos.append(undo)
        return results

    def _do(
        self, operation: NodeOperation, moment: _Moment, changes: list[Event]
    ) -> tuple[NodeResult, Undo]:
        """Do one operation on a znode. Returns: its result and how to undo it."""
        if isinstance(operation, CreateNode):
            return self._create(operation, moment, changes)
        if isinstance(operation, SetData):
            return self._set_data(operation, moment, changes)
        if isinstance(operation, DeleteNode):
            return self._delete(operation, moment, changes)
        if isinstance(operation, SetAcl):
            return self._set_acl(operation)
        return self._check(operation)

    def _create(
        self, create: CreateNode, moment: _Moment, changes: list[Event]
    ) -> tuple[NodeResult, Undo]:
        # In ZooKeeper's order, so that of two faults the same one is answered.
        check_rooted(create.path)
        check_acl(create.acl)
        parent = self._node(parent_of(create.path))
        check_path(create.path + "1" if create.sequence else create.path)
        path = f"{create.path}{parent.creations:010d}" if create.sequence else create.path
        if path in self.nodes:
            raise Refused(Code.NODE_EXISTS, path)
        if parent.ephemeral:
            raise Refused(Code.NO_CHILDREN_FOR_EPHEMERALS, path)
        node = Znode(
            value=create.value,
            acl=create.acl,
            czxid=moment.zxid,
            mzxid=moment.zxid,
            pzxid=moment.zxid,
            ctime_ms=moment.time_ms,
            mtime_ms=moment.time_ms,
            owner=_owner_of(create, moment),
        )
        pzxid = parent.pzxid
        parent.creations += 1
        parent.pzxid = moment.zxid
        self._attach(path, node, parent)
        changes.append(Event(EventType.CREATED, path))

        def undo() -> None:
            self._detach(path, node, parent)
            parent.creations -= 1
            parent.pzxid = pzxid

        return Created(path, node.stat()), undo

    def _delete(
        self, delete: DeleteNode, moment: _Moment, changes: list[Event]
    ) -> tuple[NodeResult, Undo]:
        path = delete.path
        check_rooted(path)
        if path in RESERVED_PATHS:
            raise Refused(Code.BAD_ARGUMENTS, f"{path!r} cannot be deleted")
        node = self._node(path)
        _demand_version(path, node.version, delete.version)
        if node.children:
            raise Refused(Code.NOT_EMPTY, path)
        parent = self.nodes[parent_of(path)]
        pzxid = parent.pzxid
        parent.pzxid = moment.zxid
        self._detach(path, node, parent)
        changes.append(Event(EventType.DELETED, path))

        def undo() -> None:
            self._attach(path, node, parent)
            parent.pzxid = pzxid

        return None, undo

    def _set_data(
        self, write: SetData, moment: _Moment, changes: list[Event]
    ) -> tuple[NodeResult, Undo]:
        node = self._named(write.path)
        _demand_version(write.path, node.version, write.version)
        before = (node.value, node.mzxid, node.mtime_ms, node.version)
        node.value, node.mzxid, node.mtime_ms = write.value, moment.zxid, moment.time_ms
        node.version += 1
        changes.append(Event(EventType.DATA_CHANGED, write.path))

        def undo() -> None:
            node.value, node.mzxid, node.mtime_ms, node.version = before

        return node.stat(), undo

    def _set_acl(self, write: SetAcl) -> tuple[NodeResult, Undo]:
        check_path(write.path)
        check_acl(write.acl)
        node = self._node(write.path)
        _demand_version(write.path, node.acl_version, write.version)
        before = (node.acl, node.acl_version)
        node.acl = write.acl
        node.acl_version += 1

        def undo() -> None:
            node.acl, node.acl_version = before

        return node.stat(), undo

    def _check(self, check: CheckVersion) -> tuple[NodeResult, Undo]:
        _demand_version(check.path, self._named(check.path).version, check.version)
        return None, lambda: None

    def _close(self, session: Session, moment: _Moment, changes: list[Event]) -> None:
        """Delete a session's ephemeral znodes in the order of their paths, then itself."""
        for path in sorted(session.ephemerals):
            self._delete(DeleteNode(path), moment, changes)
        del self.sessions[moment.session_id]

    def _sweep_containers(self, moment: _Moment, changes: list[Event]) -> None:
        """Delete the containers that are empty now, in the order of their paths."""
        for path in sorted(path for path, node in self.nodes.items() if node.sweepable):
            self._delete(DeleteNode(path), moment, changes)

    def _session(self, session_id: int) -> Session:
        session = self.sessions.get(session_id)
        if session is None:
            raise Refused(Code.SESSION_EXPIRED, f"session {session_id:#x}")
        return session

    def _node(self, path: str) -> Znode:
        node = self.nodes.get(path or ROOT)
        if node is None:
            raise Refused(Code.NO_NODE, path)
        return node

    def _named(self, path: str) -> Znode:
        """Give a znode by a path from outside, which only needs a check where there is none."""
        node = self.nodes.get(path)
        if node is None:
            check_path(path)
            raise Refused(Code.NO_NODE, path)
        return node

    def _attach(self, path: str, node: Znode, parent: Znode) -> None:
        self.nodes[path] = node
        parent.children.add(name_of(path))
        if node.ephemeral:
            self.sessions[node.owner].ephemerals.add(path)

    def _detach(self, path: str, node: Znode, parent: Znode) -> None:
        del self.nodes[path]
        parent.children.discard(name_of(path))
        if node.ephemeral:
            self.sessions[node.owner].ephemerals.discard(path)


def _owner_of(create: CreateNode, moment: _Moment) -> int:
    if create.container:
        return CONTAINER_OWNER
    return moment.session_id if create.ephemeral else NO_OWNER


def _demand_version(path: str, actual: int, expected: int) -> None:
    if expected not in (ANY_VERSION, actual):
        raise Refused(Code.BAD_VERSION, f"{path} has version {actual}, not {expected}")
