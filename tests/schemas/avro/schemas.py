"""Avro schemas as JSON values: short ways to write them down, and strategies that draw them."""

from __future__ import annotations

import copy
import json
from io import BytesIO

import fastavro
from hypothesis import strategies as st

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


def array(items):
    return {"type": "array", "items": items}


def map_of(values):
    return {"type": "map", "values": values}


def fixed(name, size, **more):
    return {"type": "fixed", "name": name, "size": size, **more}


def enum(name, symbols, **more):
    return {"type": "enum", "name": name, "symbols": list(symbols), **more}


def record(name, *fields, **more):
    """A record of fields (name, type) or (name, type, default)."""
    return {
        "type": "record",
        "name": name,
        "fields": [dict(zip(("name", "type", "default"), field, strict=False)) for field in fields],
        **more,
    }


# Drawn schemas.

_DEFAULTS = {
    "null": None,
    "boolean": True,
    "int": 1,
    "long": 2,
    "float": 0.5,
    "double": 1,
    "string": "x",
}
"""Not for bytes: fastavro gives out the string that the schema has."""


@st.composite
def schemas(draw, depth=3):
    """Schemas of every kind; records may refer to themselves and to types before them."""
    return _Drawing(draw).root(depth)


class _Drawing:
    def __init__(self, draw):
        self._draw = draw
        self._complete = []
        self._count = 0
        # All names have a namespace or none has: from inside one, not everybody finds the others.
        self._namespaces = draw(st.sampled_from([[""], ["n.", "m."]]))

    def root(self, depth):
        """Draw a whole schema: mostly a record, as in life."""
        return self._record(depth) if draw_often(self._draw) else self.node(depth)

    def node(self, depth, *, in_union=False):
        kinds = ["primitive"] * 3
        if self._complete:
            kinds.append("reference")
        if depth:
            kinds += ["array", "map", "enum", "enum", "fixed", "record", "record"]
            kinds += [] if in_union else ["union", "union"]
        kind = self._draw(st.sampled_from(kinds))
        return getattr(self, f"_{kind}")(depth - 1)

    def _primitive(self, _depth):
        return self._draw(st.sampled_from(PRIMITIVES))

    def _reference(self, _depth):
        return self._draw(st.sampled_from(self._complete))

    def _array(self, depth):
        return array(self.node(depth))

    def _map(self, depth):
        return map_of(self.node(depth))

    def _union(self, depth):
        branches = {}
        for _ in range(self._draw(st.integers(1, 4))):
            complete = list(self._complete)
            branch = self.node(depth, in_union=True)
            if _branch_key(branch) in branches:
                self._complete = complete  # what it defines goes with it: nobody may refer to that
            else:
                branches[_branch_key(branch)] = branch
        return list(branches.values())

    def _name(self):
        self._count += 1
        return f"{self._draw(st.sampled_from(self._namespaces))}T{self._count}"

    def _enum(self, _depth):
        symbols = self._draw(st.lists(st.sampled_from("ABCD"), min_size=1, unique=True))
        name = self._name()
        self._complete.append(name)
        more = {"default": symbols[0]} if self._draw(st.booleans()) else {}
        return enum(name, symbols, **more)

    def _fixed(self, _depth):
        name = self._name()
        self._complete.append(name)
        return fixed(name, self._draw(st.integers(1, 3)))

    def _record(self, depth):
        name = self._name()
        fields = []
        for index in range(self._draw(st.sampled_from([0, 1, 2, 2, 3, 3]))):
            field = {"name": f"f{index}", "type": self.node(depth)}
            if isinstance(field["type"], str) and self._draw(st.booleans()):
                field |= {"default": _DEFAULTS[field["type"]]} if field["type"] in _DEFAULTS else {}
            fields.append(field)
        if self._draw(st.booleans()):
            again = self._draw(st.sampled_from([["null", name], array(name), map_of(name)]))
            fields.append({"name": "again", "type": again})
        self._complete.append(name)
        return {"type": "record", "name": name, "fields": fields}


def draw_often(draw):
    return draw(st.integers(0, 4)) > 0


def _branch_key(branch):
    if isinstance(branch, str):
        return branch
    return branch.get("name", branch["type"])


# Mutations: what people do to schemas from one version to the next, and what they should not.


@st.composite
def mutated(draw, schema):
    """Another version of a schema; not always a valid one."""
    holder = {"": copy.deepcopy(schema)}
    for _ in range(draw(st.integers(1, 3))):
        parent, key = draw(st.sampled_from(list(_slots(holder, ""))))
        _mutate(draw, parent, key)
    return holder[""]


def _slots(parent, key):
    """Go through all places where a schema stands."""
    yield parent, key
    node = parent[key]
    if isinstance(node, list):
        for index in range(len(node)):
            yield from _slots(node, index)
    elif isinstance(node, dict):
        for inner in ("items", "values"):
            if inner in node:
                yield from _slots(node, inner)
        for field in node.get("fields", ()):
            yield from _slots(field, "type")


def _mutate(draw, parent, key):
    node = parent[key]
    kind = "union" if isinstance(node, list) else node["type"] if isinstance(node, dict) else node
    ways = {
        "union": [_add_branch, _drop_branch],
        "record": [_add_field, _add_field, _drop_field, _rename_field, _reorder, _rename],
        "enum": [_change_symbols, _change_symbols, _rename],
        "fixed": [_resize, _resize, _rename],
    }.get(kind, [_replace, _widen, _make_optional])
    draw(st.sampled_from([*ways, _replace] if draw(st.integers(0, 9)) == 0 else ways))(
        draw, parent, key
    )


def _replace(draw, parent, key):
    parent[key] = draw(st.sampled_from(PRIMITIVES))
    parent.pop("default", None) if isinstance(parent, dict) else None


_WIDER = {"int": "long", "long": "double", "float": "double", "string": "bytes", "bytes": "string"}


def _widen(_draw, parent, key):
    if isinstance(parent[key], str):
        parent[key] = _WIDER.get(parent[key], parent[key])
        if parent[key] == "bytes" and isinstance(parent, dict):
            parent.pop("default", None)  # see _DEFAULTS


def _make_optional(_draw, parent, key):
    node = parent[key]
    if not isinstance(parent, list) and not isinstance(node, list) and node != "null":
        parent[key] = ["null", node]


def _add_branch(draw, parent, key):
    parent[key].append(draw(st.sampled_from(PRIMITIVES)))


def _drop_branch(draw, parent, key):
    if parent[key]:
        parent[key].pop(draw(st.integers(0, len(parent[key]) - 1)))


def _add_field(draw, parent, key):
    kind = draw(st.sampled_from(PRIMITIVES))
    field = {"name": draw(st.sampled_from(["g0", "g1", "f2", "f3"])), "type": kind}
    if kind in _DEFAULTS and draw(st.booleans()):
        field["default"] = _DEFAULTS[kind]
    parent[key]["fields"].insert(0, field)


def _drop_field(draw, parent, key):
    fields = parent[key]["fields"]
    if fields:
        fields.pop(draw(st.integers(0, len(fields) - 1)))


def _rename_field(draw, parent, key):
    fields = parent[key]["fields"]
    if fields:
        field = draw(st.sampled_from(fields))
        if draw(st.booleans()):
            field["aliases"] = [field["name"]]
        field["name"] = draw(st.sampled_from(["g0", "g1", "f0"]))


def _reorder(_draw, parent, key):
    parent[key]["fields"].reverse()


def _rename(draw, parent, key):
    """Change the name where it is defined; references then make the schema invalid."""
    node = parent[key]
    if draw(st.booleans()):
        node["aliases"] = [node["name"]]
    namespace, dot, simple = node["name"].rpartition(".")
    moved = f"other{dot}" if dot else ""
    node["name"] = draw(
        st.sampled_from([f"{moved}{simple}", f"{namespace}{dot}{simple}x", f"{moved}{simple}x"])
    )


def _change_symbols(draw, parent, key):
    node = parent[key]
    node["symbols"] = draw(st.lists(st.sampled_from("ABCDE"), min_size=1, unique=True))
    if node.get("default") not in node["symbols"]:
        node.pop("default", None)


def _resize(draw, parent, key):
    parent[key]["size"] = draw(st.integers(1, 3))


# Values.


@st.composite
def values(draw, schema):
    """Values of a schema, as fastavro takes them.

    Bytes are UTF-8, for they may be read as strings; those of a fixed too, for in a union fastavro
    may write them as bytes.
    """
    names = {}
    _collect(schema, "", names)
    return _value(draw, schema, "", names, 0)


def _full(name, namespace):
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _collect(node, namespace, names):
    if isinstance(node, list):
        for branch in node:
            _collect(branch, namespace, names)
    elif isinstance(node, dict):
        if "name" in node:
            full = _full(node["name"], node.get("namespace", namespace))
            names[full] = node, (namespace := full.rpartition(".")[0])
        for inner in ("items", "values"):
            _collect(node.get(inner), namespace, names)
        for field in node.get("fields", ()):
            _collect(field["type"], namespace, names)


_PRIMITIVE_VALUES = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "bytes": st.text(max_size=4).map(str.encode),
    "string": st.text(max_size=4),
}
_DEEP = 5


def _value(draw, node, namespace, names, depth):
    if isinstance(node, str) and node not in PRIMITIVES:
        full = _full(node, namespace)
        node, namespace = names[full] if full in names else names[node]
    elif isinstance(node, dict) and "name" in node:
        namespace = _full(node["name"], node.get("namespace", namespace)).rpartition(".")[0]
    if isinstance(node, list):
        branch = "null" if depth > _DEEP and "null" in node else draw(st.sampled_from(node))
        return _value(draw, branch, namespace, names, depth + 1)
    kind = node if isinstance(node, str) else node["type"]
    if kind in _PRIMITIVE_VALUES:
        return draw(_PRIMITIVE_VALUES[kind])
    if kind == "fixed":
        size = node["size"]
        return bytes(draw(st.lists(st.integers(0, 127), min_size=size, max_size=size)))
    if kind == "enum":
        return draw(st.sampled_from(node["symbols"]))
    if kind == "record":
        return {
            f["name"]: _value(draw, f["type"], namespace, names, depth + 1) for f in node["fields"]
        }
    count = 0 if depth > _DEEP else draw(st.integers(0, 2))
    inside = node["items"] if kind == "array" else node["values"]
    found = [_value(draw, inside, namespace, names, depth + 1) for _ in range(count)]
    return found if kind == "array" else {f"k{i}": each for i, each in enumerate(found)}


def encode(schema, value):
    """Write a value as fastavro does."""
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def decode(payload, writer, reader=None):
    """Read a value as fastavro does, and nothing may remain."""
    stream = BytesIO(payload)
    reader = None if reader is None else fastavro.parse_schema(reader)
    value = fastavro.schemaless_reader(stream, fastavro.parse_schema(writer), reader)
    assert stream.tell() == len(payload)
    return value


def text_of(schema):
    return json.dumps(schema)
