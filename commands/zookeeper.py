"""`ottla zookeeper`: the embedded coordinator in the foreground.

Must never know: brokers, the cluster directory.
"""

from __future__ import annotations

from functools import partial

import click

from commands.options import Address
from commands.server_process import imports_of_a_server


@click.command()
@click.option("--data", metavar="DIR", required=True, help="Directory for its journal.")
@click.option("--listen", type=Address(), required=True, help="Address to listen on.")
def zookeeper(data: str, listen: tuple[str, int]) -> None:
    """Run the embedded coordinator: one node that speaks ZooKeeper's protocol.

    It keeps what it acknowledged through a crash of its process or machine, but it is one node:
    while it is down nothing can be elected. For a cluster that must go on without it run a real
    ZooKeeper ensemble, and give its addresses to the brokers.

    \b
    Example:
      $ ottla zookeeper --data /var/lib/ottla-coordinator --listen 127.0.0.1:2181
    """
    with imports_of_a_server():
        from broker.runtime import serve_coordinator
        from commands.serve import configure_logs, serve

    configure_logs()
    serve(partial(serve_coordinator, data, *listen))
