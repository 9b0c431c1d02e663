from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import COMMANDS, ottla
from commands.cluster_directory import ClusterDirectory, Node
from commands.plan import Wishes, plan
from commands.process import Identity

DIGITS = "9" * 5_000
"""More than Python reads as a number."""
NO_TEXT = os.fsdecode(b"a\xff")
"""As Python hands on what is not UTF-8."""


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(ottla, args, prog_name="ottla")
    return result.exit_code, result.stdout, result.stderr


def all_commands() -> list[tuple[str, ...]]:
    paths = []
    for name in COMMANDS:
        command = ottla.get_command(click.Context(ottla), name)
        subcommands = command.commands if isinstance(command, click.Group) else {}
        paths += [(name,), *((name, sub) for sub in subcommands)]
    return paths


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(path):
    status, out, _ = run(*path, "--help")

    assert status == 0
    assert "Example" in out
    assert f"$ ottla {path[0]}" in out


def test_the_table_of_commands_says_what_each_one_is():
    status, out, _ = run("--help")

    assert status == 0
    assert all(name in out and text in out for name, text in COMMANDS.items())


def test_the_readme_has_every_command_in_its_table():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = [line.split(" | ")[0] for line in readme.splitlines() if line.startswith("| `ottla ")]
    named = set(re.findall(r"`ottla ([a-z]+)", "".join(table)))

    assert named == set(COMMANDS)


def test_the_version_names_what_a_bug_report_needs():
    status, out, _ = run("--version")

    assert status == 0
    assert out.startswith(f"ottla {version('ottla')} (Python 3.")


def test_a_wrong_option_is_one_line_that_names_the_help():
    assert run("up", "--nonsense") == (
        2, "", "ottla: error: No such option '--nonsense'; see 'ottla up --help'\n",
    )  # fmt: skip


def test_an_unknown_command_is_told():
    status, _, err = run("upp")

    assert status == 2
    assert "No such command 'upp'" in err


def test_help_is_shown_where_nothing_is_asked():
    status, _, err = run()

    assert status == 2
    assert "Usage: ottla" in err


@pytest.mark.parametrize(
    "command", [("down",), ("status",), ("node", "kill", "1"), ("topic", "list"), ("produce", "t")]
)
def test_where_no_cluster_is_the_status_says_so(command, tmp_path):
    status, out, err = run(*command, "--data", str(tmp_path))

    assert status == 3
    assert out == ""
    assert err == (
        f"ottla: error: no cluster in {tmp_path}; start one with 'ottla up --data {tmp_path}',"
        " or name its directory with --data\n"
    )


@pytest.mark.parametrize("verb", ["kill", "stop", "start", "pause", "resume"])
def test_where_not_even_a_directory_is_a_node_has_no_cluster(verb, tmp_path):
    nowhere = tmp_path / "nowhere"
    status, _, err = run("node", verb, "2", "--data", str(nowhere))

    assert status == 3
    assert f"no cluster in {nowhere}; start one with 'ottla up --data {nowhere}'" in err
    assert not nowhere.exists()


@pytest.fixture
def stopped_cluster(tmp_path):
    """A directory whose processes have died: their pids are those of others now."""
    directory = ClusterDirectory(tmp_path)
    cluster = plan(None, Wishes(brokers=2))
    for node in cluster.nodes:
        cluster = cluster.with_node(Node(node.name, node.port, Identity(1, "long ago"), "then"))
    directory.save(cluster)
    return tmp_path


def test_the_status_of_a_dead_cluster_is_3_and_names_each_node(stopped_cluster):
    status, out, _ = run("status", "--data", str(stopped_cluster), "--json")

    assert status == 3
    _, shown, _ = run("status", "--data", str(stopped_cluster))
    assert f"nothing is running; start it with 'ottla up --data {stopped_cluster}'\n" in shown
    assert [(n["name"], n["state"]) for n in json.loads(out)["nodes"]] == [
        ("coordinator", "dead"), ("1", "dead"), ("2", "dead"), ("registry", "dead"),
    ]  # fmt: skip


def test_a_registry_that_cannot_be_asked_is_started_where_it_belongs(stopped_cluster):
    status, _, err = run("schema", "list", "--data", str(stopped_cluster))

    assert status == 3
    assert f"start it with 'ottla node start registry --data {stopped_cluster}', or name" in err

    directory = ClusterDirectory(stopped_cluster)
    directory.save(plan(None, Wishes(registry=False)))
    status, _, err = run("schema", "list", "--data", str(stopped_cluster))

    assert status == 3
    assert f"start one with 'ottla up --registry --data {stopped_cluster}', or name" in err


@pytest.mark.parametrize("verb", ["kill", "stop", "pause", "resume"])
def test_a_dead_node_is_not_signalled_for_its_pid_may_be_anybodys(verb, stopped_cluster):
    status, _, err = run("node", verb, "1", "--data", str(stopped_cluster))

    assert status == 3
    assert (
        f"broker 1 is not running; start it with 'ottla node start 1 --data {stopped_cluster}'"
    ) in err


def test_down_of_a_dead_cluster_is_3(stopped_cluster):
    status, _, err = run("down", "--data", str(stopped_cluster))

    assert status == 3
    assert "nothing is running" in err


def test_clients_are_told_that_the_directorys_cluster_does_not_run(stopped_cluster):
    status, _, err = run("topic", "list", "--data", str(stopped_cluster))

    assert status == 3
    assert f"is not running; start it with 'ottla up --data {stopped_cluster}'" in err


def test_a_node_that_is_not_there_is_told_with_those_that_are(stopped_cluster):
    status, _, err = run("node", "kill", "7", "--data", str(stopped_cluster))

    assert status == 1
    assert "no node '7'; choose one of coordinator, 1, 2" in err


@pytest.mark.parametrize("wrong", ["no-equals-sign", "=value"])
def test_a_setting_is_a_name_and_a_value(wrong, tmp_path):
    status, _, err = run("up", "--data", str(tmp_path), "--set", wrong)

    assert status == 2
    assert "is not name=value" in err


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("no.such=1", "no.such is not a setting"),
        ("num.partitions=none", "a whole number is expected"),
        ("log.dirs=/elsewhere", "log.dirs is not for all brokers alike: see --data"),
    ],
)
def test_a_setting_that_no_broker_takes_is_told_before_anything_is_started(
    setting, cause, tmp_path
):
    status, _, err = run("up", "--data", str(tmp_path / "new"), "--set", setting)

    assert status == 2
    assert f"Invalid value for '--set': {setting.partition('=')[0]}" in err
    assert cause in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("consume", "t", "--timestamp", "9" * 20),
        ("consume", "t", "--timestamp", "1969-12-31T23:59:59Z"),
        ("consume", "t", "--timestamp", "yesterday"),
        ("consume", "t", "--offset", "9" * 20),
        ("consume", "t", "--partition", "9" * 10),
        ("topic", "create", "t", "--replication-factor", "32768"),
        ("topic", "create", "t", "--partitions", "9" * 10),
        ("topic", "alter", "t", "--partitions", "9" * 10),
        ("group", "reset", "g", "--to-offset", "-1"),
        ("group", "reset", "g", "--shift-by", "9" * 20),
        ("group", "reset", "g", "--to-latest", "--topic", "t:a"),
        ("group", "delete", "g", "--topic", "t:" + "9" * 10),
        ("consume", "t", "--group", ""),
        ("group", "describe", ""),
        ("group", "history", ""),
        ("group", "list", "--state", "Stabel"),
        ("group", "list", "--type", "foo"),
        ("topic", "reassign", "t", "--replicas", "a"),
        ("group", "reset", "", "--to-latest", "--all-topics"),
        ("group", "delete", "g", ""),
        ("topic", "reassign", "t", "--replicas", "1,1"),
        ("topic", "reassign", "t", "--brokers", "1,"),
        ("topic", "reassign", "t", "--brokers", "1,2", "--throttle", "0"),
        ("topic", "elect", ":0"),
        ("config", "describe", "tpic", "t"),
        ("config", "alter", "topic", "t", "--set", "no-equals-sign"),
        ("produce", "t", "--partition", "9" * 10),
        ("produce", "t", "--key-separator", ""),
        ("produce", "t", "--timeout", "nan"),
        ("consume", "t", "--timeout", "nan"),
        ("consume", "t", "--timeout", "inf"),
        ("chaos", "run", "--duration", DIGITS),
        ("topic", "reassign", "t", "--brokers", DIGITS),
        ("group", "reset", "g", "--to-latest", "--topic", f"t:{DIGITS}"),
        ("topic", "create", NO_TEXT),
        ("topic", "elect", f"{NO_TEXT}:0"),
        ("config", "describe", "topic", NO_TEXT),
        ("produce", NO_TEXT),
        ("consume", NO_TEXT),
        ("consume", "t", "--group", NO_TEXT),
        ("group", "describe", NO_TEXT),
    ],
    ids=lambda args: " ".join(args)[:60],
)
def test_what_has_no_meaning_to_a_broker_is_a_wrong_command_line(args):
    status, _, err = run(*args, "--bootstrap", "127.0.0.1:1")

    assert status == 2
    assert err.startswith("ottla: error: Invalid value for ")


@pytest.mark.parametrize(
    "args",
    [
        ("registry", "--zookeeper", "127.0.0.1:1", "--listen", f"127.0.0.1:{DIGITS}"),
        ("schema", "register", "s", "-", "--reference", f"a=b:{DIGITS}"),
        ("chaos", "run", "--bootstrap", "host:"),
    ],
    ids=lambda args: args[0],
)
def test_what_is_no_address_and_no_version_is_a_wrong_command_line(args):
    status, _, err = run(*args)

    assert status == 2
    assert err.startswith("ottla: error: Invalid value for ")


@pytest.mark.parametrize(
    "args",
    [
        ("compatibility", "", "--set", "NONE"),
        ("list", ""),
        ("get", ""),
        ("get", "s", ""),
        ("delete", "s", ".."),
        ("delete", "s", "0"),
        ("delete", "s", DIGITS),
        ("delete", "s", NO_TEXT),
        ("check", "s", "-", "--version", "1/../.."),
        ("register", "", "-"),
        ("check", "", "-"),
    ],
    ids=lambda args: " ".join(args)[:30],
)
def test_what_is_no_subject_and_no_version_is_asked_of_no_registry(args):
    status, _, err = run("schema", *args, "--registry", "http://127.0.0.1:1")

    assert status == 2
    assert err.startswith("ottla: error: Invalid value for ")


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (("get", NO_TEXT), "b'a\\xff' is not UTF-8, as subjects' names are"),
        (("check", "s", "-", "--reference", f"{NO_TEXT}=b:1"), "b'a\\xff=b:1' is not UTF-8"),
        (("check", "s", "-", "--reference", f"a={NO_TEXT}:1"), "b'a=a\\xff:1' is not UTF-8"),
        (("list", "--registry", f"http://h/{NO_TEXT}"), "b'http://h/a\\xff'' is no URL"),
    ],
    ids=["subject", "reference", "subject of a reference", "registry"],
)
def test_what_is_not_utf_8_is_sent_to_no_registry(args, cause):
    status, _, err = run("schema", *args)

    assert status == 2
    assert cause in err


@pytest.mark.parametrize(
    ("encoding", "given", "status", "told"),
    [
        ("utf-8", b'"int\xff"', 1, "stdin is not text in UTF-8; "),
        ("utf-8", b'"\xc3\xa4"', 3, "no schema registry gave an answer"),
        ("ascii", b'"\xc3\xa4"', 3, "no schema registry gave an answer"),
    ],
)
def test_a_schema_that_is_piped_in_is_text_in_utf_8(encoding, given, status, told, monkeypatch):
    """Whatever the terminal's language: without one, Python lets all bytes pass."""
    stdin = io.TextIOWrapper(io.BytesIO(given), encoding, errors="surrogateescape")
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stderr", errors)

    with pytest.raises(SystemExit) as ended:
        ottla.main(("schema", "register", "s", "-", "--registry", "http://127.0.0.1:1"), "ottla")

    assert ended.value.code == status
    assert errors.getvalue().startswith(f"ottla: error: {told}")


@pytest.mark.parametrize("args", [("topic", "delete"), ("group", "delete")])
def test_a_name_that_is_not_utf_8_is_shown_as_it_is(args):
    _, _, err = run(*args, NO_TEXT, "--bootstrap", "127.0.0.1:1")

    assert f"b'a\\xff' is not UTF-8, as {args[0]}s' names are" in err


@pytest.mark.parametrize(
    ("closed", "args"),
    [
        ("stdin", ("produce", "t")),
        ("stdin", ("produce", "t", "--file", "-")),
        ("stdin", ("schema", "register", "s", "-")),
        ("stdout", ("consume", "t", "--exit-at-end")),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_is_to_be_read_or_written_and_is_closed_is_told(closed, args, monkeypatch):
    """Python has no such file then."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, closed, None)
    monkeypatch.setattr(sys, "stderr", errors)
    if "schema" not in args:
        args = (*args, "--bootstrap", "127.0.0.1:1")

    with pytest.raises(SystemExit) as ended:
        ottla.main(args, prog_name="ottla")

    assert ended.value.code == 1
    assert errors.getvalue().startswith(f"ottla: error: {closed} is closed; ")


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (("group", "reset", "g", "--all-topics"), "give one of --to-earliest, --to-latest"),
        (("group", "reset", "g", "--to-latest", "--to-earliest"), "give one of --to-earliest"),
        (("group", "reset", "g", "--to-latest"), "give either --topic or --all-topics"),
        (("consume", "t", "--group", "g", "--partition", "1"), "leave out --partition"),
        (("consume", "t", "--group", "g", "--offset", "1"), "the group decides"),
        (("consume", "t", "--group", "g", "--timestamp", "5"), "'ottla group reset'"),
        (("topic", "reassign", "t"), "give one of --replicas, --brokers"),
        (("topic", "reassign", "t", "--cancel", "--replicas", "1"), "give one of --replicas"),
        (("topic", "reassign", "t", "--wait", "--throttle", "1"), "--throttle goes with"),
        (("topic", "elect", "--unclean"), "can lose records: name the topics"),
        (("config", "describe", "topic"), "name the topic"),
        (("config", "describe", "broker"), "or give 'brokers'"),
        (("config", "describe", "broker", "x"), "'x' is no broker: give its id"),
        (("config", "describe", "brokers", "2"), "for one, give 'broker 2'"),
        (("config", "alter", "topic", "t"), "give --set or --unset"),
        (("config", "alter", "topic", "t", "--set", "a=b", "--unset", "a"), "given twice"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_does_not_go_together_is_a_wrong_command_line(args, cause):
    status, out, err = run(*args, "--bootstrap", "127.0.0.1:1")

    assert (status, out) == (2, "")
    assert cause in err
    assert err.endswith(
        f"; see 'ottla {' '.join(args[: 1 if args[0] == 'consume' else 2])} --help'\n"
    )


def test_where_nothing_listens_the_address_is_told_once():
    assert run("topic", "list", "--bootstrap", "127.0.0.1:1") == (
        3, "", "ottla: error: no broker answers: cannot connect to 127.0.0.1:1: connection refused;"
        " start a cluster with 'ottla up', or name another with --bootstrap\n",
    )  # fmt: skip


def test_a_dead_broker_is_shown_with_the_reason_it_gave(stopped_cluster):
    logs = stopped_cluster / "logs"
    logs.mkdir()
    (logs / "broker-1.log").write_text("event=started\nottla: error: disk full; free some space\n")
    (logs / "broker-2.log").write_text("event=started\n")
    _, out, _ = run("status", "--data", str(stopped_cluster))

    assert "broker 1 has ended: disk full; free some space\n" in out
    assert "broker 2 has ended" not in out


def imported_by(statement: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_imported_by(statement)}


def modules_imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(name for name, m in sys.modules.items() if m))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_the_command_line_starts_without_what_only_some_commands_need():
    heavy = {"trio", "rich", "asyncio", "kazoo", "structlog", "broker", "client"}

    assert not heavy & imported_by("import cli")
    assert not heavy & imported_by("import cli, commands.up")


SERVER = "from commands.server_process import imports_of_a_server as server"


def test_a_server_never_imports_what_only_a_terminal_needs():
    imported = modules_imported_by(f"{SERVER}\nwith server(): import broker.broker")

    assert {"structlog", "msgspec", "crc32c"} <= imported
    assert not {"rich", "argparse", "typing_extensions", "importlib.metadata"} & imported


def test_what_a_server_was_spared_can_be_imported_later():
    later = "import rich, typing_extensions\nfrom importlib.metadata import version"
    told = "print(version('trio') if version('crc32c') else '')\nassert typing_extensions.Self"

    imported = modules_imported_by(f"{SERVER}\nwith server(): pass\n{later}\n{told}")

    assert {"rich", "typing_extensions", "importlib.metadata"} <= imported


def test_a_library_that_cannot_do_without_gets_what_it_wants(tmp_path):
    (tmp_path / "wants_more.py").write_text("from string import capwords\nmade = capwords('a b')\n")
    imported = modules_imported_by(
        f"sys.path.insert(0, {str(tmp_path)!r})\nfrom types import ModuleType\n"
        "from commands.sparing import import_without\n"
        "import_without('wants_more', {'string': ModuleType('string')})\n"
        "assert sys.modules['wants_more'].made == 'A B'"
    )

    assert {"wants_more", "string"} <= imported


def test_a_server_imports_nothing_of_clients_but_connections():
    coordinator = modules_imported_by("import broker.runtime, coordinator.embedded.server")
    broker = modules_imported_by("import broker.runtime, broker.broker")
    heavy = {"client.admin", "client.consumer", "client.producer"}

    assert not heavy & broker
    assert not any(name.startswith("protocol.api") for name in coordinator)
    everything = "import client; [getattr(client, name) for name in client.__all__]"
    assert heavy <= modules_imported_by(everything)


def test_a_client_imports_the_apis_that_it_asks_for():
    imported = modules_imported_by("import commands.readiness")

    assert "protocol.api.metadata" in imported
    assert "protocol.api.join_group" not in imported
