"""What is registered: schemas, versions of subjects, and the settings that apply to them.

Must never know: how any of it is stored or asked for.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from msgspec import Struct, field

from schemas.schema import SchemaType

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reference(Struct, frozen=True):
    """A version of a subject, and the name by which a schema refers to it."""

    name: str
    subject: str
    version: int


class Body(Struct, frozen=True, dict=True):
    """A schema as it was registered; what has an id.

    `metadata` and `rule_set` are what data contracts add, kept and given out as JSON text.
    """

    type: SchemaType
    text: str
    references: tuple[Reference, ...] = ()
    metadata: str | None = None
    rule_set: str | None = None

    @cached_property
    def digest(self) -> bytes:
        """What tells it from all others; 16 bytes."""
        references = [[each.name, each.subject, each.version] for each in self.references]
        told = [self.type, self.text, references, self.metadata, self.rule_set]
        return hashlib.sha256(json.dumps(told).encode()).digest()[:16]

    def metadata_properties(self) -> Mapping[str, Any]:
        """Give the properties in its metadata."""
        properties = (json.loads(self.metadata) if self.metadata else {}).get("properties")
        return properties if isinstance(properties, dict) else {}

    @property
    def guid(self) -> str:
        """An id that is the same in every registry."""
        return str(UUID(bytes=self.digest))


class Version(Struct, frozen=True):
    """One version of a subject. `deleted` ones are kept until they are deleted permanently."""

    subject: str
    version: int
    schema_id: int
    body: Body
    deleted: bool = False


class Mode(StrEnum):
    """What may be done to a subject."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"
    READONLY_OVERRIDE = "READONLY_OVERRIDE"
    IMPORT = "IMPORT"

    @property
    def is_read_only(self) -> bool:
        """Whether nothing may be registered or deleted."""
        return self in (Mode.READONLY, Mode.READONLY_OVERRIDE)


CONFIG_FIELDS: Final = (
    "alias",
    "normalize",
    "validateFields",
    "validateRules",
    "compatibilityGroup",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
)
"""What a config may hold besides the level: kept as it came, and given out."""


class Config(Struct, frozen=True):
    """The settings of a subject, of a context, or of all; `level` is None where none was given."""

    level: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def normalizes(self) -> bool:
        """Whether schemas are brought into their normal form before they are compared."""
        return self.others.get("normalize") is True

    @property
    def group(self) -> str | None:
        """The key in a schema's metadata whose value has to be alike to be compared."""
        group = self.others.get("compatibilityGroup")
        return group if isinstance(group, str) else None
