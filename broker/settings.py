"""How a setting is declared, read from text and written back.

Must never know: which settings there are, where the text comes from.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from broker.errors import ConfigError
from coordinator.cluster import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
PLAINTEXT = "PLAINTEXT"


class ValueType(IntEnum):
    """What kind of value a setting has. Source: Kafka's DescribeConfigs, `config_type`."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7


def setting(
    key: str,
    default: object,
    *,
    doc: str,
    at_least: int = 0,
    at_most: int = INT64_MAX,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field's key, default (the value and its type), bounds and sentence."""
    metadata = {
        "key": key,
        "doc": doc,
        "at_least": at_least,
        "at_most": at_most,
        "choices": choices,
    }
    return field(default=default, metadata=metadata)


def read_setting(item: Field[Any], text: str) -> object:
    """Read a field's value as its annotation and bounds say. Raises: ConfigError."""
    key, text = item.metadata["key"], text.strip()
    reader, expectation = _READERS[str(item.type)]
    try:
        value = reader(text)
    except ConfigError as error:
        raise ConfigError(f"{key}={text!r}: {error}") from None
    except ValueError:
        raise ConfigError(f"{key}={text!r}: {expectation} is expected") from None
    at_least, at_most = item.metadata["at_least"], item.metadata["at_most"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not at_least <= value <= at_most:
        raise ConfigError(f"{key}={text!r}: a number from {at_least} to {at_most} is expected")
    if item.metadata["choices"] and value not in item.metadata["choices"]:
        raise ConfigError(f"{key}={text!r}: one of {', '.join(item.metadata['choices'])} expected")
    return value


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """Read `NAME://host:port, ...`; an IPv6 address stands in brackets.

    Raises: ValueError, ConfigError where a host is none.
    """
    endpoints = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, scheme, address = part.rpartition("://")
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            raise ValueError
        listener = name.upper() if scheme else PLAINTEXT
        endpoints.append(Endpoint(_read_host(host.strip("[]")), int(port), listener))
    return tuple(endpoints)


def _read_host(host: str) -> str:
    """Give back a host; empty stands for all addresses of this machine. Raises: ConfigError.

    One that nobody can look up would fail at those who are told of it, and not here.
    """
    try:
        host.encode("idna")
    except UnicodeError:
        raise ConfigError(
            f"{host!r} is no host: between its dots 1 to 63 characters are expected"
        ) from None
    return host


def type_of(value: object, *, at_most: int = INT64_MAX) -> ValueType:
    """Tell a value's kind; a number's bound tells its width."""
    if isinstance(value, bool):
        return ValueType.BOOLEAN
    if isinstance(value, int):
        return ValueType.INT if at_most <= INT32_MAX else ValueType.LONG
    if isinstance(value, float):
        return ValueType.DOUBLE
    if isinstance(value, (tuple, frozenset)):
        return ValueType.LIST
    return ValueType.STRING


def format_value(value: object) -> str | None:
    """Write a setting's value as Kafka's tools show it; None where it is unset."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(f"{e.listener}://{e.host}:{e.port}" for e in value)
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return str(value)


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "int": (int, "a whole number"),
    "int | None": (int, "a whole number"),
    "float": (float, "a number"),
    "bool": (_read_bool, "true or false"),
    "str": (str, "a text"),
    "str | None": (lambda text: text or None, "a text"),
    "tuple[Endpoint, ...]": (parse_endpoints, "NAME://host:port, separated by commas,"),
}
