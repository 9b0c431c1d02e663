"""The references of a JSON Schema: every "$ref" is followed once, before anyone relies on it.

They are resolved in the schema itself and in the schemas that it depends on, by their names; the
drafts' own metaschemas are known too. Nothing is ever fetched.
Must never know: the network, files, compatibility.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import jsonschema
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing.exceptions import Unresolvable

from schemas.json_schema.drafts import Draft, draft_of
from schemas.json_schema.findings import pointer
from schemas.json_schema.nodes import REFERENCES, Key, Node, replaced
from schemas.json_schema.text import NotJson, canonical, decode, depth_of, shortened, shown
from schemas.schema import SCHEMA_CHARACTERS_MAX, InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from referencing import Registry

    from schemas.schema import Dependency

NESTING_MAX = 64
"""Levels of objects and arrays in a schema's text. Validators recurse, about ten calls each."""

_METASCHEMAS = {id(resource.contents) for resource in REGISTRY.values()}
"""The documents in which the drafts describe themselves."""

DEPENDENCIES_MAX = 1000
JUDGES_MAX = 10_000
"""How many schemas may judge one value together, counting one each time that it is used.

A few lines of `allOf` over `allOf` can ask for billions: each payload would take for ever.
"""

STEPS_MAX = 50
"""How many schemas may judge one value because of each other: a $ref to a $ref to a $ref."""


def decode_schema(text: str, name: str) -> Any:
    """Read a schema's text as JSON; `name` is how messages call it. Raises: InvalidSchema."""
    if len(text) > SCHEMA_CHARACTERS_MAX:
        raise InvalidSchema(
            f"{name} has {len(text)} characters, {SCHEMA_CHARACTERS_MAX} are accepted: "
            "cut it into schemas that refer to each other"
        )
    try:
        contents = decode(text)
    except NotJson as error:
        raise InvalidSchema(f"{name} is no JSON: {error}") from None
    if not isinstance(contents, dict | bool):
        raise InvalidSchema(f"{name} is {shown(contents)}: a schema is an object, true or false")
    if (depth := depth_of(contents)) > NESTING_MAX:
        raise InvalidSchema(
            f"{name} is nested {depth} levels deep, {NESTING_MAX} are accepted: "
            'move inner schemas to "definitions" and refer to them by "$ref"'
        )
    return contents


def check_contents(contents: Any, draft: Draft, name: str) -> None:
    """Hold a schema against its draft's metaschema. Raises: InvalidSchema."""
    try:
        draft.validator.check_schema(contents)
    except jsonschema.SchemaError as error:
        value = error.instance
        raise InvalidSchema(
            f"{name}, at {pointer(tuple(error.absolute_path))}: {shown(value)} is not allowed "
            f"there by {draft.uri}, whose {error.validator!r} is {shown(error.validator_value)}"
        ) from None
    except RecursionError:
        raise InvalidSchema(
            f'{name} is nested too deep: move inner schemas to "definitions"'
        ) from None
    except ArithmeticError as error:
        raise InvalidSchema(f"{name} has a number that is too large: {error}") from None


def load(
    contents: Any, draft: Draft, dependencies: Sequence[Dependency]
) -> tuple[Node, Registry[Any]]:
    """Make a schema's root node, all of whose references lead somewhere, and what they lead into.

    `contents` was held against the metaschema. Raises: InvalidSchema.
    """
    identity = _identity(contents, draft)
    documents = _documents(dependencies, identity, draft)
    root = without_own_draft(contents, draft)
    try:
        registry: Registry[Any] = REGISTRY.with_resources(
            (uri, each.specification.create_resource(document))
            for uri, (document, each) in documents.items()
        )
        registry = registry.with_resource(identity, draft.specification.create_resource(root))
        registry = registry.crawl()
        node = Node(root, registry.resolver(identity), draft, {})
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidSchema(f'an "$id" is no URI: {error}') from None
    names = sorted({dependency.name for dependency in dependencies})
    checked = {id(document) for document, _ in documents.values()}
    nodes = _check_references(node, names, checked)
    _check_dynamic_anchors(nodes)
    _check_judges(nodes)
    _check_patterns(nodes)
    return node, registry


def without_own_draft(contents: Any, inherited: Draft) -> Any:
    """Copy a schema without each "$schema" that says what holds anyway.

    The validator would take it as a reason to fall back on a class that is not ours.
    """
    if isinstance(contents, bool):
        return contents
    draft = draft_of(contents, inherited)
    return {
        keyword: replaced(draft, keyword, value, lambda inner: without_own_draft(inner, draft))
        for keyword, value in contents.items()
        if keyword != "$schema" or draft is not inherited
    }


def _identity(contents: Any, draft: Draft) -> str:
    """Give the URI by which a schema calls itself, "" where it does not."""
    if isinstance(contents, bool):
        return ""
    return draft.specification.create_resource(contents).id() or ""


def _documents(
    dependencies: Sequence[Dependency], base: str, draft: Draft
) -> dict[str, tuple[Any, Draft]]:
    """Read all dependencies, also theirs, by each URI that may lead to them."""
    found: dict[str, tuple[Any, Draft]] = {}
    texts: dict[str, str] = {}
    pending = [(dependency, base) for dependency in dependencies]
    seen: set[tuple[int, str]] = set()
    while pending:
        dependency, base = pending.pop()
        if (id(dependency), base) in seen:
            continue
        seen.add((id(dependency), base))
        if len(seen) > DEPENDENCIES_MAX:
            raise InvalidSchema(
                f"more than {DEPENDENCIES_MAX} schemas are referred to: put some together"
            )
        name = f"reference {shown(dependency.name)}"
        document = decode_schema(dependency.text, name)
        own = draft_of(document, draft)
        check_contents(document, own, name)
        document = without_own_draft(document, draft)
        try:
            uri = urljoin(base, dependency.name)
            inner = urljoin(uri, _identity(document, own))
        except ValueError as error:
            raise InvalidSchema(f"{name}: its name or its identity is no URI: {error}") from None
        for called in {dependency.name.rstrip("#"), uri.rstrip("#")}:
            if texts.setdefault(called, dependency.text) != dependency.text:
                raise InvalidSchema(
                    f"two different schemas are called {shown(called)}: rename one of them"
                )
            found.setdefault(called, (document, own))
        pending += [(each, inner) for each in dependency.dependencies]
    return found


def _check_references(root: Node, names: Sequence[str], checked: set[int]) -> list[Node]:
    """Follow every reference once, and give all places that can be reached.

    `checked` are the documents that were held against their metaschemas.
    """
    reached: dict[Key, Node] = {}
    pending: list[tuple[tuple[str, ...], Node]] = [((), root)]
    targets: list[tuple[tuple[str, ...], Node]] = []
    while pending or targets:
        if not pending:  # all that is written in documents was seen: what is left is elsewhere
            place, node = targets.pop()
            if node.key not in reached:
                if id(node.contents) not in checked:
                    _check_target(place, node)
                pending.append((place, node))
            continue
        place, node = pending.pop()
        if node.key in reached:
            continue
        reached[node.key] = node
        pending += [((*place, *steps), child) for steps, child in node.inside()]
        targets += [(place, target) for target in _targets(node, place, names)]
    return list(reached.values())


def _targets(node: Node, place: tuple[str, ...], names: Sequence[str]) -> Iterator[Node]:
    for keyword in REFERENCES:
        try:
            target = node.follow(keyword)
        except (Unresolvable, LookupError, ValueError, TypeError, AttributeError):
            known = ", ".join(map(shown, names[:20])) + (" and more" if len(names) > 20 else "")
            raise InvalidSchema(
                f"{pointer(place)}: {keyword} {shown(node.get(keyword))} leads nowhere; "
                + (
                    f"it may lead into this schema or into {known}"
                    if names
                    else "this schema refers to no other one: register that, and name it here"
                )
            ) from None
        if target is not None:
            yield target


def _check_target(place: tuple[str, ...], target: Node) -> None:
    """Check what a reference leads to; it may be where no metaschema expects a schema."""
    if not isinstance(target.contents, dict | bool):
        raise InvalidSchema(
            f"{pointer(place)}: a $ref leads to {shown(target.contents)}, which is no schema"
        )
    check_contents(target.contents, target.draft, f"what $ref at {pointer(place)} leads to")


def _check_patterns(nodes: Iterable[Node]) -> None:
    """See that all patterns can be used, alone and as the validator joins them."""
    for node in nodes:
        names = list(node.get("patternProperties") or {})
        pattern = node.get("pattern")
        for each in (*names, "|".join(names), *([] if pattern is None else [pattern])):
            try:
                re.compile(each)
            except (re.error, ArithmeticError, RecursionError) as error:
                raise InvalidSchema(
                    f"pattern {shown(each)} is no regular expression of Python: {error}"
                ) from None


def _check_dynamic_anchors(nodes: Iterable[Node]) -> None:
    """See that each dynamic reference has one end, whoever refers to the schema that has it."""
    anchors = [
        (keyword, canonical(node.contents[keyword]))
        for node in nodes
        if isinstance(node.contents, dict) and id(node.contents) not in _METASCHEMAS
        for keyword in ("$dynamicAnchor", "$recursiveAnchor")
        if node.contents.get(keyword)
    ]
    several = [anchor for anchor, count in Counter(anchors).items() if count > 1]
    if several and any(node.get(each) for node in nodes for each in REFERENCES[1:]):
        keyword, name = several[0]
        raise InvalidSchema(
            f"{keyword} {shortened(name)} is there more than once, so that what a reference to it "
            "means depends on who refers: give each its own name, and use $ref"
        )


def _check_judges(nodes: Iterable[Node]) -> None:
    """See that no value is judged without end, by too many schemas, or in too many steps."""
    counts: dict[Key, tuple[int, int]] = {}
    for node in nodes:
        if node.key not in counts:
            _count_judges(node, counts)


def _count_judges(start: Node, counts: dict[Key, tuple[int, int]]) -> None:
    """Add to `counts` how many schemas judge a value that a place judges, and in how many steps.

    Both count the place itself.
    """
    stack = [(start, list(start.in_place()))]
    counting = {start.key: (1, 1)}
    while stack:
        node, others = stack[-1]
        if not others:
            stack.pop()
            counts[node.key] = counting.pop(node.key)
            continue
        other = others[-1]
        if other.key in counting:
            raise InvalidSchema(
                f"{shown(other.contents)} refers to itself for the same value: "
                "a schema may return to itself only in a property or an item"
            )
        if other.key in counts:
            others.pop()
            judges, steps = counting[node.key]
            more, deeper = counts[other.key]
            counting[node.key] = judges + more, max(steps, deeper + 1)
            _refuse_many_judges(*counting[node.key])
        else:
            stack.append((other, list(other.in_place())))
            counting[other.key] = 1, 1


def _refuse_many_judges(judges: int, steps: int) -> None:
    if judges > JUDGES_MAX or steps > STEPS_MAX:
        raise InvalidSchema(
            f"more than {JUDGES_MAX} schemas judge one value, or one after the other in more than "
            f"{STEPS_MAX} steps of allOf, anyOf, oneOf and $ref: let fewer refer to each other"
        )
