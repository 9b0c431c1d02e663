"""`ottla registry`: one schema registry in the foreground.

Must never know: schemas, the cluster directory.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import click

from commands.options import Address, is_text, require_addresses
from commands.server_process import imports_of_a_server

DEFAULT_PORT: Final = 8081


class Ensemble(click.ParamType[str]):
    """The servers of a coordinator, and below which path its data is there."""

    name = "HOST:PORT,...[/PATH]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Look at every address: one that cannot be one would be tried for ever."""
        servers, _, _ = str(value).partition("/")
        if not is_text(str(value)) or not all(map(_is_server, servers.split(","))):
            self.fail(f"{str(value)!r} is not {self.name}", param, ctx)
        return str(value)


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(f"//{address}")
        return bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, address))
    except ValueError:
        return False


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
    type=Ensemble(),
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
    "--advertise",
    metavar="URL",
    help="Where other registries reach this one; needed where --listen is every address (0.0.0.0, "
    "[::]).  [default: http:// and --listen]",
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

    require_addresses(bootstrap)
    url = advertised_url(listen, advertise)
    configure_logs()
    config = RegistryConfig(
        bootstrap=bootstrap,
        url=url,
        topic=topic,
        replication_factor=replication_factor or -1,
    )
    server = Server(config, zookeeper, *listen)
    serve(server.run, server.stop)


def advertised_url(listen: tuple[str, int], advertise: str | None) -> str:
    """Choose where other registries reach this one. Raises: click.BadParameter."""
    host, port = listen
    if advertise is None:
        if port == 0:
            raise click.BadParameter(
                "port 0 is any that is free, and others could not know which: name one, or say "
                "with --advertise where they reach this registry",
                param_hint="--listen",
            )
        if _is_every_address(host):
            raise click.BadParameter(
                f"{host} is every address of this machine, and none where others could reach it: "
                f"say which with --advertise http://HOST:{port}",
                param_hint="--listen",
            )
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        parts = urlsplit(advertise)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or _is_every_address(parts.hostname or ""):
        raise click.BadParameter(
            f"'{advertise}' is no address where others could reach this registry: give one like "
            f"http://HOST:{port}",
            param_hint="--advertise",
        )
    return advertise.rstrip("/")


def _is_every_address(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # a name
        return False
