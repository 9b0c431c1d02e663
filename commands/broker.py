"""`ottla broker`: one broker in the foreground, for service managers and `ottla up`.

Must never know: the cluster directory; whoever starts a broker tells it everything.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from commands.failure import CommandFailed
from commands.options import Address, Pair
from commands.server_process import imports_of_a_server

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS: Final = {
    "broker_id": "node.id",
    "data": "log.dirs",
    "listen": "listeners",
    "advertise": "advertised.listeners",
    "rack": "broker.rack",
    "zookeeper": "zookeeper.connect",
}


@click.command()
@click.option("--id", "broker_id", type=click.IntRange(min=0), help="Id, unique in the cluster.")
@click.option("--data", metavar="DIR", help="Directory for the broker's logs.")
@click.option("--listen", metavar="HOST:PORT", help="Address to listen on.")
@click.option("--advertise", metavar="HOST:PORT", help="Address that clients are told, if another.")
@click.option("--rack", help="Where it stands; replicas are spread over racks.")
@click.option("--zookeeper", metavar="HOST:PORT,...", help="The coordinator.")
@click.option(
    "--coordinator",
    metavar="DIR",
    help="Run a coordinator in this process too, listening at --zookeeper, its journal in DIR.",
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="File of key=value lines."
)
@click.option(
    "--set", "settings", type=Pair(), multiple=True, metavar="KEY=VALUE", help="One setting."
)
def broker(
    config_file: Path | None,
    settings: tuple[tuple[str, str], ...],
    coordinator: str | None,
    **named: object,
) -> None:
    """Run one broker in the foreground until SIGTERM or Ctrl-C, which stop it cleanly.

    Settings have Kafka's names. An option wins over --set, and --set over the file. The log goes
    to stderr. With --coordinator it is a cluster by itself, in one process; other brokers may join
    it, and cannot do without it.

    \b
    Examples:
      $ ottla broker --id 1 --data data --listen 127.0.0.1:9092 --coordinator metadata
      $ ottla broker --id 1 --data /var/lib/ottla --listen 10.0.0.1:9092 \\
          --zookeeper zk1:2181,zk2:2181,zk3:2181 --set num.partitions=8
    """
    with imports_of_a_server():
        from broker.config import BrokerConfig, read_properties
        from broker.runtime import make_broker, serve_with_coordinator
        from commands.serve import configure_logs, raise_limit_of_open_files, serve

        properties = read_properties(_read(config_file)) if config_file else {}
        properties.update(settings)
        properties.update(
            {_KEYS[name]: str(value) for name, value in named.items() if value is not None}
        )
        _require_complete(properties)
        configure_logs()
        config = BrokerConfig.parse(properties)
        server = make_broker(config, open_files_max=raise_limit_of_open_files())
        run = server.run
        if coordinator is not None:
            address = _only_address(config.node.zookeeper_connect)
            run = partial(serve_with_coordinator, server, coordinator, *address)
    serve(run, server.stop)


def _only_address(connect: str) -> tuple[str, int]:
    """Give the address that `zookeeper.connect` names. Raises: click.UsageError."""
    try:
        host, port = Address().convert(connect, None, None)
    except click.BadParameter:
        host = ""
    if not host or "," in host:
        raise click.UsageError(
            "--coordinator listens at one address, and so the broker looks for it at one:"
            f" give --zookeeper HOST:PORT, not '{connect}'"
        )
    return host, port


def _require_complete(properties: Mapping[str, str]) -> None:
    """Check that what a broker cannot do without is there. Raises: click.UsageError."""
    for key, option in (("node.id", "--id"), ("log.dirs", "--data"), ("listeners", "--listen")):
        if key not in properties and not (key == "node.id" and "broker.id" in properties):
            raise click.UsageError(f"Missing option '{option}' (or {key} in --config)")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not text in UTF-8", next_step="check --config") from error
