"""The Protobuf type: .proto source, or a descriptor in base64, parsed, compared, held to payloads.

`text` is the source in one layout without comments; names and order are as they came. A descriptor
is written as source first. `normalized` is written from the descriptor, sorted.
Must never know: HTTP, subjects, files on disk.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from msgspec import Struct

from schemas.protobuf.compatibility import incompatibilities
from schemas.protobuf.compiler import check_import_path, compile_sources
from schemas.protobuf.literals import quoted
from schemas.protobuf.normal import normal_form
from schemas.protobuf.payload import check_message, find_message, read_indexes
from schemas.protobuf.source import NESTING_MAX, Source, lay_out
from schemas.protobuf.text import proto_source
from schemas.protobuf.types import Types
from schemas.protobuf.utf8 import check_text
from schemas.schema import (
    SCHEMA_CHARACTERS_MAX,
    Dependency,
    Incompatibility,
    InvalidSchema,
    Schema,
    SchemaType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NAME: Final = "default"
"""What a file is called that has no name: clients give it one of their own."""


class ProtobufSchema(Struct, frozen=True, eq=False):
    """A parsed .proto file, with the files that it imports."""

    text: str
    normalized: str
    _main: FileDescriptorProto
    _payloads: FileDescriptorProto
    """The file whose messages payloads are: the main one, or all that it hands on."""

    _files: tuple[FileDescriptorProto, ...]
    _pool: DescriptorPool

    @property
    def type(self) -> SchemaType:
        """Protobuf."""
        return SchemaType.PROTOBUF

    def serialized(self) -> bytes:
        """Give the file's descriptor, a serialized FileDescriptorProto."""
        return bytes(self._main.SerializeToString(deterministic=True))

    def incompatibilities(self, writer: Schema) -> list[Incompatibility]:
        """Tell all that keeps this schema from reading what was written with another."""
        assert isinstance(writer, ProtobufSchema), "schemas are compared within their type"
        return incompatibilities(self._types(), writer._types())  # noqa: SLF001 - its own class

    def check_payload(self, payload: bytes | memoryview) -> None:
        """Decode a payload: message indexes, then the message. Raises: InvalidPayload."""
        data = bytes(payload)
        indexes, position = read_indexes(data)
        file = self._pool.FindFileByName(self._payloads.name)
        check_message(find_message(file, indexes), data[position:])

    def says_the_same_as(self, file: FileDescriptorProto) -> bool:
        """Tell whether a descriptor is this schema's own, in whatever order it says things."""
        return bool(normal_form(self._main) == normal_form(file))

    def _types(self) -> Types:
        imported = (file for file in self._files if file.name != self._payloads.name)
        return Types(self._payloads, imported)


def parse(text: str, dependencies: Sequence[Dependency] = ()) -> ProtobufSchema:
    """Parse .proto source, or a FileDescriptorProto in base64.

    Dependencies are named by the paths that the file imports, and are .proto source. What is in
    google/protobuf, google/type and confluent needs none, but may be given, except for
    google/protobuf/descriptor.proto, which is always that of the installed library.
    Raises: InvalidSchema.
    """
    try:
        return _parse(text, dependencies)
    except RecursionError:
        raise InvalidSchema(
            "the schema is nested too deep: move inner messages to the top level of the file"
        ) from None


def _parse(text: str, dependencies: Sequence[Dependency]) -> ProtobufSchema:
    imports = {
        name: _laid_out(imported, within=f"{name}: ")
        for name, imported in _flattened(dependencies).items()
    }
    name = NAME
    while any(path == name or path.startswith(f"{name}/") for path in imports):
        name += "_"
    _check_text(text)
    described = _described(text)
    if described is None:
        return _compiled(name, _laid_out(text), imports)
    source = _laid_out(_written(name, described, imports))
    try:
        schema = _compiled(name, source, imports)
    except InvalidSchema as error:
        raise InvalidSchema(f"the descriptor, written as source: {error}") from None
    if not schema.says_the_same_as(described):
        raise InvalidSchema(
            "the descriptor says something that .proto source cannot say, and that would be lost: "
            "register the source that it was compiled from"
        )
    return schema


def _compiled(name: str, source: Source, imports: dict[str, Source]) -> ProtobufSchema:
    compiled = {file.name: file for file in compile_sources(name, {**imports, name: source}).file}
    check_text(compiled[name])
    normalized = proto_source(normal_form(compiled[name]), _linked(compiled.values(), name))
    files = _needed(compiled, name)
    main = _copy(files[name])
    main.name = NAME
    pool = _linked(files.values(), name)
    return ProtobufSchema(
        source.text, normalized, main, _handed_on(files, name), tuple(files.values()), pool
    )


def _needed(
    compiled: Mapping[str, FileDescriptorProto], name: str
) -> dict[str, FileDescriptorProto]:
    """Copy a file and its imports out of all that was compiled, which is much more.

    Options need the rest, but payloads do not, and a schema is kept for long.
    """
    needed, waiting = {name}, [name]
    while waiting:
        imported = set(compiled[waiting.pop()].dependency) - needed
        needed |= imported
        waiting.extend(imported)
    return {path: _copy(file) for path, file in compiled.items() if path in needed}


def _copy(file: FileDescriptorProto) -> FileDescriptorProto:
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    return copy


def _handed_on(files: Mapping[str, FileDescriptorProto], name: str) -> FileDescriptorProto:
    """Give the file with a schema's messages: it may consist of one public import alone."""
    main = files[name]
    empty = not (main.message_type or main.enum_type or main.service or main.extension)
    if empty and len(main.dependency) == 1 and len(main.public_dependency) == 1:
        return files[main.dependency[0]]
    return main


def _linked(files: Iterable[FileDescriptorProto], name: str) -> DescriptorPool:
    """Link files; the one of that name is the schema's own. Raises: InvalidSchema."""
    pool = DescriptorPool()
    for file in files:
        try:
            pool.Add(file)
        except (TypeError, ValueError) as error:
            said = str(error).removeprefix("Couldn't build proto file into descriptor pool: ")
            where = "" if file.name == name else f"{file.name}: "
            raise InvalidSchema(f"{where}{said}") from None
    return pool


def _check_text(text: str) -> None:
    if len(text) > SCHEMA_CHARACTERS_MAX:
        raise InvalidSchema(
            f"a schema of {len(text)} characters, at most {SCHEMA_CHARACTERS_MAX} are accepted"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidSchema(
            f"character {error.start} is half of a surrogate pair, which no text has: send UTF-8"
        ) from None


def _laid_out(text: str, within: str = "") -> Source:
    try:
        _check_text(text)
        return lay_out(text)
    except InvalidSchema as error:
        raise InvalidSchema(f"{within}{error}") from None


def _flattened(dependencies: Iterable[Dependency]) -> dict[str, str]:
    """Collect dependencies of all depths by their paths. Raises: InvalidSchema."""
    texts: dict[str, str] = {}
    waiting = list(dependencies)
    seen: set[int] = set()  # one that many refer to is the same object everywhere
    while waiting:
        dependency = waiting.pop()
        if id(dependency) in seen:
            continue
        seen.add(id(dependency))
        check_import_path(dependency.name)
        if texts.setdefault(dependency.name, dependency.text) != dependency.text:
            raise InvalidSchema(
                f"{dependency.name!r} is two different schemas among all references: refer to "
                "the same version of it everywhere"
            )
        waiting.extend(dependency.dependencies)
    return texts


def _described(text: str) -> FileDescriptorProto | None:
    """Read a text as a descriptor in base64; source always has letters that base64 has not.

    Raises: InvalidSchema for what is neither.
    """
    try:
        serialized = b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None
    try:
        described = FileDescriptorProto.FromString(serialized)
    except DecodeError:
        described = FileDescriptorProto()
    if not described.ListFields():
        raise InvalidSchema(
            "the schema is neither .proto source nor a FileDescriptorProto in base64: begin with "
            "'syntax = \"proto3\";' and declare a message"
        )
    return described


def _written(name: str, described: FileDescriptorProto, imports: dict[str, Source]) -> str:
    """Check a foreign descriptor and write it as source. Raises: InvalidSchema."""
    described.name = name
    _check_nesting(described)
    check_text(described)
    lines = "\n".join(f"import {quoted(path)};" for path in described.dependency)
    for path in described.dependency:
        check_import_path(path)
    try:
        compiled = compile_sources(name, {**imports, name: lay_out(lines)})
    except InvalidSchema as error:
        raise InvalidSchema(f"the descriptor's imports: {error}") from None
    # Linking it checks every name, so that none can bring statements into the source.
    pool = _linked([*(file for file in compiled.file if file.name != name), described], name)
    return proto_source(described, pool)


def _check_nesting(described: FileDescriptorProto) -> None:
    depth, level = 0, list(described.message_type)
    while level:
        depth += 1
        if depth > NESTING_MAX:
            raise InvalidSchema(
                f"messages are nested more than {NESTING_MAX} deep: move inner ones to the top "
                "level of the file"
            )
        level = [nested for message in level for nested in message.nested_type]
