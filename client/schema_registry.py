"""A client of the schema registry's REST API: what serializers and the command line need of it.

    async with SchemaRegistry("http://localhost:8081") as registry:
        schema_id = await registry.register("orders-value", RegistrySchema(text))

Must never know: what a schema means, records, topics.
Source: Schema Registry API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import httpx
from msgspec import Struct

from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
TIMEOUT_S: Final = 30.0
SUBJECT_NOT_FOUND: Final = 40401
VERSION_NOT_FOUND: Final = 40402
SCHEMA_NOT_FOUND: Final = 40403
INCOMPATIBLE: Final = 409
LATEST: Final = "latest"
LATEST_VERSIONS: Final = frozenset({LATEST, "-1"})
VERSION_MAX: Final = 2**31 - 1
_STEPS: Final = {".": "%2E", "..": "%2E%2E"}


class SchemaRegistryError(OttlaError):
    """The registry refused. `code` is its error code (40401: no such subject), or the status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (registry error {code})")
        self.code = code
        self.message = message


class SchemaRegistryUnreachable(OttlaError):
    """No registry of those that were named gave an answer."""


class SchemaReference(Struct, frozen=True):
    """How a schema names another one, and which version of which subject that is."""

    name: str
    subject: str
    version: int


class RegistrySchema(Struct, frozen=True):
    """A schema as the registry takes and gives it. `type` is AVRO, JSON or PROTOBUF."""

    text: str
    type: str = "AVRO"
    references: tuple[SchemaReference, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Give the fields of a request's body."""
        fields: dict[str, Any] = {"schema": self.text}
        if self.type != "AVRO":
            fields["schemaType"] = self.type
        if self.references:
            fields["references"] = [
                {"name": each.name, "subject": each.subject, "version": each.version}
                for each in self.references
            ]
        return fields

    @classmethod
    def of(cls, fields: dict[str, Any]) -> RegistrySchema:
        """Read a schema out of an answer."""
        references = tuple(
            SchemaReference(each["name"], each["subject"], each["version"])
            for each in fields.get("references") or ()
        )
        return cls(fields["schema"], fields.get("schemaType") or "AVRO", references)


class RegisteredSchema(Struct, frozen=True):
    """A version of a subject."""

    subject: str
    version: int
    schema_id: int
    schema: RegistrySchema

    @classmethod
    def of(cls, fields: dict[str, Any]) -> RegisteredSchema:
        """Read a version out of an answer."""
        return cls(fields["subject"], fields["version"], fields["id"], RegistrySchema.of(fields))


def is_version(text: str) -> bool:
    """Say whether a text names a version of a subject: its number, or the latest one."""
    if text in LATEST_VERSIONS:
        return True
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(VERSION_MAX))
    return is_number and 1 <= int(text) <= VERSION_MAX


class SchemaRegistry:
    """Asks one registry, or the next one where that cannot be reached; use it with `async with`.

    An empty subject, one that cannot be written in UTF-8, and what `is_version` says is none are
    ValueErrors: nothing is sent.
    """

    def __init__(self, urls: str | Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        """Prepare for registries at `http://host:port,http://host:port`; nothing is sent yet."""
        listed = urls.split(",") if isinstance(urls, str) else urls
        self._urls = [url.strip().rstrip("/") for url in listed]
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            headers={"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def register(
        self, subject: str, schema: RegistrySchema, *, normalize: bool = False
    ) -> int:
        """Register a schema, unless it is there. Returns: its id.

        Raises: SchemaRegistryError (INCOMPATIBLE), SchemaRegistryUnreachable.
        """
        path = f"/subjects/{_quoted(subject)}/versions{_query(normalize=normalize)}"
        answer = await self.call("POST", path, schema.fields())
        schema_id: int = answer["id"]
        return schema_id

    async def look_up(
        self, subject: str, schema: RegistrySchema, *, normalize: bool = False
    ) -> RegisteredSchema:
        """Find the version with a schema. Raises: SchemaRegistryError, ..Unreachable."""
        path = f"/subjects/{_quoted(subject)}{_query(normalize=normalize)}"
        return RegisteredSchema.of(await self.call("POST", path, schema.fields()))

    async def schema(self, schema_id: int, *, subject: str | None = None) -> RegistrySchema:
        """Give the schema with an id. Raises: SchemaRegistryError, ..Unreachable."""
        path = f"/schemas/ids/{schema_id}{_query(subject=subject)}"
        return RegistrySchema.of(await self.call("GET", path))

    async def version(
        self, subject: str, version: int | str = LATEST, *, deleted: bool = False
    ) -> RegisteredSchema:
        """Give a version of a subject. Raises: SchemaRegistryError, ..Unreachable."""
        path = f"/subjects/{_quoted(subject)}/versions/{_version(version)}{_query(deleted=deleted)}"
        return RegisteredSchema.of(await self.call("GET", path))

    async def versions(self, subject: str, *, deleted: bool = False) -> list[int]:
        """List the versions of a subject. Raises: SchemaRegistryError, ..Unreachable."""
        path = f"/subjects/{_quoted(subject)}/versions{_query(deleted=deleted)}"
        listed: list[int] = await self.call("GET", path)
        return listed

    async def subjects(self, *, deleted: bool = False) -> list[str]:
        """List the subjects. Raises: SchemaRegistryError, SchemaRegistryUnreachable."""
        listed: list[str] = await self.call("GET", f"/subjects{_query(deleted=deleted)}")
        return listed

    async def check(
        self, subject: str, schema: RegistrySchema, *, version: int | str | None = None
    ) -> list[str]:
        """Tell what stands against registering a schema; an empty list says nothing does.

        It is held against what the subject's compatibility level names, or against one version.
        Raises: SchemaRegistryError, SchemaRegistryUnreachable.
        """
        against = "" if version is None else f"/{_version(version)}"
        path = f"/compatibility/subjects/{_quoted(subject)}/versions{against}?verbose=true"
        answer = await self.call("POST", path, schema.fields())
        messages: list[str] = answer.get("messages") or []
        return messages if messages or answer["is_compatible"] else ["incompatible"]

    async def delete(
        self, subject: str, version: int | str | None = None, *, permanent: bool = False
    ) -> list[int]:
        """Delete a subject, or one version of it. Returns: the versions that were deleted.

        Raises: SchemaRegistryError, SchemaRegistryUnreachable.
        """
        which = "" if version is None else f"/versions/{_version(version)}"
        path = f"/subjects/{_quoted(subject)}{which}{_query(permanent=permanent)}"
        answer = await self.call("DELETE", path)
        return answer if isinstance(answer, list) else [answer]

    async def level(self, subject: str | None = None) -> str:
        """Tell the compatibility level of a subject, or of all. Raises: SchemaRegistryError."""
        path = "/config" if subject is None else f"/config/{_quoted(subject)}?defaultToGlobal=true"
        level: str = (await self.call("GET", path))["compatibilityLevel"]
        return level

    async def set_level(self, level: str, subject: str | None = None) -> None:
        """Set the compatibility level of a subject, or of all. Raises: SchemaRegistryError."""
        path = "/config" if subject is None else f"/config/{_quoted(subject)}"
        await self.call("PUT", path, {"compatibility": level})

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call an endpoint. Returns: the decoded answer.

        Raises: SchemaRegistryError, SchemaRegistryUnreachable.
        """
        reasons = []
        for url in list(self._urls):
            try:
                response = await self._client.request(method, f"{url}{path}", json=body)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                reasons.append(f"{url}: {error or type(error).__name__}")
                self._urls.append(self._urls.pop(0))  # whoever answers is asked first next time
                continue
            return _answer(url, response)
        raise SchemaRegistryUnreachable(
            f"no schema registry gave an answer ({'; '.join(reasons)}): see whether one runs there"
        )


def _answer(url: str, response: httpx.Response) -> Any:
    try:
        told = response.json()
    except ValueError as error:
        raise SchemaRegistryError(
            response.status_code, f"{url} answers no JSON: is that a schema registry?"
        ) from error
    if response.is_success:
        return told
    fields = told if isinstance(told, dict) else {}
    code = fields.get("error_code", response.status_code)
    raise SchemaRegistryError(code, str(fields.get("message", told)))


def _quoted(subject: str) -> str:
    """Write a subject as one segment of a path, in which `.` and `..` would be steps.

    Raises: ValueError; without a subject another endpoint would be called, that of all of them.
    """
    if not subject:
        raise ValueError("a subject's name cannot be empty")
    return _STEPS.get(subject) or quote(subject, safe="")


def _version(version: int | str) -> str:
    """Write a version as one segment of a path. Raises: ValueError."""
    if not is_version(text := str(version)):
        raise ValueError(f"{text!r} is no version: give a number from 1 on, or {LATEST!r}")
    return text


def _query(**parameters: bool | str | None) -> str:
    given = [
        f"{name}={'true' if value is True else quote(str(value), safe='')}"
        for name, value in parameters.items()
        if value
    ]
    return f"?{'&'.join(given)}" if given else ""
