"""All that is registered, as the records of `_schemas` tell it, in memory.

Must never know: where records come from, what may be changed.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from registry.model import Config, Mode
from registry.names import DEFAULT_CONTEXT, prefix_of, split, within
from registry.records import (
    ConfigSet,
    IdsUsed,
    ModeSet,
    SchemaGone,
    SchemaSet,
    SubjectCleared,
    SubjectDeleted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.model import Body, Version
    from registry.records import Change

DEFAULT_LEVEL = "BACKWARD"

_Setting = TypeVar("_Setting")


class State:
    """What a registry knows. Only `apply` changes it."""

    def __init__(self) -> None:
        self.configs: dict[str, Config] = {}
        self.modes: dict[str, Mode] = {}
        self.ids_used: dict[str, int] = {}
        """The greatest id of each context that an `IdsUsed` has told of."""
        self._subjects: dict[str, dict[int, Version]] = {}
        self._contexts: dict[str, _Context] = {}
        self._references: Counter[tuple[str, int]] = Counter()

    # What is there.

    def subjects(self, *, deleted: bool = False) -> list[str]:
        """Name the subjects with at least one version, of those deleted softly as well or not."""
        return sorted(
            name
            for name, versions in self._subjects.items()
            if deleted or any(not each.deleted for each in versions.values())
        )

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Give a subject's versions in ascending order; none where there is no such subject."""
        there = self._subjects.get(subject, {})
        return [there[number] for number in sorted(there) if deleted or not there[number].deleted]

    def version(self, subject: str, number: int) -> Version | None:
        """Give a version, also one that was deleted softly."""
        return self._subjects.get(subject, {}).get(number)

    def latest(self, subject: str, *, deleted: bool = False) -> Version | None:
        """Give the newest version of a subject."""
        return max(
            self.versions(subject, deleted=deleted), key=lambda each: each.version, default=None
        )

    def body(self, context: str, schema_id: int) -> Body | None:
        """Give the schema with an id."""
        known = self._contexts.get(context)
        return known.bodies.get(schema_id) if known else None

    def id_of(self, context: str, body: Body) -> int | None:
        """Give the id of a schema, the least where several were imported for it."""
        known = self._contexts.get(context)
        ids = known.ids.get(body.digest) if known else None
        return ids[0] if ids else None

    def users(self, context: str, schema_id: int) -> list[Version]:
        """Give all versions that have a schema's id, those deleted softly as well."""
        known = self._contexts.get(context)
        if known is None:
            return []
        names = sorted(known.users.get(schema_id, ()))
        return [each for name, number in names if (each := self.version(name, number))]

    def id_max(self, context: str) -> int:
        """Return the greatest id that was ever given out, 0 for none."""
        known = self._contexts.get(context)
        return max(known.id_max if known else 0, self.ids_used.get(context, 0))

    def ids_untold(self) -> dict[str, int]:
        """Give the greatest id of each context where no `IdsUsed` has told of it."""
        return {
            context: known.id_max
            for context, known in self._contexts.items()
            if known.id_max > self.ids_used.get(context, 0)
        }

    def contexts(self) -> list[str]:
        """Name the contexts that hold any version, and the default one."""
        holding = [context for context, known in self._contexts.items() if known.users]
        return sorted({DEFAULT_CONTEXT, *holding})

    def all_versions(self) -> Iterator[Version]:
        """Go through all versions, subject by subject."""
        for subject in sorted(self._subjects):
            yield from self.versions(subject, deleted=True)

    def referred_from(self, subject: str, number: int) -> list[Version]:
        """Give the versions, not deleted, that refer to a version."""
        if not self._references[subject, number]:
            return []
        return [
            each
            for each in self.all_versions()
            if not each.deleted and (subject, number) in _targets(each)
        ]

    # What applies.

    def config(self, subject: str) -> Config:
        """Give what applies to a subject: its own settings, its context's, or those of all."""
        return next(
            (self.configs[name] for name in scopes(subject) if name in self.configs),
            Config(DEFAULT_LEVEL),
        )

    def level(self, subject: str) -> str:
        """Give the compatibility level that applies to a subject."""
        found = (self.configs.get(name) for name in scopes(subject))
        return next((each.level for each in found if each and each.level), DEFAULT_LEVEL)

    def mode(self, subject: str) -> Mode:
        """Give the mode that applies to a subject. READONLY_OVERRIDE of all outweighs the rest."""
        if self.modes.get("") is Mode.READONLY_OVERRIDE:
            return Mode.READONLY_OVERRIDE
        return next(
            (self.modes[name] for name in scopes(subject) if name in self.modes), Mode.READWRITE
        )

    # What changes it.

    def apply(self, change: Change) -> None:
        """Take in what a record says."""
        match change:
            case SchemaSet(version):
                self._forget(version.subject, version.version)
                self._add(version)
            case SchemaGone(subject, number):
                self._forget(subject, number)
            case SubjectDeleted(subject, up_to):
                for each in self.versions(subject):
                    if each.version <= up_to:
                        self._forget(subject, each.version)
                        self._add(replace(each, deleted=True))
            case SubjectCleared(subject):
                for each in self.versions(subject, deleted=True):
                    self._forget(subject, each.version)
            case ConfigSet(subject, config):
                _put(self.configs, subject or "", config)
            case ModeSet(subject, mode):
                _put(self.modes, subject or "", mode)
            case IdsUsed(greatest):
                for context, used in greatest.items():
                    self.ids_used[context] = max(used, self.ids_used.get(context, 0))

    def _add(self, version: Version) -> None:
        context = split(version.subject).context
        known = self._contexts.setdefault(context, _Context())
        known.bodies[version.schema_id] = version.body
        ids = known.ids.setdefault(version.body.digest, [])
        if version.schema_id not in ids:
            insort(ids, version.schema_id)
        known.users.setdefault(version.schema_id, set()).add((version.subject, version.version))
        known.id_max = max(known.id_max, version.schema_id)
        self._subjects.setdefault(version.subject, {})[version.version] = version
        if not version.deleted:
            self._references.update(_targets(version))

    def _forget(self, subject: str, number: int) -> None:
        version = self._subjects.get(subject, {}).pop(number, None)
        if version is None:
            return
        if not self._subjects[subject]:
            del self._subjects[subject]
        if not version.deleted:
            self._references.subtract(_targets(version))
        known = self._contexts[split(subject).context]
        users = known.users[version.schema_id]
        users.discard((subject, number))
        if not users:
            del known.users[version.schema_id], known.bodies[version.schema_id]
            ids = known.ids[version.body.digest]
            ids.remove(version.schema_id)
            if not ids:
                del known.ids[version.body.digest]


class _Context:
    """Ids and schemas of one context. `ids` are those of one schema, ascending.

    All but `id_max` follows from the versions that there are, not from how they came about: where
    the log is compacted, its records tell no more than that.
    """

    __slots__ = ("bodies", "id_max", "ids", "users")

    def __init__(self) -> None:
        self.bodies: dict[int, Body] = {}
        self.ids: dict[bytes, list[int]] = {}
        self.users: dict[int, set[tuple[str, int]]] = {}
        self.id_max = 0


def scopes(subject: str) -> tuple[str, ...]:
    """Name where settings of a subject are looked for: itself, its context, then all ("")."""
    context = split(subject).context
    if context == DEFAULT_CONTEXT:
        return (subject, "")
    return (subject, prefix_of(context), "")


def _targets(version: Version) -> list[tuple[str, int]]:
    return [
        (within(version.subject, each.subject), each.version) for each in version.body.references
    ]


def _put(settings: dict[str, _Setting], name: str, value: _Setting | None) -> None:
    if value is None:
        settings.pop(name, None)
    else:
        settings[name] = value
