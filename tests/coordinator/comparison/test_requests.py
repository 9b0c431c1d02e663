"""Requests at the edges, answered alike by the embedded server and a real ZooKeeper."""

from __future__ import annotations

import pytest
from kazoo.protocol.serialization import (
    Auth,
    CheckVersion,
    Create,
    Create2,
    Delete,
    Exists,
    GetACL,
    GetChildren,
    GetChildren2,
    GetData,
    SetACL,
    SetData,
    Transaction,
)
from kazoo.security import ACL, Id

pytestmark = pytest.mark.zookeeper

JUTE_MAXBUFFER = 0xFFFFF
EPHEMERAL, SEQUENCE = 1, 2
DATA, CHILDREN, ANY = 2, 1, 3
SHORT_S = 2.0
"""Of a session that is to run out, and must live until then on a busy machine, too."""

CREATED_EVENT, DELETED_EVENT, CHANGED_EVENT, CHILD_EVENT = 1, 2, 3, 4


@pytest.fixture
def one(pair, root):
    """Do something in session "one", below a root of the test's own."""
    pair.open("one")
    assert pair.do("one", Create(root, b"", pair.ask.open_acl, 0)) == root
    return lambda request: pair.do("one", request)


@pytest.fixture
def acl(pair):
    return pair.ask.open_acl


# --- create ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*range(-1, 9), 1000])
@pytest.mark.parametrize("kind", [Create, Create2])
def test_every_create_mode_is_answered_alike(one, root, acl, kind, mode):
    one(kind(root + "/n", b"v", acl, mode))
    one(GetData(root + "/n", None))
    one(GetChildren2(root, None))


@pytest.mark.parametrize(
    "name",
    ["", "/", "//p", "/p/", "/p//q", "/.", "/..", "/./p", "/p/..", "/...", "/.p", "/p.", "/ "]
    + [f"/{chr(code)}" for code in (0x01, 0x1F, 0x20, 0x7E, 0x7F, 0x9F, 0xA0, 0xD7FF, 0xE000)]
    + [f"/{chr(code)}" for code in (0xF8FF, 0xF900, 0xFFEF, 0xFFF0, 0xFFFD, 0x1F600)],
)
def test_every_path_is_accepted_or_refused_alike(one, root, acl, name):
    one(Create(root + "/p", b"", acl, 0))
    path = root + name
    one(Create(path, b"", acl, 0))
    one(Create(path, b"", acl, SEQUENCE))
    one(Exists(path, None))
    one(SetData(path, b"1", -1))
    one(Transaction([Create(path, b"", acl, 0)]))
    one(Delete(path, -1))


@pytest.mark.parametrize("path", ["relative", "/", "/zookeeper", "/zookeeper/quota"])
def test_what_cannot_be_created_or_deleted_is_refused_alike(one, acl, path):
    one(Create(path, b"", acl, 0))
    one(Delete(path, -1))
    one(Transaction([Delete(path, -1)]))
    one(GetChildren(path if path != "/" else "/zookeeper", None))


def test_containers_are_created_alike(one, root, pair):
    one(pair.ask.create_container(root + "/c"))
    one(Exists(root + "/c", None))
    one(Delete(root + "/c", -1))


@pytest.mark.parametrize("mode", [5, 6])
def test_time_to_live_is_off_alike(one, root, pair, mode):
    assert one(pair.ask.create_ttl(root + "/t", mode, 1000)) == "UnimplementedError"


def test_a_null_value_stays_null(one, root, acl):
    one(Create(root + "/n", None, acl, 0))
    assert one(GetData(root + "/n", None))[0] is None
    one(SetData(root + "/n", b"1", -1))
    one(SetData(root + "/n", None, -1))
    assert one(GetData(root + "/n", None))[0] is None


def test_sequences_are_numbered_alike(one, root, acl):
    for mode in (SEQUENCE, 0, SEQUENCE | EPHEMERAL, SEQUENCE):
        one(Create(root + "/n", b"", acl, mode))
        one(Delete(root + "/n", -1))
        one(Create(root + "/", b"", acl, SEQUENCE))
    one(Delete(root + "/n0000000000", -1))
    one(Create(root + "/n", b"", acl, SEQUENCE))
    assert len(one(GetChildren2(root, None))[0]) > 4


@pytest.mark.parametrize("over", [-1, 0, 1, 2])
def test_requests_around_jute_maxbuffer_are_answered_alike(one, root, acl, over):
    path = root + "/large"
    one(Create(path, b"", acl, 0))
    around_value = 4 + 4 + 4 + len(path) + 4 + 4  # xid, code, path, length and version
    answer = one(SetData(path, b"x" * (JUTE_MAXBUFFER - around_value + over), -1))

    assert (answer == "ConnectionLoss") == (over > 0)


# --- multi -----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("fault", ["check", "create", "delete", "parent", "path", "mode", "acl"])
def test_a_multi_fails_alike_whatever_is_wrong_and_wherever(one, root, acl, fault, index):
    operations = [
        Create(root + "/a", b"", acl, 0),
        SetData(root + "/a", b"1", 0),
        Create(root + "/s-", b"", acl, SEQUENCE),
    ]
    faults = {
        "check": CheckVersion(root, 7),
        "create": Create(root, b"", acl, 0),
        "delete": Delete(root + "/missing", -1),
        "parent": Create(root + "/missing/a", b"", acl, 0),
        "path": Create(root + "//x", b"", acl, 0),
        "mode": Create(root + "/x", b"", acl, 77),
        "acl": Create(root + "/x", b"", [], 0),
    }
    operations.insert(index, faults[fault])

    one(Transaction(operations))
    assert one(GetChildren2(root, None))[0] == []


def test_a_multi_works_on_what_it_has_made_itself(one, root, acl):
    path = root + "/a"
    one(
        Transaction(
            [
                Create(path, b"0", acl, 0),
                SetData(path, b"1", 0),
                CheckVersion(path, 1),
                Delete(path, 1),
                Create(path, b"2", acl, EPHEMERAL),
                Create(root + "/s-", b"", acl, SEQUENCE),
                Create(root + "/s-", b"", acl, SEQUENCE | EPHEMERAL),
            ]
        )
    )
    one(GetData(path, None))
    one(GetChildren2(root, None))
    one(Transaction([]))


# --- watches ---------------------------------------------------------------------------------


def test_one_transaction_tells_a_one_shot_watch_once(pair, one, root, acl):
    one(GetChildren(root, pair.ask.watched))
    one(GetData(root, pair.ask.watched))
    one(Exists(root + "/a", pair.ask.watched))
    one(
        Transaction(
            [
                Create(root + "/a", b"", acl, 0),
                Create(root + "/b", b"", acl, 0),
                SetData(root, b"", -1),
                Delete(root + "/a", -1),
            ]
        )
    )

    events = pair.compare_heard("one")["one"]
    assert [event[1] for event in events] == [CREATED_EVENT, CHILD_EVENT, CHANGED_EVENT]


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_persistent_watches_tell_alike(pair, one, root, acl, mode):
    one(pair.ask.add_watch(root + "/w", mode))
    for _ in range(2):
        one(Create(root + "/w", b"", acl, 0))
        one(SetData(root + "/w", b"", -1))
        one(Create(root + "/w/c", b"", acl, 0))
        one(SetData(root + "/w/c", b"", -1))
        one(Delete(root + "/w/c", -1))
        one(Delete(root + "/w", -1))
    one(pair.ask.remove_watches(root + "/w", ANY))
    one(Create(root + "/w", b"", acl, 0))

    pair.compare_heard("one")


@pytest.mark.parametrize("kind", [DATA, CHILDREN, ANY, 0, 9])
def test_watches_are_checked_and_removed_alike(pair, one, root, acl, kind):
    one(GetData(root, pair.ask.watched))
    one(GetChildren(root, pair.ask.watched))
    one(pair.ask.check_watches(root, kind))
    one(pair.ask.remove_watches(root, kind))
    one(pair.ask.remove_watches(root, kind))
    for each in (DATA, CHILDREN, ANY):
        one(pair.ask.check_watches(root, each))
    one(SetData(root, b"", -1))
    one(Create(root + "/c", b"", acl, 0))

    pair.compare_heard("one")


@pytest.mark.parametrize("seen_zxid", [0, 1 << 60])
def test_watches_are_set_again_alike_after_a_reconnection(pair, one, root, acl, seen_zxid):
    there, missing = root + "/there", root + "/missing"
    one(Create(there, b"", acl, 0))
    paths = [there, missing]
    one(pair.ask.set_watches(seen_zxid, data=paths, absent=paths, children=paths))
    one(SetData(there, b"", -1))
    one(Create(there + "/c", b"", acl, 0))
    one(Create(missing, b"", acl, 0))
    one(Delete(missing, -1))

    pair.compare_heard("one")


# --- sessions --------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["close", "vanish"])
def test_the_ephemerals_of_a_session_go_alike(pair, one, root, acl, leave):
    pair.open("two", timeout=SHORT_S)
    for name in ("a", "b", "c"):
        pair.do("two", Create(f"{root}/{name}", b"", acl, EPHEMERAL))
    one(Delete(root + "/b", -1))
    pair.do("two", Create(root + "/stays", b"", acl, 0))
    one(GetChildren(root, pair.ask.watched))
    one(Exists(root + "/a", pair.ask.watched))
    getattr(pair, leave)("two")
    pair.wait_event("one")

    # In which order the ephemerals of one session go, ZooKeeper leaves open.
    events = pair.compare_heard("one", ordered=False)["one"]
    assert sorted(event[1] for event in events) == [DELETED_EVENT, CHILD_EVENT]
    one(GetChildren2(root, None))


def test_ephemerals_and_descendants_are_listed_alike(pair, one, root, acl):
    pair.open("two")
    for session, name in (("one", "a"), ("two", "b"), ("one", "c")):
        pair.do(session, Create(f"{root}/{name}", b"", acl, EPHEMERAL))
    one(Create(root + "/d", b"", acl, 0))
    one(Create(root + "/d/e", b"", acl, 0))
    for path in (root, root + "/a", root + "/d", root + "/missing", "/zookeeper"):
        one(pair.ask.get_ephemerals(path))
        one(pair.ask.count_descendants(path))


# --- access lists ----------------------------------------------------------------------------


def test_access_lists_have_a_version_of_their_own(one, root, acl):
    for version in (3, 0, 0, -1, 2, 1):
        one(SetACL(root, acl, version))
        one(GetACL(root))
    one(SetACL(root + "/missing", acl, -1))
    one(GetACL(root + "/missing"))


@pytest.mark.parametrize(
    "acls",
    [
        [],
        [ACL(31, Id("world", "nobody"))],
        [ACL(31, Id("nope", "x"))],
        [ACL(31, Id("digest", "no-colon"))],
        [ACL(31, Id("auth", ""))],
    ],
    ids=["empty", "world", "scheme", "digest", "auth"],
)
def test_access_lists_that_make_no_sense_are_refused_alike(one, root, acls):
    assert one(Create(root + "/x", b"", acls, 0)) == "InvalidACLError"
    one(SetACL(root, acls, -1))


def test_credentials_are_accepted_alike(one):
    assert one(Auth(0, "digest", "user:password")) is True


# --- what the embedded server leaves out -----------------------------------------------------


def test_the_embedded_server_keeps_access_lists_and_enforces_none(pair, root):
    pair.open("one")
    read_only = [ACL(1, Id("world", "anyone"))]
    refused = []
    for server in pair.servers:
        session = server.sessions["one"]
        session.create(root, b"", acl=read_only)
        result = session.set_async(root, b"1")
        result.wait()
        refused.append(type(result.exception).__name__)
        assert session.get_acls(root)[0] == read_only

    assert refused == ["NoAuthError", "NoneType"]
