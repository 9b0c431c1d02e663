"""`ottla schema`: register, list, show, check and delete schemas.

Must never know: HTTP, what a schema means.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

import click

from client.schema_registry import LATEST, SchemaRegistry
from commands.columns import columns, count_of
from commands.failure import ExitStatus
from commands.options import json_option
from commands.registry_options import registry_options
from commands.schema_options import Subject, Version, explained, schema_options
from commands.session import run_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from client.schema_registry import RegisteredSchema, RegistrySchema

T = TypeVar("T")

LEVELS: Final = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)


@click.group()
def schema() -> None:
    """Register, list, show, check and delete schemas.

    \b
    Example:
      $ ottla schema register orders-value order.avsc && ottla schema list
    """


@schema.command()
@click.argument("subject", type=Subject())
@schema_options
@click.option("--normalize", is_flag=True, help="Store it in its normal form.")
@json_option
@registry_options
def register(
    subject: str,
    wanted: RegistrySchema,
    *,
    normalize: bool,
    registry: str,
    as_json: bool,
) -> None:
    """Register the schema in FILE ('-' for stdin) as the next version of SUBJECT.

    A schema that is there already keeps its version. One that could break readers or writers is
    refused, with all that stands against it.

    \b
    Examples:
      $ ottla schema register orders-value order.avsc
      $ ottla schema register orders-value order.avsc --reference shop.User=users-value:1
    """

    async def main() -> RegisteredSchema:
        async with SchemaRegistry(registry) as opened:
            await opened.register(subject, wanted, normalize=normalize)
            return await opened.look_up(subject, wanted, normalize=normalize)

    found = _run(main)
    if as_json:
        click.echo(json.dumps(_described(found)))
    else:
        click.echo(f"{found.subject} version {found.version}, id {found.schema_id}")


@schema.command("list")
@click.argument("subject", type=Subject(), required=False)
@click.option("--deleted", is_flag=True, help="Those that were deleted, too.")
@json_option
@registry_options
def list_schemas(subject: str | None, *, deleted: bool, registry: str, as_json: bool) -> None:
    """List subjects with their latest version, or all versions of SUBJECT.

    \b
    Examples:
      $ ottla schema list
      $ ottla schema list orders-value
    """

    async def main() -> list[dict[str, object]]:
        async with SchemaRegistry(registry) as opened:
            if subject is None:
                which = "true" if deleted else "false"
                path = f"/schemas?latestOnly=true&deleted={which}&subjectPrefix=:*:"
                return [*await opened.call("GET", path)]
            found = [
                await opened.version(subject, version, deleted=deleted)
                for version in await opened.versions(subject, deleted=deleted)
            ]
            return [_described(each) for each in found]

    found = _run(main)
    if as_json:
        click.echo(json.dumps({"schemas": found}))
    elif found:
        header = ("SUBJECT", "VERSION", "ID", "TYPE")
        rows = [
            (str(f["subject"]), str(f["version"]), str(f["id"]), str(f.get("schemaType", "AVRO")))
            for f in found
        ]
        click.echo(columns(header, rows))
    else:
        click.echo(
            "there are no schemas; register one: 'ottla schema register SUBJECT FILE'", err=True
        )


@schema.command()
@click.argument("subject", type=Subject())
@click.argument("version", type=Version(), default=LATEST)
@json_option
@registry_options
def get(subject: str, version: str, *, registry: str, as_json: bool) -> None:
    """Print a schema: VERSION of SUBJECT, the latest one unless told.

    \b
    Example:
      $ ottla schema get orders-value 2 > order.avsc
    """

    async def main() -> RegisteredSchema:
        async with SchemaRegistry(registry) as opened:
            return await opened.version(subject, version)

    found = _run(main)
    click.echo(json.dumps(_described(found)) if as_json else _readable(found.schema))


@schema.command()
@click.argument("subject", type=Subject())
@schema_options
@click.option("--version", type=Version(), help="Hold it against this version alone.")
@json_option
@registry_options
def check(
    subject: str,
    wanted: RegistrySchema,
    *,
    version: str | None,
    registry: str,
    as_json: bool,
) -> None:
    """Tell whether the schema in FILE could be registered for SUBJECT; register nothing.

    The exit status is 1 where it could not.

    \b
    Example:
      $ ottla schema check orders-value order.avsc
    """

    async def main() -> list[str]:
        async with SchemaRegistry(registry) as opened:
            return await opened.check(subject, wanted, version=version)

    found = _run(main)
    if as_json:
        click.echo(json.dumps({"compatible": not found, "violations": found}))
    elif found:
        for violation in found:
            click.echo(f"- {violation}")
    else:
        click.echo(f"it is compatible with {subject}")
    if found:
        raise click.exceptions.Exit(ExitStatus.FAILURE)


@schema.command()
@click.argument("subject", type=Subject())
@click.argument("version", type=Version(), required=False)
@click.option("--permanent", is_flag=True, help="For ever; it has to be deleted softly before.")
@json_option
@registry_options
def delete(
    subject: str, version: str | None, *, permanent: bool, registry: str, as_json: bool
) -> None:
    """Delete a subject, or one VERSION of it.

    What was written with a deleted schema can still be read until it is deleted with --permanent.

    \b
    Example:
      $ ottla schema delete orders-value 3
    """

    async def main() -> list[int]:
        async with SchemaRegistry(registry) as opened:
            return await opened.delete(subject, version, permanent=permanent)

    deleted = _run(main)
    if as_json:
        click.echo(json.dumps({"subject": subject, "deleted": deleted}))
    else:
        listed = ", ".join(map(str, deleted))
        click.echo(f"deleted {count_of(len(deleted), 'version')} of {subject}: {listed}")


@schema.command()
@click.argument("subject", type=Subject(), required=False)
@click.option(
    "--set", "level", type=click.Choice(LEVELS, case_sensitive=False), help="The level to set."
)
@json_option
@registry_options
def compatibility(subject: str | None, *, level: str | None, registry: str, as_json: bool) -> None:
    """Show or set what a new version must be compatible with, for SUBJECT or for all.

    \b
    Examples:
      $ ottla schema compatibility
      $ ottla schema compatibility orders-value --set FULL_TRANSITIVE
    """

    async def main() -> str:
        async with SchemaRegistry(registry) as opened:
            if level is not None:
                await opened.set_level(level, subject)
            return await opened.level(subject)

    found = _run(main)
    click.echo(json.dumps({"subject": subject, "compatibility": found}) if as_json else found)


def _run(main: Callable[[], Awaitable[T]]) -> T:
    with explained():
        return run_client(main)


def _described(found: RegisteredSchema) -> dict[str, object]:
    return {
        "subject": found.subject,
        "version": found.version,
        "id": found.schema_id,
        "schemaType": found.schema.type,
        "schema": found.schema.text,
    }


def _readable(shown: RegistrySchema) -> str:
    if shown.type == "PROTOBUF":
        return shown.text.rstrip("\n")
    return json.dumps(json.loads(shown.text), indent=2, ensure_ascii=False)
