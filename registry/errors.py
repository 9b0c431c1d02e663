"""What the registry refuses, with the codes of the public API.

Must never know: HTTP's machinery; a status is the first three digits of a code.
Source: Schema Registry API reference, error codes of each endpoint.
"""

from __future__ import annotations

from typing import ClassVar, Final

from protocol.errors import OttlaError

LATEST: Final = "latest"


class RegistryError(OttlaError):
    """A refusal. `code` is answered as `error_code`, the message as `message`."""

    code: ClassVar[int] = 50001

    @property
    def status(self) -> int:
        """The HTTP status: 404 of 40401, 409 of 409."""
        return self.code if self.code < 1_000 else self.code // 100


class SubjectNotFound(RegistryError):
    """Nothing is registered under a subject."""

    code = 40401

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject '{subject}' not found; GET /subjects lists those that there are."
        )


class VersionNotFound(RegistryError):
    """A subject has no such version."""

    code = 40402

    def __init__(self, version: int | str) -> None:
        super().__init__(
            f"Version {version} not found; GET /subjects/(subject)/versions lists the versions."
        )


class SchemaNotFound(RegistryError):
    """No schema has this id, or this text is not registered."""

    code = 40403

    def __init__(self, schema_id: int | str | None = None) -> None:
        what = "Schema" if schema_id is None else f"Schema {schema_id}"
        super().__init__(f"{what} not found")


class SubjectSoftDeleted(RegistryError):
    """A subject is deleted softly already."""

    code = 40404

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
        )


class SubjectNotSoftDeleted(RegistryError):
    """A subject has to be deleted softly before it is deleted permanently."""

    code = 40405

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject '{subject}' was not deleted first before being permanently deleted: "
            "delete it without permanent=true first"
        )


class VersionSoftDeleted(RegistryError):
    """A version is deleted softly already."""

    code = 40406

    def __init__(self, subject: str, version: int) -> None:
        super().__init__(
            f"Subject '{subject}' Version {version} was soft deleted. "
            "Set permanent=true to delete permanently"
        )


class VersionNotSoftDeleted(RegistryError):
    """A version has to be deleted softly before it is deleted permanently."""

    code = 40407

    def __init__(self, subject: str, version: int) -> None:
        super().__init__(
            f"Subject '{subject}' Version {version} was not deleted first before being "
            "permanently deleted: delete it without permanent=true first"
        )


class SubjectConfigNotFound(RegistryError):
    """A subject has no compatibility level of its own."""

    code = 40408

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject '{subject}' does not have subject-level compatibility configured; "
            "ask with defaultToGlobal=true for what applies"
        )


class SubjectModeNotFound(RegistryError):
    """A subject has no mode of its own."""

    code = 40409

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"Subject '{subject}' does not have subject-level mode configured; "
            "ask with defaultToGlobal=true for what applies"
        )


class IncompatibleSchema(RegistryError):
    """A schema would break those who read or write with earlier versions."""

    code = 409


class UnusableSchema(RegistryError):
    """A schema cannot be parsed, or refers to what is not there."""

    code = 42201


class InvalidVersion(RegistryError):
    """What was given as a version is none."""

    code = 42202

    def __init__(self, version: str) -> None:
        super().__init__(
            f"The specified version '{version}' is not a valid version id. "
            f'Allowed values are between [1, 2^31-1] and the string "{LATEST}"'
        )


class InvalidCompatibilityLevel(RegistryError):
    """A compatibility level, or another setting, is none."""

    code = 42203


class InvalidMode(RegistryError):
    """A mode is none."""

    code = 42204


class NotPermitted(RegistryError):
    """The mode of a subject forbids an operation."""

    code = 42205


class ReferenceExists(RegistryError):
    """A version cannot be deleted while others refer to it."""

    code = 42206


class InvalidSubject(RegistryError):
    """A name cannot be a subject's."""

    code = 42208

    def __init__(self, subject: str, why: str) -> None:
        super().__init__(f"The specified subject '{subject}' is not a valid subject: {why}")


class BadRequest(RegistryError):
    """A body or a parameter cannot be understood."""

    code = 422


class StoreFailed(RegistryError):
    """The topic `_schemas` could not be written or read: nothing is known to have changed."""

    code = 50001


class StoreTimedOut(RegistryError):
    """A change was not acknowledged in time; it may come to pass all the same."""

    code = 50002


class ForwardingFailed(RegistryError):
    """The leader could not be asked, or gave no answer."""

    code = 50003


class LeaderUnreachable(ForwardingFailed):
    """The leader took no connection, or leads no more: it did nothing; another may lead soon."""


class UnknownLeader(RegistryError):
    """No registry leads at the moment."""

    code = 50004
