"""Avro's binary encoding, walked through: whether a payload is a value of a schema.

Nothing is decoded, and nothing recurses: a schema is compiled into steps, each of which moves on in
the payload, and what is inside of a value waits on a stack of its own. Payloads are foreign, and
decoders for values that are wanted trust them: some build as many nulls as a payload of ten bytes
announces, overflow the machine's stack on values that are nested deep, or count branches from
the end where an index is negative. So this is stricter than they are: indexes, lengths, the ranges
of int and long, the bytes of booleans and the announced sizes of blocks must be right.
Must never know: texts of schemas, other schemas, the header in front of a payload.
Source: Apache Avro 1.12 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Final, TypeAlias

from schemas.avro.model import Array, Enum, Fixed, Map, Primitive, Record, Union
from schemas.avro.width import Widths
from schemas.schema import InvalidPayload

if TYPE_CHECKING:
    from schemas.avro.model import Field, Model, Node

STACK_MAX: Final = 20_000
"""How many values may be inside of one another, counting arrays and maps twice, unless whoever
asks says less. Readers that recurse give up much earlier."""
ZERO_BYTE_ITEMS_MAX: Final = 1 << 20
"""How many items that take no bytes one payload may announce: readers build them all."""

_LONG_BYTES_MAX: Final = 10
_INT_BYTES_MAX: Final = 5
_KEY_CHARACTERS_MAX: Final = 40
_PATH_CHARACTERS_MAX: Final = 200


class _Stack(list[Iterator["_Step"]]):
    """The steps that are still to be taken, innermost last, and where they are."""

    __slots__ = ("depth_max", "path", "zero_byte_items")

    def __init__(self, depth_max: int) -> None:
        super().__init__()
        self.depth_max = depth_max
        self.path: list[str] = []
        self.zero_byte_items = 0

    def require_room(self) -> None:
        """Check that one more value may begin in here."""
        if len(self) > self.depth_max:
            raise _Wrong(f"more than {self.depth_max:,} values inside of one another")

    def announce(self, count: int) -> None:
        """Count items that take no bytes."""
        self.zero_byte_items += count
        if self.zero_byte_items > ZERO_BYTE_ITEMS_MAX:
            raise _Wrong(f"more than {ZERO_BYTE_ITEMS_MAX:,} items that take no bytes")

    def name(self, name: str) -> None:
        """Say what comes next at this depth."""
        depth = len(self)
        del self.path[depth:]
        self.path += [""] * (depth - len(self.path))
        self.path.append(name)


_Step: TypeAlias = Callable[[bytes, int, _Stack], int]
"""Moves on from a position in the payload, and gives the next one."""


class _Wrong(Exception):
    """The payload cannot go on like this; says how it does."""


class PayloadCheck:
    """Holds payloads against one schema."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._quick = _Compiler(model, named=False).program()
        self._named: _Step | None = None

    def check(self, payload: bytes | memoryview, *, depth_max: int = STACK_MAX) -> None:
        """Walk through a payload to its end. Raises: InvalidPayload, which names the field."""
        buffer = bytes(payload)
        stack = _Stack(depth_max)
        try:
            end = _run(self._quick, buffer, stack)
        except (_Wrong, IndexError):
            raise self._refusal(buffer, depth_max) from None
        if end != len(buffer):
            raise InvalidPayload(
                f"the payload has {len(buffer)} bytes, and its {self._root} ends at byte {end}; "
                "was the payload written with another schema?"
            )

    @property
    def _root(self) -> str:
        return self._model.describe(self._model.root)

    def _refusal(self, buffer: bytes, depth_max: int) -> InvalidPayload:
        """Walk once more, by names, to say where a payload is wrong."""
        if self._named is None:
            self._named = _Compiler(self._model, named=True).program()
        stack = _Stack(depth_max)
        what = ""
        try:
            _run(self._named, buffer, stack)
        except _Wrong as wrong:
            what = str(wrong)
        except IndexError:
            what = f"the payload of {len(buffer)} bytes ends in it"
        assert what, "both programs refuse the same payloads"
        path = "".join(stack.path[: len(stack) + 1]).removeprefix(".")
        if len(path) > _PATH_CHARACTERS_MAX:
            path = f"...{path[-_PATH_CHARACTERS_MAX:]}"
        where = f'field "{path}" of {self._root}' if path else self._root
        return InvalidPayload(f"{where}: {what}; was the payload written with another schema?")


def _run(program: _Step, buffer: bytes, stack: _Stack) -> int:
    """Take all steps. Returns: the position behind the last one."""
    stack.append(iter((program,)))
    position = 0
    while stack:
        frame = stack[-1]
        for step in frame:
            position = step(buffer, position, stack)
            if stack[-1] is not frame:
                break
        else:
            stack.pop()
    return position


class _Compiler:
    """Makes steps of types. With `named`, they note in the stack where they are."""

    def __init__(self, model: Model, *, named: bool) -> None:
        self._model = model
        self._widths = Widths(model)
        self._is_named = named
        self._inside: dict[str, list[_Step]] = {
            name: [] for name, found in model.types.items() if isinstance(found, Record)
        }

    def program(self) -> _Step:
        """Make the step that walks through a whole value."""
        for name, steps in self._inside.items():
            record = self._model.types[name]
            assert isinstance(record, Record)
            steps += [self._field(f) for f in record.fields if self._widths.least(f.type)]
        return self._step(self._model.root)

    def _field(self, field: Field) -> _Step:
        step = self._step(field.type)
        return _naming(f".{field.name}", step) if self._is_named else step

    def _step(self, node: Node) -> _Step:
        if not self._widths.least(node):
            return _nothing
        found = self._model.resolve(node)
        match found:
            case Primitive():
                step = _PRIMITIVES[found.kind]
            case Fixed():
                step = _fixed_bytes(found.size)
            case Enum():
                step = _one_of(found)
            case Record():
                step = _all_of(self._inside[found.name])
            case Union():
                step = _branch_of([self._step(branch) for branch in found.branches])
            case Array():
                step = self._items(self._step(found.items), self._widths.least(found.items))
            case Map():
                step = self._entries(self._step(found.values), self._widths.least(found.values))
        return step

    def _items(self, item: _Step, least: int) -> _Step:
        return _blocks(item, least, _numbered if self._is_named else repeat)

    def _entries(self, value: _Step, least: int) -> _Step:
        if self._is_named:
            return _blocks(_named_entry(value), 1 + least, repeat)

        def entry(buffer: bytes, position: int, stack: _Stack) -> int:
            return value(buffer, _string(buffer, position, stack), stack)

        return _blocks(entry, 1 + least, repeat)


# Steps that are made for a type.


def _naming(name: str, step: _Step) -> _Step:
    def named(buffer: bytes, position: int, stack: _Stack) -> int:
        stack.name(name)
        return step(buffer, position, stack)

    return named


def _numbered(item: _Step, count: int) -> Iterator[_Step]:
    return (_naming(f"[{index}]", item) for index in range(count))


def _named_entry(value: _Step) -> _Step:
    def entry(buffer: bytes, position: int, stack: _Stack) -> int:
        stack.name("{}")
        _, start = _long(buffer, position)
        end = _string(buffer, position, stack)
        key = buffer[start:end].decode()
        shown = key if len(key) <= _KEY_CHARACTERS_MAX else f"{key[:_KEY_CHARACTERS_MAX]}..."
        stack.name(f'{{"{shown}"}}')
        return value(buffer, end, stack)

    return entry


def _all_of(steps: list[_Step]) -> _Step:
    def record(_buffer: bytes, position: int, stack: _Stack) -> int:
        stack.require_room()
        stack.append(iter(steps))
        return position

    return record


def _branch_of(branches: list[_Step]) -> _Step:
    def union(buffer: bytes, position: int, stack: _Stack) -> int:
        index, position = _long(buffer, position)
        if not 0 <= index < len(branches):
            raise _Wrong(f"branch {index} of a union that has {len(branches)}")
        return branches[index](buffer, position, stack)

    return union


def _one_of(enum: Enum) -> _Step:
    count = len(enum.symbols)

    def symbol(buffer: bytes, position: int, _stack: _Stack) -> int:
        index, position = _long(buffer, position)
        if not 0 <= index < count:
            raise _Wrong(f'symbol {index} of enum "{enum.name}", which has {count}')
        return position

    return symbol


def _fixed_bytes(size: int) -> _Step:
    def fixed(buffer: bytes, position: int, _stack: _Stack) -> int:
        return _moved(buffer, position, size)

    return fixed


def _blocks(item: _Step, least: int, many: Callable[[_Step, int], Iterator[_Step]]) -> _Step:
    """Walk through blocks of items, each of which takes `least` bytes at least."""

    def block(buffer: bytes, position: int, stack: _Stack) -> int:
        count, position = _long(buffer, position)
        if count == 0:
            return position
        then: tuple[_Step, ...] = (block,)
        if count < 0:
            count = -count
            size, position = _long(buffer, position)
            then = (_at_end_of_block(position + size), block)
        stack.require_room()
        if count * least > len(buffer) - position:
            raise _Wrong(f"{count} items announced, {len(buffer) - position} bytes remain")
        stack.append(iter(then))
        if least:
            stack.append(iter(many(item, count)))
        else:
            stack.announce(count)
        return position

    return block


def _at_end_of_block(end: int) -> _Step:
    def at_end(_buffer: bytes, position: int, _stack: _Stack) -> int:
        if position != end:
            raise _Wrong(f"a block that says it ends at byte {end} ends at byte {position}")
        return position

    return at_end


# Steps of primitive types.


def _long(buffer: bytes, position: int) -> tuple[int, int]:
    """Read a number of 64 bits. Returns: it, and the position behind it."""
    byte = buffer[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    end = _variable(buffer, position)
    number = 0
    for byte in reversed(buffer[position:end]):
        number = number << 7 | byte & 0x7F
    return (number >> 1) ^ -(number & 1), end


def _variable(buffer: bytes, position: int, _stack: object = None) -> int:
    end = position
    while buffer[end] >= 0x80:
        end += 1
    end += 1
    if end - position >= _LONG_BYTES_MAX:
        _check_bits(buffer[position:end], _LONG_BYTES_MAX, 64)
    return end


def _int(buffer: bytes, position: int, _stack: _Stack) -> int:
    end = _variable(buffer, position)
    if end - position >= _INT_BYTES_MAX:
        _check_bits(buffer[position:end], _INT_BYTES_MAX, 32)
    return end


def _check_bits(varint: bytes, bytes_max: int, bits: int) -> None:
    """Refuse a number whose last byte has bits beyond those that are left for it."""
    if len(varint) > bytes_max or varint[-1] >> (bits - 7 * (bytes_max - 1)):
        raise _Wrong(f"a number of more than {bits} bits")


def _moved(buffer: bytes, position: int, size: int) -> int:
    end = position + size
    if end > len(buffer):
        raise _Wrong(f"{size} bytes expected, {len(buffer) - position} remain")
    return end


def _bytes(buffer: bytes, position: int, _stack: _Stack) -> int:
    size, position = _long(buffer, position)
    if size < 0:
        raise _Wrong(f"a length of {size}")
    return _moved(buffer, position, size)


def _string(buffer: bytes, position: int, stack: _Stack) -> int:
    end = _bytes(buffer, position, stack)
    try:
        str(buffer[position:end], "utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong(f"a string that is not UTF-8 ({error.reason})") from None
    return end


def _boolean(buffer: bytes, position: int, _stack: _Stack) -> int:
    if buffer[position] > 1:
        raise _Wrong(f"a boolean of {buffer[position]}, which is neither 0 nor 1")
    return position + 1


def _float(buffer: bytes, position: int, _stack: _Stack) -> int:
    return _moved(buffer, position, 4)


def _double(buffer: bytes, position: int, _stack: _Stack) -> int:
    return _moved(buffer, position, 8)


def _nothing(_buffer: bytes, position: int, _stack: _Stack) -> int:
    return position


_PRIMITIVES: Final[dict[str, _Step]] = {
    "null": _nothing,
    "boolean": _boolean,
    "int": _int,
    "long": _variable,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _string,
}
