"""The compiler: .proto sources to descriptors, through a directory that lives for one call.

It reads files only. Their paths are foreign, so none may lead out of that directory.
Must never know: what becomes of the descriptors, payloads.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import protoxy
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from schemas.protobuf.text import proto_source
from schemas.schema import InvalidSchema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.protobuf.source import Source

FILES_MAX: Final = 1_000
"""Of one schema, with all that it refers to."""

KNOWN: Final = Path(__file__).with_name("known")
"""What every schema may import without a reference, beside google/protobuf and google/type."""

DESCRIPTOR_PATH: Final = "google/protobuf/descriptor.proto"

_SEGMENT_BYTES_MAX: Final = 255
_PATH_BYTES_MAX: Final = 1_024
_ERRORS_SHOWN_MAX: Final = 3
_ERROR_CHARACTERS_MAX: Final = 300


def check_import_path(name: str) -> None:
    """Refuse what cannot be the path of an import. Raises: InvalidSchema."""
    segments = name.split("/")
    strange = any(not char.isprintable() or char in "\\\"'" for char in name)
    if strange or any(segment in {"", ".", ".."} for segment in segments):
        raise InvalidSchema(
            f"{name!a} cannot be an import path: use names with '/' between them, as in "
            "'orders/order.proto', without '..', '\\' or quotes"
        )
    sizes = [len(segment.encode()) for segment in segments]
    if max(sizes) > _SEGMENT_BYTES_MAX or sum(sizes) > _PATH_BYTES_MAX:
        raise InvalidSchema(
            f"an import path of {len(name)} characters: use at most {_PATH_BYTES_MAX} bytes of "
            f"UTF-8, and {_SEGMENT_BYTES_MAX} between two '/'"
        )


def compile_sources(name: str, sources: Mapping[str, Source]) -> descriptor_pb2.FileDescriptorSet:
    """Compile the source of that name, which may import the others and what is known.

    Returns: the descriptors of all files that are needed, imports first, and that of
    google/protobuf/descriptor.proto.
    Raises: InvalidSchema.
    """
    _check_paths({*sources, DESCRIPTOR_PATH})
    for path, source in sources.items():
        try:
            source.check_cost()
        except InvalidSchema as error:
            raise InvalidSchema(error if path == name else f"{path}: {error}") from None
    with TemporaryDirectory(prefix="ottla-protobuf-") as directory:
        root, linked = Path(directory, "sources"), Path(directory, "linked")
        linked.joinpath("google").mkdir(parents=True)
        linked.joinpath("google", "type").symlink_to(google_types())
        for path, source in sources.items():
            _write(root / path, source.text)
        _write(root / DESCRIPTOR_PATH, _descriptor_source())
        return _compile(name, [root, linked, KNOWN], sources)


@cache
def google_types() -> Path:
    """Find the directory of google/type, which googleapis-common-protos brings."""
    spec = find_spec("google.type")
    assert spec is not None, "it is among our dependencies"
    assert spec.submodule_search_locations, "it is a package"
    return Path(next(iter(spec.submodule_search_locations)))


def _compile(
    name: str, roots: list[Path], sources: Mapping[str, Source]
) -> descriptor_pb2.FileDescriptorSet:
    try:
        # The descriptors are compiled first: so all options are known that ours has, and not
        # only those of the version that the compiler brings with it.
        return protoxy.compile(
            [roots[0] / DESCRIPTOR_PATH, roots[0] / name],
            roots,
            include_imports=True,
            include_source_info=False,
        )
    except protoxy.ProtoxyError as error:
        # Where the directory is concerns nobody.
        said = _explained(error, name, sources)
        for root in roots:
            said = said.replace(f"{root}/", "")
        raise InvalidSchema(said) from None
    except (DecodeError, ValueError) as error:
        raise InvalidSchema(f"the compiler gives up on the schema: {error}") from None
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        # A panic in the compiler is no Exception to Python, but it is over when it arrives here.
        raise InvalidSchema(f"the compiler fails on the schema: {error}") from None


def _explained(error: protoxy.ProtoxyError, name: str, sources: Mapping[str, Source]) -> str:
    """Say what the compiler found, at the places of the original."""
    lines = []
    for found in _errors(error)[:_ERRORS_SHOWN_MAX]:
        where = [] if found.filename in {None, "", name} else [found.filename]
        if found.labels and (source := sources.get(found.filename)):
            where.append(source.place(found.labels[-1].span.offset))
        lines.append(": ".join([*where, found.message[:_ERROR_CHARACTERS_MAX]]))
    text = "; ".join(lines) or str(error)[:_ERROR_CHARACTERS_MAX]
    if "' not found" in text:
        text += " (register that file as a schema and name it among the references)"
    return text


def _errors(error: protoxy.ProtoxyError) -> list[Any]:
    try:
        return list(error.all_errors)
    except (ValueError, KeyError):  # it writes JSON, but does not escape what it quotes
        return []


def _check_paths(paths: set[str]) -> None:
    if len(paths) > FILES_MAX:
        raise InvalidSchema(
            f"the schema and what it refers to are {len(paths)} files, at most {FILES_MAX} are "
            "compiled together: join some of them"
        )
    for path in paths:
        check_import_path(path)
        parents = {str(parent) for parent in Path(path).parents}
        for parent in parents & paths:
            raise InvalidSchema(
                f"{parent!a} and {path!a} cannot both be import paths: rename one of the references"
            )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


@cache
def _descriptor_source() -> str:
    """Write google/protobuf/descriptor.proto as the library has it."""
    file = descriptor_pb2.FileDescriptorProto()
    descriptor_pb2.DESCRIPTOR.CopyToProto(file)
    pool = DescriptorPool()
    pool.Add(file)
    return proto_source(file, pool)
