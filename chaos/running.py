"""A cluster of real processes that a test starts, breaks and has judged, whatever its clients are.

It is driven through the command line alone, as users do. Everything here blocks: tests of clients
that have an event loop call it from a thread, or between the awaits.
Must never know: clients, test frameworks.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from chaos.checker import Promises, check
from chaos.proxy import HOST, Route
from chaos.proxy_thread import ProxyThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from chaos.history import Operation

COMMAND_TIMEOUT_S: Final = 60.0
DOWN_TIMEOUT_S: Final = 170.0
"""`ottla down` waits for the brokers, then for the coordinator, before it kills any."""
PLANT_TIMEOUT_S: Final = 10.0
"""For faults that need not be planted, where a broken cluster takes no settings."""

HEALED_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
COORDINATOR: Final = "coordinator"
COORDINATOR_PORT_DISTANCE: Final = 100
"""From the port of the first broker, which `ottla up` is given."""

PORTS_APART: Final = 400
BROKERS_MAX: Final = 16
STARTED: Final = "event=connections_take_detours"
"""What a broker's process says first."""

NOTHING_PLANTED: Final = "event=faults_planted faults=none"
SIGNS_OF_A_BUG: Final = ("Traceback (most recent call last)", "event=request_crashed")


class ClusterTrouble(Exception):
    """A cluster did not do what it should, or a command about it failed; the text says what."""


class RunningCluster:
    """Three brokers and a coordinator, unless told otherwise, on free ports of 127.0.0.1.

    `settings` are every broker's, by Kafka's names. Faults may be planted in its brokers. What its
    processes say to each other passes through proxies that can cut them off. `zookeeper` names a
    coordinator (`host:port,.../path`) that is there already; it cannot be killed or paused then.
    """

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 3,
        settings: Mapping[str, str] | None = None,
        zookeeper: str | None = None,
    ) -> None:
        if brokers > BROKERS_MAX:
            raise ClusterTrouble(f"{brokers} brokers: at most {BROKERS_MAX} fit")
        self.directory = directory
        self.brokers = tuple(range(1, brokers + 1))
        self.nodes = (*map(str, self.brokers), COORDINATOR)
        self._zookeeper = zookeeper
        self._settings = {"ottla.fault.injection": "true", **(settings or {})}
        self._planted: dict[int, str | None] = {}
        self._ended: set[str] = set()
        """Of its nodes: those that were killed or stopped here, and not started since."""
        self.troubles: list[str] = []
        """What no process may do: it ended by itself, or had to be killed when it was to stop."""
        self._proxies: ProxyThread | None = None
        self.bootstrap = ""

    def start(self) -> None:
        """Start everything; returns once records are accepted. Raises: ClusterTrouble."""
        first, routes = self._lay_out()
        self._proxies = ProxyThread(routes)
        try:
            self._proxies.start()
        except* OSError as group:
            raise ClusterTrouble(f"a proxy cannot listen: {group.exceptions[0]}") from group
        detours = ",".join(f"{r.source}>{r.host}:{r.target_port}={r.port}" for r in routes)
        settings = {**self._settings, "ottla.fault.detours": detours}
        options = [f"--set={key}={value}" for key, value in settings.items()]
        if self._zookeeper is not None:
            options += ["--zookeeper", self._zookeeper]
        count = str(len(self.brokers))
        self._ottla(
            "up", "--brokers", count, "--port", str(first), "--no-registry", "--detach", *options
        )
        self.bootstrap = ",".join(f"{HOST}:{first + n}" for n in range(len(self.brokers)))

    def _lay_out(self) -> tuple[int, list[Route]]:
        """Choose ports. Returns: the first broker's, and the proxy for each pair of processes."""
        servers = (self._zookeeper or "").partition("/")[0].split(",")
        proxies = len(self.brokers) * (len(self.brokers) - 1 + len(servers))
        first = _free_ports(len(self.brokers), proxies)
        coordinators = (
            [(HOST, str(first + COORDINATOR_PORT_DISTANCE))]
            if self._zookeeper is None
            else [(host, port) for host, _, port in (s.strip().rpartition(":") for s in servers)]
        )
        routes: list[Route] = []
        for source in self.brokers:
            peers = [(str(b), HOST, first + b - 1) for b in self.brokers if b != source]
            peers += [(COORDINATOR, host, int(port)) for host, port in coordinators]
            for target, host, target_port in peers:
                port = first + COORDINATOR_PORT_DISTANCE + 1 + len(routes)
                routes.append(Route(str(source), target, port, host, target_port))
        return first, routes

    def close(self) -> None:
        """End everything, whatever state it is in; `troubles` has who did not end as it should."""
        for name in self._nodes("paused"):
            self.resume(name)
        with suppress(ClusterTrouble):  # all has to end, whatever can be told of it
            self.look_for_deaths()
        data = "--data", str(self.directory)
        done = _command("down", "--json", *data, timeout_s=DOWN_TIMEOUT_S)
        killed = json.loads(done.stdout)["killed"] if done.stdout else ()
        self.troubles += [f"{name} did not stop and was killed" for name in killed]
        if self._proxies is not None:
            self._proxies.close()

    # Breaking and mending. A node is a broker's id, or "coordinator".

    def kill(self, node: int | str) -> None:
        """End its process with SIGKILL. Raises: ClusterTrouble, as all of these."""
        self._ended.add(str(node))
        self._node("kill", node)

    def stop(self, node: int | str) -> None:
        """Have it hand over and end. Raises: ClusterTrouble, also where it had to be killed."""
        self._ended.add(str(node))
        outcome = json.loads(self._node("stop", node))["outcome"]
        if outcome != "stopped":
            raise ClusterTrouble(f"{node}: {outcome}")

    def start_again(self, node: int | str) -> None:
        """Start a process that has ended."""
        self._node("start", node)
        self._ended.discard(str(node))

    def pause(self, node: int | str) -> None:
        """SIGSTOP its process."""
        self._node("pause", node)

    def resume(self, node: int | str) -> None:
        """SIGCONT its process."""
        self._node("resume", node)

    # Cutting nodes off from each other. Clients go on reaching all of them.

    def partition(self, *nodes: int | str) -> None:
        """Cut these nodes off from all others, in both directions; nobody is told.

        Connections stay and nothing arrives. What is held arrives after `reconnect`.
        """
        inside = {self._name(node) for node in nodes}
        for one in inside:
            for other in set(self.nodes) - inside:
                self.block(one, other)
                self.block(other, one)

    def block(self, source: int | str, target: int | str) -> None:
        """Let nothing arrive that `source` sends to `target`; the way back is open."""
        one, other = self._name(source), self._name(target)
        self._links().call(lambda proxies: proxies.block(one, other))

    def unblock(self, source: int | str, target: int | str) -> None:
        """Let arrive what `source` sends to `target`, what was held first."""
        one, other = self._name(source), self._name(target)
        self._links().call(lambda proxies: proxies.unblock(one, other))

    def refuse(self, one: int | str, other: int | str) -> None:
        """Break the connections between two nodes and have new ones refused."""
        first, second = self._name(one), self._name(other)
        self._links().call(lambda proxies: proxies.refuse(first, second))

    def allow(self, one: int | str, other: int | str) -> None:
        """Let two nodes connect to each other again."""
        first, second = self._name(one), self._name(other)
        self._links().call(lambda proxies: proxies.allow(first, second))

    def reconnect(self) -> None:
        """Let all nodes reach each other again."""
        self._links().call(lambda proxies: proxies.heal())

    def _links(self) -> ProxyThread:
        if self._proxies is None:
            raise ClusterTrouble("the cluster was not started")
        return self._proxies

    def _name(self, node: int | str) -> str:
        if str(node) not in self.nodes:
            raise ClusterTrouble(f"there is no node {node}: choose one of {', '.join(self.nodes)}")
        return str(node)

    # Faults within brokers.

    def plant(self, faults: str, *, broker: int | None = None, wait: bool = True) -> None:
        """Have requests at one broker, or at all, meet these faults instead of others before.

        The grammar is that of `ottla.faults`, for instance `Produce=drop@1`; "" takes them out.
        Returns once they are met, unless told not to `wait` for that.
        """
        for broker_id in self.brokers if broker is None else (broker,):
            if faults == self._planted.get(broker_id, ""):
                continue
            self._planted[broker_id] = None  # where this fails, nobody knows
            change = f"--set=ottla.faults={faults}" if faults else "--unset=ottla.faults"
            whom = "broker", str(broker_id), "--bootstrap", self.bootstrap
            patience_s = COMMAND_TIMEOUT_S if wait else PLANT_TIMEOUT_S
            _run("config", "alter", *whom, change, timeout_s=patience_s)
            if wait:
                self._wait_planted(broker_id, faults)
                self._planted[broker_id] = faults

    def _wait_planted(self, broker_id: int, faults: str) -> None:
        """Wait until the broker says so in its log: from then on requests meet them."""
        log = self.directory / "logs" / f"broker-{broker_id}.log"
        wanted = f"event=faults_planted faults={json.dumps(faults)}" if faults else NOTHING_PLANTED
        deadline = time.monotonic() + HEALED_WITHIN_S
        while wanted not in _last_planted(log.read_text()):
            if time.monotonic() > deadline:
                raise ClusterTrouble(f"broker {broker_id} does not take the faults {faults!r}")
            time.sleep(LOOK_EVERY_S)

    # Judging.

    def heal(self) -> None:
        """Reconnect, resume and start all, take out all faults; returns once all is well.

        Raises: ClusterTrouble, where that takes longer than a minute.
        """
        if self._proxies is not None:
            self.reconnect()
        for name in self._nodes("paused"):
            self.resume(name)
        self.look_for_deaths()
        for name in self._nodes("dead", "stopped"):
            self.start_again(name)
        deadline = time.monotonic() + HEALED_WITHIN_S
        while not self.status().get("well"):
            if time.monotonic() > deadline:
                raise ClusterTrouble(f"not well after {HEALED_WITHIN_S:g} s: {self.status()}")
            time.sleep(LOOK_EVERY_S)
        self.plant("")

    def check(self, history: Iterable[Operation] = (), *, promises: Promises | None = None) -> None:
        """Heal, and demand that the cluster is at full strength and no process met a bug.

        None may have ended but by `kill` and `stop`, nor have told of an error in its code.

        A `history` of what clients did and were told is judged as well (chaos/checker.py).
        Raises: ClusterTrouble, AssertionError naming the anomalies.
        """
        self.heal()
        for trouble in (*self.bugs_met(), *self.troubles):
            raise ClusterTrouble(trouble)
        anomalies = check(history, promises)
        assert not anomalies, "\n".join(map(str, anomalies))

    def look_for_deaths(self) -> None:
        """Note in `troubles` which processes have ended although nobody ended them."""
        for node in self.status().get("nodes", ()):
            if node["state"] == "dead" and node["name"] not in self._ended:
                self._ended.add(node["name"])
                self.troubles.append(f"{node['name']} has ended by itself: see {node['log']}")

    def bugs_met(self) -> list[str]:
        """Tell of each process whose log speaks of a bug, with the lines around the first."""
        found = []
        for log in sorted((self.directory / "logs").glob("*.log")):
            lines = log.read_text().splitlines()
            for number, line in enumerate(lines):
                if any(sign in line for sign in SIGNS_OF_A_BUG):
                    shown = "\n".join(lines[max(0, number - 2) : number + 20])
                    found.append(f"{log.name} tells of a bug:\n{shown}")
                    break
        return found

    def status(self) -> dict[str, Any]:
        """Give what `ottla status --json` says. Raises: ClusterTrouble."""
        done = _command("status", "--json", "--data", str(self.directory))
        told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        return told

    def leader(self, topic: str, partition: int = 0) -> int:
        """Give the id of a partition's leader. Raises: ClusterTrouble where there is none now."""
        told = _run("topic", "describe", topic, "--json", "--bootstrap", self.bootstrap)
        (described,) = json.loads(told)["topics"]
        for one in described["partitions"]:
            if one["partition"] == partition and one["leader"] is not None:
                return int(one["leader"])
        raise ClusterTrouble(f"{topic}-{partition} has no leader now")

    def _nodes(self, *states: str) -> list[str]:
        nodes = self.status().get("nodes", [])
        return [node["name"] for node in nodes if node["state"] in states]

    def _node(self, act: str, node: int | str) -> str:
        return self._ottla("node", act, str(node), "--json")

    def _ottla(self, *arguments: str) -> str:
        return _run(*arguments, "--data", str(self.directory))


_OTTLA: Final = (sys.executable, "-P", "-m", "cli")


def _run(*arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Run a command of ours. Returns: what it said. Raises: ClusterTrouble."""
    done = _command(*arguments, timeout_s=timeout_s)
    if done.returncode != 0:
        raise ClusterTrouble(f"ottla {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _command(
    *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*_OTTLA, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            start_new_session=True,  # Ctrl-C is for us
        )
    except subprocess.TimeoutExpired:
        told = f"ottla {' '.join(arguments)}: not done after {timeout_s:g} s"
        raise ClusterTrouble(told) from None


def _free_ports(brokers: int, proxies: int) -> int:
    """Find a first port such that all are free that a cluster and its proxies need.

    None of those that the system gives to clients: one might get the port of a process that was
    killed and is to come back.
    """
    bases = range(10_000, 32_000, PORTS_APART)
    start = os.getpid() % len(bases)
    first: int
    for first in (*bases[start:], *bases[:start]):
        above = first + COORDINATOR_PORT_DISTANCE
        wanted = (*range(first, first + brokers), *range(above, above + 1 + proxies))
        with ExitStack() as stack:
            try:
                for port in wanted:
                    probe = stack.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, port))
            except OSError:
                continue
            return first
    raise ClusterTrouble("no free ports between 10000 and 32000")


def _last_planted(log: str) -> str:
    """Give the last line that says what is planted in a process; it begins with nothing."""
    last = NOTHING_PLANTED
    for line in log.splitlines():
        if STARTED in line:
            last = NOTHING_PLANTED
        elif "event=faults_planted" in line:
            last = line
    return last
