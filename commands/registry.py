"""`ottla registry`: one schema registry in the foreground.

Must never know: schemas, the cluster directory.
"""

from __future__ import annotations

from typing import Final

import click

from commands.options import Address
from commands.server_process import imports_of_a_server

DEFAULT_PORT: Final = 8081


@click.command()
@click.option(
    "--bootstrap",
    metavar="HOST:PORT,...",
    default="localhost:9092",
    show_default=True,
    help="Brokers of the cluster.",
)
@click.option(
    "--zookeeper",
    metavar="HOST:PORT,...[/PATH]",
    required=True,
    help="The cluster's coordinator, by which registries elect one that leads.",
)
@click.option(
    "--listen",
    type=Address(),
    default=f"127.0.0.1:{DEFAULT_PORT}",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--advertise", metavar="URL", help="Where other registries reach this one.  [default: --listen]"
)
@click.option(
    "--topic", default="_schemas", show_default=True, help="The topic that schemas are kept in."
)
@click.option(
    "--replication-factor",
    type=click.IntRange(min=1),
    help="Replicas of that topic, where it is not there yet.  [default: the brokers']",
)
def registry(
    bootstrap: str,
    zookeeper: str,
    listen: tuple[str, int],
    advertise: str | None,
    topic: str,
    replication_factor: int | None,
) -> None:
    """Run one schema registry in the foreground until SIGTERM or Ctrl-C.

    It speaks the REST API of the Confluent Schema Registry, and keeps schemas in a topic. Any
    number may run for one cluster: all of them answer, one decides on changes.

    \b
    Example:
      $ ottla registry --bootstrap localhost:9092 --zookeeper localhost:9192
    """
    with imports_of_a_server():
        from commands.serve import configure_logs, serve
        from registry.assembled import RegistryConfig
        from registry.runtime import Server

    host, port = listen
    configure_logs()
    config = RegistryConfig(
        bootstrap=bootstrap,
        url=(advertise or f"http://{host}:{port}").rstrip("/"),
        topic=topic,
        replication_factor=replication_factor or -1,
    )
    server = Server(config, zookeeper, host, port)
    serve(server.run, server.stop)
