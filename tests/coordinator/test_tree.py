"""The znode tree: its rules, and that it is a function of what is applied to it."""

from __future__ import annotations

import re

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.embedded.packing import (
    pack_transaction,
    pack_tree,
    unpack_transaction,
    unpack_tree,
)
from coordinator.tree import Tree
from coordinator.watches import EventType, WatchKind
from coordinator.znode import (
    _FORBIDDEN,
    CONTAINER_OWNER,
    NO_OWNER,
    Acl,
    CheckVersion,
    CloseSession,
    Code,
    CreateNode,
    DeleteNode,
    Multi,
    MultiRefused,
    OpenSession,
    Refused,
    SetAcl,
    SetData,
    SweepContainers,
    Transaction,
    check_path,
)
from tests.support.effort import examples

SESSION = 7


class Driver:
    """Applies operations of one session to a tree, at a time of its own."""

    def __init__(self):
        self.tree = Tree()
        self.time_ms = 1_000
        self.journal = []
        self.do(OpenSession(timeout_ms=6_000, password=b"secret"))

    def do(self, operation, session_id=SESSION):
        self.time_ms += 1
        transaction = Transaction(session_id, self.time_ms, operation)
        applied = self.tree.apply(transaction)
        self.journal.append((applied.zxid, transaction))
        return applied


@pytest.fixture
def driver():
    return Driver()


def refusal_of(driver, operation):
    before = pack_tree(driver.tree)
    with pytest.raises(Refused) as refused:
        driver.do(operation)
    assert pack_tree(driver.tree) == before, "a refused operation changes nothing"
    return refused.value.code


def test_a_znode_keeps_when_and_by_what_it_was_made_and_changed(driver):
    created = driver.do(CreateNode("/a", b"1"))
    changed = driver.do(SetData("/a", b"22", version=0))
    child = driver.do(CreateNode("/a/b"))

    _, stat = driver.tree.get("/a")
    assert (stat.czxid, stat.mzxid, stat.pzxid) == (created.zxid, changed.zxid, child.zxid)
    assert (stat.ctime_ms, stat.mtime_ms) == (1_002, 1_003)
    assert (stat.version, stat.value_bytes, stat.children, stat.children_version) == (1, 2, 1, 1)
    assert stat.owner == NO_OWNER


def test_children_version_counts_creations_and_deletions_but_sequences_only_creations(driver):
    driver.do(CreateNode("/q"))
    first = driver.do(CreateNode("/q/n-", sequence=True)).result
    driver.do(DeleteNode(first.path))
    second = driver.do(CreateNode("/q/n-", sequence=True)).result

    assert (first.path, second.path) == ("/q/n-0000000000", "/q/n-0000000001")
    assert driver.tree.exists("/q").children_version == 3


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (CreateNode("/a"), Code.NODE_EXISTS),
        (CreateNode("/"), Code.NODE_EXISTS),
        (CreateNode("/missing/b"), Code.NO_NODE),
        (CreateNode("/missing/../b"), Code.NO_NODE),
        (CreateNode("/a/../b"), Code.NO_NODE),
        (CreateNode("/a/.."), Code.BAD_ARGUMENTS),
        (CreateNode("/a/"), Code.BAD_ARGUMENTS),
        (CreateNode("a"), Code.BAD_ARGUMENTS),
        (CreateNode(""), Code.BAD_ARGUMENTS),
        (CreateNode("/b", acl=()), Code.INVALID_ACL),
        (CreateNode("/b", acl=(Acl(31, "auth", ""),)), Code.INVALID_ACL),
        (CreateNode("/e/child"), Code.NO_CHILDREN_FOR_EPHEMERALS),
        (SetData("/a", b"", version=1), Code.BAD_VERSION),
        (SetData("/missing", b""), Code.NO_NODE),
        (DeleteNode("/missing"), Code.NO_NODE),
        (DeleteNode("/a", version=1), Code.BAD_VERSION),
        (DeleteNode("/p"), Code.NOT_EMPTY),
        (DeleteNode("/"), Code.BAD_ARGUMENTS),
        (DeleteNode("/zookeeper"), Code.BAD_ARGUMENTS),
        (CheckVersion("/a", 1), Code.BAD_VERSION),
        (CheckVersion("/missing"), Code.NO_NODE),
        (SetAcl("/a", (), 0), Code.INVALID_ACL),
        (SetAcl("/a", (Acl(1, "world", "anyone"),), 1), Code.BAD_VERSION),
    ],
)
def test_a_refusal_has_zookeepers_code_and_changes_nothing(driver, operation, code):
    for path in ("/a", "/p", "/p/child"):
        driver.do(CreateNode(path))
    driver.do(CreateNode("/e", ephemeral=True))

    assert refusal_of(driver, operation) is code
    with pytest.raises(MultiRefused) as refused:
        driver.do(Multi((SetData("/p", b"new"), CreateNode("/new"), operation)))
    assert (refused.value.index, refused.value.code) == (2, code)
    assert "/new" not in driver.tree.nodes


@pytest.mark.parametrize("path", ["/a", "/a.b", "/..a", "/a b", "/тема", "/a..", "/.a./...b"])
def test_a_path_may_hold_dots_that_are_no_parts(path):
    check_path(path)


PATHS_REFUSED = (
    *("", "a", "/a/", "//", "/a//b", "/.", "/a/./b", "/a/.."),
    *("/a\0", "/\x1f", "/\x7f", "/\x9f", "/\ue000", "/\uffff", "/\U0001f600", "/a\n"),
)


@pytest.mark.parametrize("path", PATHS_REFUSED)
def test_a_path_is_refused_as_zookeeper_would(path):
    with pytest.raises(Refused):
        check_path(path)


@given(st.text(st.sampled_from("/.a\n\ue000") | st.characters(), max_size=12))
def test_a_path_is_refused_by_a_rule_that_could_be_one_slow_pattern(path):
    slow = re.compile(_FORBIDDEN.pattern + "|.+/$")
    try:
        check_path(path)
    except Refused:
        assert not path.startswith("/") or slow.search(path)
    else:
        assert path.startswith("/")
        assert not slow.search(path)


def test_nothing_in_the_pattern_of_forbidden_paths_repeats():
    # A repetition is tried at every start: 1 MB, the longest request, would take minutes.
    assert not re.search(r"[*+{]", _FORBIDDEN.pattern)

    check_path("/" + "x" * (1 << 20))


def test_a_session_that_is_not_open_may_do_nothing(driver):
    with pytest.raises(Refused) as refused:
        driver.do(CreateNode("/a"), session_id=8)

    assert refused.value.code is Code.SESSION_EXPIRED


def test_closing_a_session_deletes_its_ephemerals_and_nothing_else(driver):
    driver.do(OpenSession(1_000, b""), session_id=8)
    driver.do(CreateNode("/mine", ephemeral=True))
    driver.do(CreateNode("/theirs", ephemeral=True), session_id=8)
    driver.do(CreateNode("/lasting"))
    driver.tree.exists("/mine", watcher="w")
    driver.tree.children("/", watcher="w")

    closed = driver.do(CloseSession())

    assert driver.tree.children("/")[0] == ["lasting", "theirs", "zookeeper"]
    assert driver.tree.sessions.keys() == {8}
    assert closed.notices == [
        ("w", (EventType.DELETED, "/mine")),
        ("w", (EventType.CHILDREN_CHANGED, "/")),
    ]


def test_a_container_is_swept_once_its_last_child_has_gone(driver):
    driver.do(CreateNode("/new", container=True))
    driver.do(CreateNode("/old", container=True))
    driver.do(CreateNode("/old/child"))
    driver.do(SweepContainers(), session_id=NO_OWNER)
    assert driver.tree.exists("/old") is not None

    driver.do(DeleteNode("/old/child"))
    driver.do(SweepContainers(), session_id=NO_OWNER)

    assert driver.tree.exists("/old") is None
    assert driver.tree.nodes["/new"].owner == CONTAINER_OWNER
    assert driver.tree.exists("/new").owner == NO_OWNER


def test_the_operations_of_a_multi_share_a_zxid_and_see_each_other(driver):
    applied = driver.do(
        Multi((CreateNode("/a"), CreateNode("/a/s", sequence=True), SetData("/a", b"x", 0)))
    )

    created, sequential, stat = applied.result
    assert (created.path, sequential.path, stat.version) == ("/a", "/a/s0000000000", 1)
    assert {created.stat.czxid, sequential.stat.czxid, stat.mzxid} == {applied.zxid}


def test_a_refused_multi_triggers_no_watch(driver):
    driver.do(CreateNode("/a"))
    driver.tree.get("/a", watcher="w")
    with pytest.raises(MultiRefused):
        driver.do(Multi((SetData("/a", b""), CheckVersion("/missing"))))

    assert driver.tree.watches.has("w", WatchKind.DATA, "/a")


NAMES = st.sampled_from(["/a", "/b", "/a/c", "/a/d", "/a/c/e", "/missing/x"])
VERSIONS = st.sampled_from([-1, 0, 1])
NODE_OPERATIONS = st.one_of(
    st.builds(
        CreateNode,
        NAMES,
        st.none() | st.binary(max_size=3),
        ephemeral=st.booleans(),
        sequence=st.booleans(),
    ),
    st.builds(CreateNode, NAMES, container=st.just(value=True)),
    st.builds(SetData, NAMES, st.binary(max_size=3), VERSIONS),
    st.builds(DeleteNode, NAMES, VERSIONS),
    st.builds(CheckVersion, NAMES, VERSIONS),
    st.builds(SetAcl, NAMES, st.just((Acl(1, "ip", "::1"),)), VERSIONS),
)
OPERATIONS = st.one_of(
    NODE_OPERATIONS,
    st.lists(NODE_OPERATIONS, max_size=5).map(lambda each: Multi(tuple(each))),
    st.just(CloseSession()),
    st.just(SweepContainers()),
)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(OPERATIONS, max_size=30))
def test_replaying_the_journal_gives_the_same_tree_to_the_byte(operations):
    driver = Driver()
    for operation in operations:
        if SESSION not in driver.tree.sessions:
            driver.do(OpenSession(6_000, b"again"))
        before = pack_tree(driver.tree)
        try:
            driver.do(operation)
        except (Refused, MultiRefused):
            assert pack_tree(driver.tree) == before

    replayed = Tree()
    for zxid, transaction in driver.journal:
        fields = msgpack.unpackb(pack_transaction(zxid, transaction), use_list=False)
        assert unpack_transaction(fields) == (zxid, transaction)
        assert replayed.apply(transaction).zxid == zxid

    packed = pack_tree(driver.tree)
    assert pack_tree(replayed) == packed
    restored = unpack_tree(packed)
    assert pack_tree(restored) == packed
    assert (restored.nodes, restored.sessions) == (driver.tree.nodes, driver.tree.sessions)
