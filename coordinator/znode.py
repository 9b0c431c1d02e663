"""What a znode is made of: stats, ACLs, paths, the operations on it and the refusals.

The vocabulary that the tree, the embedded server and its wire format share.
Must never know: the tree's state, sessions' clocks, sockets, disks.
Source: ZooKeeper programmer's guide; the records of zookeeper.jute.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct, field

from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY_VERSION: Final = -1
NO_OWNER: Final = 0
CONTAINER_OWNER: Final = -(1 << 63)
"""Marks a container, which has no owner."""

ROOT: Final = "/"
RESERVED_PATHS: Final = (ROOT, "/zookeeper", "/zookeeper/config", "/zookeeper/quota")
"""Znodes that exist from the start and can never be deleted."""


class Code(IntEnum):
    """The error codes of ZooKeeper's protocol that this server can answer."""

    OK = 0
    RUNTIME_INCONSISTENCY = -2
    MARSHALLING_ERROR = -5
    UNIMPLEMENTED = -6
    BAD_ARGUMENTS = -8
    NO_NODE = -101
    BAD_VERSION = -103
    NO_CHILDREN_FOR_EPHEMERALS = -108
    NODE_EXISTS = -110
    NOT_EMPTY = -111
    SESSION_EXPIRED = -112
    INVALID_ACL = -114
    AUTH_FAILED = -115
    NO_WATCHER = -121


class Refused(CoordinationError):
    """The tree refused an operation; nothing was changed."""

    def __init__(self, code: Code, subject: str) -> None:
        super().__init__(f"{code.name}: {subject}")
        self.code = code


class MultiRefused(CoordinationError):
    """The tree refused a multi as a whole: operation `index` is at fault, with `code`."""

    def __init__(self, index: int, cause: Refused) -> None:
        super().__init__(f"operation {index} of a multi: {cause}")
        self.index = index
        self.code = cause.code


class NodeStat(NamedTuple):
    """A znode's stat, in the order of the wire. Times are in ms since the Unix epoch."""

    czxid: int
    mzxid: int
    ctime_ms: int
    mtime_ms: int
    version: int
    children_version: int
    acl_version: int
    owner: int
    value_bytes: int
    children: int
    pzxid: int


class Acl(NamedTuple):
    """One entry of an access control list. It is kept and shown, never enforced."""

    permissions: int
    scheme: str
    identity: str


OPEN_ACL: Final = (Acl(31, "world", "anyone"),)


class Znode(Struct):
    """A znode. `creations` counts the children ever created: it numbers sequential ones."""

    value: bytes | None = b""
    acl: tuple[Acl, ...] = OPEN_ACL
    czxid: int = 0
    mzxid: int = 0
    pzxid: int = 0
    ctime_ms: int = 0
    mtime_ms: int = 0
    version: int = 0
    acl_version: int = 0
    creations: int = 0
    owner: int = NO_OWNER
    children: set[str] = field(default_factory=set)

    @property
    def ephemeral(self) -> bool:
        """Say whether the znode goes with its session."""
        return self.owner not in (NO_OWNER, CONTAINER_OWNER)

    @property
    def sweepable(self) -> bool:
        """Say whether the znode is a container whose last child has gone."""
        return self.owner == CONTAINER_OWNER and self.creations > 0 and not self.children

    def stat(self) -> NodeStat:
        """Describe the znode. `children_version` counts creations and deletions of children."""
        return NodeStat(
            self.czxid,
            self.mzxid,
            self.ctime_ms,
            self.mtime_ms,
            self.version,
            # Every child created is either still there or has been deleted.
            2 * self.creations - len(self.children),
            self.acl_version,
            self.owner if self.ephemeral else NO_OWNER,
            len(self.value or b""),
            len(self.children),
            self.pzxid,
        )


class CreateNode(Struct, frozen=True):
    """Create a znode; with `sequence` a ten-digit counter of the parent is appended.

    A `container` may be swept away once its last child has gone.
    """

    path: str
    value: bytes | None = b""
    ephemeral: bool = False
    sequence: bool = False
    container: bool = False
    acl: tuple[Acl, ...] = OPEN_ACL


class SetData(Struct, frozen=True):
    """Replace a znode's value if it has this version."""

    path: str
    value: bytes | None
    version: int = ANY_VERSION


class DeleteNode(Struct, frozen=True):
    """Delete a znode if it has this version and no children."""

    path: str
    version: int = ANY_VERSION


class CheckVersion(Struct, frozen=True):
    """Demand that a znode exists with this version."""

    path: str
    version: int = ANY_VERSION


class SetAcl(Struct, frozen=True):
    """Replace a znode's access control list if that has this version."""

    path: str
    acl: tuple[Acl, ...]
    version: int = ANY_VERSION


class Multi(Struct, frozen=True):
    """Do all operations or none."""

    operations: tuple[NodeOperation, ...]


class OpenSession(Struct, frozen=True):
    """Begin a session under the transaction's session id."""

    timeout_ms: int
    password: bytes


class CloseSession(Struct, frozen=True):
    """End the transaction's session and delete its ephemeral znodes."""


class SweepContainers(Struct, frozen=True):
    """Delete the containers that had children and have none; of no session."""


NodeOperation = CreateNode | SetData | DeleteNode | CheckVersion | SetAcl
Operation = NodeOperation | Multi | OpenSession | CloseSession | SweepContainers


class Transaction(Struct, frozen=True):
    """One operation of one session at one moment (ms since the Unix epoch)."""

    session_id: int
    time_ms: int
    operation: Operation


class Created(NamedTuple):
    """The outcome of a CreateNode: the path with its sequence, and the stat."""

    path: str
    stat: NodeStat


NodeResult = Created | NodeStat | None
"""A Created, the stat after a SetData or SetAcl, None after a DeleteNode or CheckVersion."""
Result = NodeResult | list[NodeResult]
"""A list after a Multi."""

_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]"  # as UTF-16 sees them
    "|//|/\\.\\.?(?:/|$)"  # no repetition: tried at every start, it would square the time
)

_IDENTITIES = re.compile("world:anyone|digest:[^:]*:[^:]*|ip:.+", re.DOTALL)


def check_path(path: str) -> None:
    """Check that a path may name a znode. Raises: Refused (BAD_ARGUMENTS)."""
    ends_open = len(path) > 1 and path.endswith("/")
    if not path.startswith(ROOT) or ends_open or _FORBIDDEN.search(path):
        raise Refused(Code.BAD_ARGUMENTS, f"{path!r} is no path of a znode")


def check_rooted(path: str) -> None:
    """Check that a path has a parent at all. Raises: Refused (BAD_ARGUMENTS)."""
    if ROOT not in path:
        raise Refused(Code.BAD_ARGUMENTS, f"{path!r} is no path of a znode")


def parent_of(path: str) -> str:
    """Give the path of a znode's parent; the root is its own."""
    return path[: path.rindex("/")] or ROOT


def name_of(path: str) -> str:
    """Give the last part of a path."""
    return path[path.rindex("/") + 1 :]


def check_acl(acl: Sequence[Acl]) -> None:
    """Check an access control list as ZooKeeper would. Raises: Refused (INVALID_ACL).

    The scheme "auth" (whoever has authenticated) is refused: nobody is remembered as that.
    """
    if not acl:
        raise Refused(Code.INVALID_ACL, "an access control list has at least one entry")
    for _, scheme, identity in acl:
        if not _IDENTITIES.fullmatch(f"{scheme}:{identity}"):
            raise Refused(Code.INVALID_ACL, f"scheme {scheme!r} with identity {identity!r}")
