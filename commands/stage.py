"""A running demo: its services are children that are started again when they die, and so are its
cluster's nodes. The posting service is told how all of them are, and says what its page asks for.

A service's standard input is one end of a pair of sockets, with a line of JSON for each message. A
service ends when the other end does, so none outlives this process, however it ends.
Must never know: what services do, HTTP.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec import Struct, field

from commands.cluster_directory import HOST
from commands.failure import CommandFailed
from commands.launch import last_line
from commands.supervision import Supervision, Watched

if TYPE_CHECKING:
    from pathlib import Path

    from commands.cluster_directory import ClusterDirectory
    from commands.launch import Launcher

SERVICES: Final = ("posting", "feed", "notifications", "messages", "trending", "activity")
POSTING: Final = "posting"
"""Serves the page; it alone is told how all others are, and its orders are obeyed."""

SERVICE_BACK_AFTER_S: Final = 4.0
NODE_BACK_AFTER_S: Final = 10.0
LOOK_S: Final = 0.25
PREPARED_WITHIN_S: Final = 60.0
SERVES_WITHIN_S: Final = 60.0
COMMAND_WITHIN_S: Final = 60.0
ENDS_WITHIN_S: Final = 8.0
LINE_BYTES_MAX: Final = 64 * 1024
TELL_WITHIN_S: Final = 1.0


class _Service(Struct):
    """A service, its process while it has one, and what it said of itself last."""

    watched: Watched
    process: trio.Process | None = None
    line: trio.SocketStream | None = None
    records: int = 0
    wake: trio.Event = field(default_factory=trio.Event)


class Stage:
    """All services of a demo, and its cluster."""

    def __init__(
        self, directory: ClusterDirectory, launcher: Launcher, *, package: str, web_port: int
    ) -> None:
        self._directory = directory
        self._launcher = launcher
        self._package = package
        self._web_port = web_port
        self._services = {name: _Service(Watched(name, SERVICE_BACK_AFTER_S)) for name in SERVICES}
        self._nodes = Supervision(NODE_BACK_AFTER_S)
        self._kills: list[str] = []
        self._busy: set[str] = set()
        self._turn = trio.Lock()

    async def prepare(self) -> None:
        """Have topics and schemas made. Raises: CommandFailed."""
        with trio.move_on_after(PREPARED_WITHIN_S):
            done = await trio.run_process(
                self._command("prepare"),
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                start_new_session=True,
            )
            if done.returncode == 0:
                return
            told = (done.stderr or b"").decode(errors="replace").strip().splitlines()
            raise CommandFailed(
                f"the demo's topics and schemas cannot be made: {told[-1] if told else 'killed'}",
                next_step=f"see the logs in {self._directory.path / 'logs'}",
            )
        raise CommandFailed(
            f"the demo's topics and schemas are not there after {PREPARED_WITHIN_S:g} s",
            next_step=f"see the logs in {self._directory.path / 'logs'}",
        )

    async def run(self) -> None:
        """Keep all of it running; returns where the whole cluster was stopped from elsewhere."""
        async with trio.open_nursery() as nursery:
            for service in self._services.values():
                nursery.start_soon(self._keep, service)
            await self._look_after_nodes(nursery)
            nursery.cancel_scope.cancel()

    async def wait_serving(self) -> None:
        """Wait until the page can be had. Raises: CommandFailed."""
        with trio.move_on_after(SERVES_WITHIN_S):
            while True:
                try:
                    stream = await trio.open_tcp_stream(HOST, self._web_port)
                except OSError:
                    await trio.sleep(LOOK_S)
                else:
                    await stream.aclose()
                    return
        log = self._log_of(POSTING)
        raise CommandFailed(
            f"the page is not there after {SERVES_WITHIN_S:g} s: {last_line(log)}",
            next_step=f"its log is {log}",
        )

    # Services.

    async def _keep(self, service: _Service) -> None:
        """Run a service, again and again."""
        while True:
            service.wake = trio.Event()
            await self._run_once(service)
            while (pause_s := service.watched.back_in_s(trio.current_time())) > 0:
                with trio.move_on_after(pause_s):
                    await service.wake.wait()

    async def _run_once(self, service: _Service) -> None:
        log = self._log_of(service.watched.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            service.process = await trio.lowlevel.open_process(
                self._command(service.watched.name),
                stdin=theirs.fileno(),
                stdout=output.fileno(),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service.line = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        service.watched.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, service)
                await service.process.wait()
                nursery.cancel_scope.cancel()
        finally:
            service.line.socket.close()
            await _end(service.process)
            service.watched.died(trio.current_time())

    async def _listen(self, service: _Service) -> None:
        """Hear what a service says, until it says no more."""
        assert service.line is not None, "it was started"
        buffer = bytearray()
        try:
            while part := await service.line.receive_some():
                buffer += part
                while (end := buffer.find(b"\n")) >= 0:
                    facts = json.loads(buffer[:end])
                    del buffer[: end + 1]
                    if "records" in facts:
                        service.records = facts["records"]
                    if "act" in facts:
                        self._obey(facts)
                assert len(buffer) <= LINE_BYTES_MAX, "services' lines are short"
        except trio.BrokenResourceError:
            return  # it has died, which `_run_once` sees

    def _obey(self, order: dict[str, Any]) -> None:
        """Do what the page asks for; what has become senseless meanwhile is left."""
        starts = order["act"] == "start"
        if (node := order.get("node")) is not None:
            if starts:
                self._nodes.of(node).ask()
            else:
                self._kills.append(node)
            return
        service = self._services[order["service"]]
        if starts:
            service.watched.ask()
            service.wake.set()
        elif service.watched.alive and service.process is not None:
            service.process.kill()

    # Nodes.

    async def _look_after_nodes(self, nursery: trio.Nursery) -> None:
        """See how nodes are, obey orders about them, tell the page; until all were stopped."""
        told = ""
        while True:
            self._launcher.reap()
            now = trio.current_time()
            nodes = self._directory.load().nodes
            if all(node.process is None for node in nodes):
                return
            for node in nodes:
                if node.process is not None:  # else it was stopped on purpose
                    self._nodes.see(node.name, alive=node.is_running, now=now)
            kills, self._kills = self._kills, []
            for name in kills:
                self._begin(nursery, "kill", name)
            for name in self._nodes.due(now):
                self._begin(nursery, "start", name)
            told = await self._tell_page(told)
            await trio.sleep(LOOK_S)

    def _begin(self, nursery: trio.Nursery, act: str, name: str) -> None:
        if name not in self._busy:
            self._busy.add(name)
            nursery.start_soon(self._act_on_node, act, name)

    async def _act_on_node(self, act: str, name: str) -> None:
        """Run `ottla node ...`. One that was begun is finished: it writes down what it started."""
        command = [sys.executable, "-P", "-m", "cli", "node", act, name]
        try:
            async with self._turn:  # each locks the directory
                with trio.CancelScope(shield=True), trio.move_on_after(COMMAND_WITHIN_S):
                    await trio.run_process(
                        [*command, "--data", str(self._directory.path)],
                        stdin=subprocess.DEVNULL,
                        capture_stdout=True,
                        capture_stderr=True,
                        check=False,  # refused: it is in that state already, or is tried again
                        start_new_session=True,
                    )
        finally:
            self._busy.discard(name)
            if act == "start":
                self._nodes.of(name).tried(trio.current_time())

    async def _tell_page(self, told: str) -> str:
        """Tell the posting service how all are, where that has changed. Returns: what it knows."""
        posting = self._services[POSTING]
        state = json.dumps({"nodes": self._node_facts(), "services": self._service_facts()})
        known = f"{posting.watched.starts} {state}"
        if known == told or posting.line is None or not posting.watched.alive:
            return told
        try:
            with trio.fail_after(TELL_WITHIN_S):
                await posting.line.send_all(state.encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return told  # it has just died; the next one is told all anew
        except trio.TooSlowError:
            assert posting.process is not None, "it is alive"
            posting.process.kill()  # half a line was sent: the rest would be nonsense
        return known

    def _node_facts(self) -> list[dict[str, Any]]:
        now = trio.current_time()
        facts = []
        for node in self._directory.load().nodes:
            one = self._nodes.of(node.name)
            state = "running" if node.is_running else "dead" if node.process else "stopped"
            facts.append(
                {
                    "name": node.name,
                    "title": node.title,
                    "is_broker": node.is_broker,
                    "port": node.port,
                    "pid": node.process.pid if node.process else None,
                    "state": state,
                    "back_in_s": round(one.back_in_s(now)) if state == "dead" else 0,
                }
            )
        return facts

    def _service_facts(self) -> list[dict[str, Any]]:
        now = trio.current_time()
        return [
            {
                "name": name,
                "pid": service.process.pid if service.process and service.watched.alive else None,
                "state": "running" if service.watched.alive else "dead",
                "starts": service.watched.starts,
                "records": service.records,
                "back_in_s": 0 if service.watched.alive else round(service.watched.back_in_s(now)),
            }
            for name, service in self._services.items()
        ]

    def _command(self, service: str) -> list[str]:
        cluster = self._directory.load()
        assert cluster.registry is not None, "a demo's cluster has one"
        command = [sys.executable, "-P", "-m", self._package, service]
        command += ["--bootstrap", cluster.bootstrap]
        command += ["--registry", f"http://{cluster.registry.address}"]
        command += ["--directory", str(self._directory.path / "social" / service)]
        return [*command, "--web-port", str(self._web_port)]

    def _log_of(self, service: str) -> Path:
        return self._directory.path / "logs" / f"social-{service}.log"


async def _end(process: trio.Process) -> None:
    """End a process if it has not ended: SIGTERM, and SIGKILL where it does not hear that."""
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.terminate()
            with trio.move_on_after(ENDS_WITHIN_S):
                await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()
