"""One place of a JSON Schema, seen alike in every draft, with its references followed.

Must never know: the network, files, compatibility.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from schemas.json_schema.drafts import (
    DEFAULT_DRAFT,
    ONE_SCHEMA,
    SCHEMA_LISTS,
    SCHEMA_MAPS,
    Draft,
    draft_of,
)
from schemas.json_schema.patterns import Undecided, is_found
from schemas.json_schema.text import canonical, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from referencing._core import Resolver

Spelling = frozenset[tuple[str, str]]
"""What a schema asks, and all that it refers to: texts, by the words of each reference."""

_UNORDERED: Final = frozenset({"required", "type"})
"""Keywords whose lists mean the same in any order. That of enum counts for generated code."""

REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
"""Keywords that refer to another schema. The last two may lead elsewhere for others who refer to
the schema that has them; a schema in which they do is refused when it is parsed."""

Made = TypeVar("Made")

_SAYS_NOTHING: Final = frozenset({"format"})
"""Keywords that the validator knows, and that refuse no value."""


Key = tuple["int | str", int]
"""What tells a place from every other: the object that stands there, or a text; and the draft."""


class Explicit(NamedTuple):
    """What an object asks of a property by its name and by patterns.

    `perhaps` comes in by patterns of which it is not decided whether the name matches; `doubts` say
    which, and why.
    """

    surely: tuple[Node, ...]
    perhaps: tuple[Node, ...]
    doubts: tuple[str, ...]

    @property
    def at_most(self) -> tuple[Node, ...]:
        """All that it may ask."""
        return self.surely + self.perhaps


class Node:
    """A schema inside of a document: what stands there, and how its references are resolved.

    There is one for each place: all nodes of a document share `places`. With `text` it is a
    schema that stands in no document; its contents as a text are its identity.
    """

    __slots__ = ("_known", "contents", "draft", "key", "places", "resolver")

    def __init__(
        self,
        contents: Any,
        resolver: Resolver[Any],
        draft: Draft,
        places: dict[Key, Node] | None,
        text: str | None = None,
    ) -> None:
        self.contents = contents
        self.resolver = resolver
        self.draft = draft
        self.places = places
        self.key: Key = (id(contents) if text is None else text), draft.number
        self._known: dict[str, Any] = {}
        if places is not None:
            places[self.key] = self

    def remember(self, name: str, make: Callable[[], Made]) -> Made:
        """Make something of this place only once."""
        if name not in self._known:
            self._known[name] = make()
        made: Made = self._known[name]
        return made

    def get(self, keyword: str) -> Any:
        """Give a keyword's value; None where it is absent, unknown to the draft, or hidden."""
        if isinstance(self.contents, bool) or keyword not in self.contents:
            return None
        if keyword not in self.draft.keywords:
            return None
        if keyword != "$ref" and self.draft.hides_siblings_of_ref and "$ref" in self.contents:
            return None
        return self.contents[keyword]

    def child(self, contents: Any) -> Node:
        """Step into a schema that stands inside of this one. Raises: InvalidSchema."""
        if self.places is None and not isinstance(contents, bool):
            return lone(contents, self)
        if isinstance(contents, bool):
            return self._at(contents, self.resolver, self.draft)
        draft = draft_of(contents, self.draft)
        known = (self.places or {}).get((id(contents), draft.number))
        if known is not None:
            return known
        resource = draft.specification.create_resource(contents)
        return self._at(contents, self.resolver.in_subresource(resource), draft)

    def _at(self, contents: Any, resolver: Resolver[Any], draft: Draft) -> Node:
        known = (self.places or {}).get((id(contents), draft.number))
        return Node(contents, resolver, draft, self.places) if known is None else known

    def follow(self, keyword: str) -> Node | None:
        """Go where a reference leads, if there is one.

        Raises: what `referencing` raises for one that leads nowhere; never for a schema that
        was parsed, since all its references were followed then.
        """
        reference = self.get(keyword)
        if reference is None:
            return None
        found = self.resolver.lookup(reference)
        return self._at(found.contents, found.resolver, draft_of(found.contents, self.draft))

    def targets(self) -> list[Node]:
        """Give all schemas that this one refers to and that judge the same value."""
        return self.remember(
            "targets",
            lambda: [target for each in REFERENCES if (target := self.follow(each)) is not None],
        )

    @property
    def accepts_all(self) -> bool:
        """Whether no keyword is there that could refuse a value."""
        if isinstance(self.contents, bool):
            return self.contents
        return not any(
            keyword in self.draft.keywords and keyword not in _SAYS_NOTHING
            for keyword in self.contents
        )

    def one(self, keyword: str) -> Node | None:
        """Give the schema that a keyword has as its value, if it has one."""
        contents = self.get(keyword)
        return self.child(contents) if isinstance(contents, dict | bool) else None

    def several(self, keyword: str) -> tuple[Node, ...]:
        """Give the schemas of a keyword that lists them."""
        contents = self.get(keyword)
        if not isinstance(contents, list):
            return ()
        return self.remember(keyword, lambda: tuple(map(self.child, contents)))

    def named(self, keyword: str) -> dict[str, Node]:
        """Give the schemas of a keyword that maps names to them."""
        contents = self.get(keyword)
        if not isinstance(contents, dict):
            return {}
        return self.remember(
            keyword,
            lambda: {
                name: self.child(each)
                for name, each in contents.items()
                if isinstance(each, dict | bool)
            },
        )

    @property
    def dependent_schemas(self) -> dict[str, Node]:
        """What holds for an object that has a property, by the property's name."""
        return self.named("dependentSchemas" if self.draft.number >= 2019 else "dependencies")

    @property
    def dependent_names(self) -> dict[str, list[str]]:
        """What else an object must have that has a property, by the property's name."""
        keyword = "dependentRequired" if self.draft.number >= 2019 else "dependencies"
        dependencies = self.get(keyword) or {}
        return {name: each for name, each in dependencies.items() if isinstance(each, list)}

    @property
    def first_keyword(self) -> str:
        """The keyword that lists an array's first items."""
        return "prefixItems" if self.draft.has_prefix_items else "items"

    @property
    def first_items(self) -> tuple[Node, ...]:
        """The schemas of an array's first items, one for each place."""
        return self.several(self.first_keyword)

    @property
    def rest_keyword(self) -> str:
        """The keyword for the items that come after the first ones."""
        listed = not self.draft.has_prefix_items and isinstance(self.get("items"), list)
        return "additionalItems" if listed else "items"

    @property
    def rest(self) -> Node | None:
        """The schema of the items that come after the first ones; None where all are allowed."""
        return self.one(self.rest_keyword)

    def explicitly(self, name: str) -> Explicit:
        """Give what "properties" and "patternProperties" ask of a property."""
        properties = self.get("properties") or {}
        surely = [self.child(properties[name])] if name in properties else []
        perhaps, doubts = [], []
        for pattern, each in (self.get("patternProperties") or {}).items():
            try:
                if is_found(pattern, name):
                    surely.append(self.child(each))
            except Undecided as error:
                perhaps.append(self.child(each))
                doubts.append(
                    f"whether {shown(name)} matches {shown(pattern)} is not decided: {error}"
                )
        return Explicit(tuple(surely), tuple(perhaps), tuple(doubts))

    def of_property(self, name: str) -> tuple[Node, ...]:
        """Give all that this one object surely asks of a property: nothing where it is open."""
        found = self.explicitly(name)
        additional = self.one("additionalProperties")
        return found.surely if found.at_most or additional is None else (additional,)

    def of_property_at_most(self, name: str) -> tuple[Node, ...]:
        """Give all that this one object may ask of a property."""
        found = self.explicitly(name)
        additional = self.one("additionalProperties")
        return found.at_most if found.surely or additional is None else (*found.perhaps, additional)

    def in_place(self) -> Iterator[Node]:
        """Give the schemas that judge the same value as this one."""
        yield from self.targets()
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from self.several(keyword)
        for keyword in ("not", "if", "then", "else"):
            node = self.one(keyword)
            if node is not None:
                yield node
        yield from self.dependent_schemas.values()

    def inside(self) -> Iterator[tuple[tuple[str, ...], Node]]:
        """Give the schemas that are written inside of this one, heeded or not, and where."""
        if isinstance(self.contents, bool):
            return
        for keyword, value in self.contents.items():
            for steps, contents in schemas_in(self.draft, keyword, value):
                yield steps, self.child(contents)


def schemas_in(draft: Draft, keyword: str, value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the schemas in a keyword's value as they stand there, and the steps to each."""
    inner: Iterable[tuple[tuple[str, ...], Any]] = ()
    if keyword not in draft.holders:
        return
    if isinstance(value, list) and (keyword in SCHEMA_LISTS or keyword == "items"):
        inner = (((keyword, str(index)), each) for index, each in enumerate(value))
    elif isinstance(value, dict) and keyword in SCHEMA_MAPS:
        inner = (((keyword, name), each) for name, each in value.items())
    elif keyword in ONE_SCHEMA:
        inner = (((keyword,), value),)
    yield from (found for found in inner if isinstance(found[1], dict | bool))


def replaced(draft: Draft, keyword: str, value: Any, change: Callable[[Any], Any]) -> Any:
    """Copy a keyword's value with each schema in it changed."""
    inner = [(steps, change(each)) for steps, each in schemas_in(draft, keyword, value)]
    if not inner:
        return value
    if inner[0][0] == (keyword,):
        return inner[0][1]
    if isinstance(value, list):
        copies = {int(steps[1]): each for steps, each in inner}
        return [copies.get(index, each) for index, each in enumerate(value)]
    return {**value, **{steps[1]: each for steps, each in inner}}


def lone(contents: dict[str, Any], beside: Node) -> Node:
    """Make a node of a schema that no document holds, in draft 7; it has no references."""
    return Node(contents, beside.resolver, DEFAULT_DRAFT, None, canonical(contents))


def spelling_of(node: Node) -> Spelling | None:
    """Give what is alike for schemas that accept the same in the same words.

    None where one reference means two things in different places.
    """
    return node.remember("spelling", lambda: _spelling_of(node))


def _spelling_of(node: Node) -> Spelling | None:
    found: dict[str, str] = {}
    reached: set[Key] = set()
    pending = [("", node)]
    while pending:
        name, each = pending.pop()
        if name or each is node:
            spelled = canonical([each.draft.number, essence(each.contents, each.draft)])
            if found.setdefault(name, spelled) != spelled:
                return None
        if each.key in reached:
            continue
        reached.add(each.key)
        pending += [("", inner) for steps, inner in each.inside() if each.get(steps[0]) is not None]
        for keyword in REFERENCES:
            target = each.follow(keyword)
            if target is not None:
                pending.append((keyword + each.get(keyword), target))
    return frozenset(found.items())


def essence(schema: Any, inherited: Draft) -> Any:
    """Copy of a schema what can refuse a value, and put into order what has none."""
    if isinstance(schema, bool):
        return schema
    draft = draft_of(schema, inherited)
    if draft.hides_siblings_of_ref and "$ref" in schema:
        return {"$ref": schema["$ref"]}
    heeded = {key: value for key, value in schema.items() if key in draft.keywords}
    heeded.pop("format", None)
    return {key: _in_order(draft, key, value, essence) for key, value in heeded.items()} or True


def normal(schema: Any, inherited: Draft) -> Any:
    """Put into order, in a schema and those in it, what means the same in any order."""
    if isinstance(schema, bool):
        return schema
    draft = draft_of(schema, inherited)
    return {key: _in_order(draft, key, value, normal) for key, value in schema.items()}


def _in_order(draft: Draft, keyword: str, value: Any, change: Callable[[Any, Draft], Any]) -> Any:
    if keyword in _UNORDERED:
        return sorted(value) if isinstance(value, list) else value
    value = replaced(draft, keyword, value, lambda inner: change(inner, draft))
    if keyword in {"dependencies", "dependentRequired"} & draft.keywords:
        return {
            name: sorted(each) if isinstance(each, list) else each for name, each in value.items()
        }
    return value
