"""How few bytes a value of each type may take.

A record that holds itself without a union, array or map between has no value that ends, and records
that hold one another too deep cost every payload that much time; both are refused. What takes no
bytes at all is worth knowing too: a payload of some bytes can announce any number of it.
Must never know: JSON texts, payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.avro.model import Enum, Fixed, Primitive, Record, Reference
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from schemas.avro.model import Model, NamedType, Node

HOLDING_MAX: Final = 64
"""How many records may hold one another, each directly in a field of the next: it takes so many
steps to read a single byte of the innermost."""

_LEAST: Final = {"null": 0, "float": 4, "double": 8}
_LEAST_OTHERWISE: Final = 1
"""An integer, a length, a count, a branch's index: nothing else takes less than a byte."""


class Widths:
    """The least number of bytes of every type of a model."""

    def __init__(self, model: Model) -> None:
        """Measure all named types. Raises: InvalidSchema."""
        self._model = model
        self._least: dict[str, int] = {}
        self._depths: dict[str, int] = {}
        self._open: set[str] = set()
        for named in model.types.values():
            self._measure(named)

    def least(self, node: Node) -> int:
        """Give the least number of bytes that a value takes."""
        if isinstance(node, Reference | Record | Enum | Fixed):
            return self._least[node.name]
        if isinstance(node, Primitive):
            return _LEAST.get(node.kind, _LEAST_OTHERWISE)
        return _LEAST_OTHERWISE

    def _measure(self, named: NamedType) -> None:
        """Measure a type after those that it holds: mostly they were measured before."""
        if named.name in self._least:
            return
        if isinstance(named, Record):
            self._measure_record(named)
        else:
            self._least[named.name] = named.size if isinstance(named, Fixed) else _LEAST_OTHERWISE

    def _measure_record(self, record: Record) -> None:
        if record.name in self._open:
            raise InvalidSchema(
                f'record "{record.name}" holds itself in a field, so that no value of it ends; '
                'let the field be optional: ["null", ...]'
            )
        self._open.add(record.name)
        least = depth = 0
        for field in record.fields:
            held = self._model.resolve(field.type)
            if isinstance(held, Record | Enum | Fixed):
                self._measure(held)
            if isinstance(held, Record):
                depth = max(depth, 1 + self._depths[held.name])
            least += self.least(held)
        self._open.remove(record.name)
        if depth > HOLDING_MAX:
            raise InvalidSchema(
                f'record "{record.name}" holds records in records, {depth} levels deep; '
                f"at most {HOLDING_MAX} are read"
            )
        self._least[record.name], self._depths[record.name] = least, depth
