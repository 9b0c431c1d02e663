"""The `ottla` command: a lazy table of commands, and the one place where their errors end.

A command's module is imported only when it runs, so a broker's process never loads what only a
terminal needs. Must never know: what a command does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from commands.sparing import import_structs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS: Final[Mapping[str, str]] = {
    "up": "Start a cluster on this machine, or carry on with its data.",
    "down": "Stop the cluster of a data directory.",
    "status": "Show what runs, who leads, and what is wrong.",
    "node": "Kill, stop, start, pause and resume single processes.",
    "cluster": "Describe the brokers, their disks, and partitions in trouble.",
    "topic": "Create, describe, alter, move and delete topics; elect leaders.",
    "config": "See and change settings of topics and brokers.",
    "group": "Describe, reset and delete groups; see why they rebalanced.",
    "produce": "Write lines from stdin or files to a topic.",
    "consume": "Read records of a topic.",
    "schema": "Register, list, show, check and delete schemas.",
    "demo": "A small social network on a cluster, to watch and to break.",
    "simulate": "Break whole clusters in memory, and judge them.",
    "chaos": "Break a cluster of real processes under load, and judge it.",
    "log": "Look into the segments of a partition.",
    "broker": "Run one broker in the foreground.",
    "registry": "Run one schema registry in the foreground.",
    "zookeeper": "Run the embedded coordinator in the foreground.",
}
"""Each command lives in `commands/<name>.py` under its own name."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and turns errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of a first tour, not of the alphabet."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        import_structs()
        command = getattr(import_module(f"commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command), cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whoever reads our output may leave when they have enough."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would make it exit status 1
            return _failure().report(error)

    def main(  # type: ignore[override]  # always ends the process; click's own may return
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and exit with its status; see `commands.failure.ExitStatus`."""
        extra["standalone_mode"] = False
        try:
            outcome = super().main(args, prog_name, **extra)
            if sys.stdout is not None:  # none where it was closed before we began
                sys.stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001  # the boundary: every error ends here
            sys.exit(int(_failure().report(error)))
        sys.exit(outcome if isinstance(outcome, int) else 0)


def _failure() -> Any:
    return import_module("commands.failure")  # only errors need it


def _show_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    version = import_module("importlib.metadata").version
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"ottla {version('ottla')} (Python {python}, trio {version('trio')})")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of Ottla, Python and trio.",
)
def ottla() -> None:
    """Ottla: Kafka-compatible event streaming.

    \b
    A first tour:
      $ ottla up --detach
      $ ottla topic create greetings --partitions 3
      $ echo 'hello' | ottla produce greetings
      $ ottla consume greetings --from-beginning --count 1
      $ ottla down
    """


def main() -> NoReturn:
    """Run the command line of this process."""
    ottla.main(prog_name="ottla")


if __name__ == "__main__":
    main()
