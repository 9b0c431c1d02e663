"""The values of znodes: msgpack maps with a format number, to and from the frozen state.

A map may gain fields within one format: what is unknown is skipped, so that brokers of two
releases can share a cluster. What is missing or of another type is an error.
Must never know: the store, decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack
from msgspec import Struct

from coordinator import paths
from coordinator.cluster import NO_LEADER, BrokerRegistration, Endpoint, PartitionState, TopicState
from protocol.errors import CoordinationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coordinator.store import Stat

FORMAT: Final = 1

Value = TypeVar("Value")


class RecordUnreadable(CoordinationError):
    """A znode holds something that this release did not write or cannot read."""


class ControllerRecord(Struct, frozen=True):
    """Who decides, and in which term: the value of `/ottla/controller`."""

    broker_id: int
    controller_epoch: int


class Incarnation(Struct, frozen=True):
    """What a broker said of itself when it last registered: the value of `brokers/epochs/<id>`.

    It outlives the registration, so that a controller which was not there learns of it.
    """

    directory_id: str
    clean: bool
    directory_changed: bool
    lossy: frozenset[tuple[bytes, int]] = frozenset()


class Tombstone(Struct, frozen=True):
    """A deleted topic and the brokers that have not yet confirmed to have dropped its data."""

    name: str
    waiting_for: tuple[int, ...]


def encode_topic(topic: TopicState) -> bytes:
    """Encode a topic with all its partitions, about 25 bytes for each."""
    fields: dict[str, Any] = {
        "topic_id": topic.topic_id,
        "config": dict(topic.config),
        "partitions": [_partition_row(partition) for partition in topic.partitions],
    }
    if topic.inherited:
        fields["inherited"] = dict(topic.inherited)
    return encode_fields(fields)


def decode_topic(name: str, value: bytes, *, version: int) -> TopicState:
    """Decode the znode of a topic. Raises: RecordUnreadable."""
    path = paths.topic(name)
    fields = Fields(path, value)
    topic_id = fields.take("topic_id", bytes)
    if len(topic_id) != 16:
        raise RecordUnreadable(f"{path}: a topic id of {len(topic_id)} bytes, 16 wanted")
    partitions = tuple(_partition(path, row) for row in fields.take("partitions", list))
    return TopicState(
        name,
        topic_id,
        fields.take_texts("config"),
        partitions,
        version,
        inherited=fields.take_texts("inherited", optional=True),
    )


def encode_registration(registration: BrokerRegistration) -> bytes:
    """Encode a registration; its broker epoch is the znode's czxid and is not in the value."""
    return encode_fields(
        {
            "endpoints": [[each.listener, each.host, each.port] for each in registration.endpoints],
            "rack": registration.rack,
            "directory_id": registration.directory_id,
            "clean": registration.clean,
            "epoch_version": registration.epoch_version,
            "directory_changed": registration.directory_changed,
            "lossy": _packed(registration.lossy),
            "shutting_down": registration.shutting_down,
            "offline": _packed(registration.offline),
            "session_timeout_ms": registration.session_timeout_ms,
        }
    )


def decode_registration(broker_id: int, value: bytes, stat: Stat) -> BrokerRegistration:
    """Decode the registration of a broker. Raises: RecordUnreadable."""
    path = paths.registration(broker_id)
    fields = Fields(path, value)
    return BrokerRegistration(
        broker_id=broker_id,
        broker_epoch=stat.czxid,
        endpoints=tuple(_endpoint(path, row) for row in fields.take("endpoints", list)),
        rack=fields.take_optional("rack", str),
        directory_id=fields.take("directory_id", str),
        clean=fields.take("clean", bool),
        epoch_version=fields.take("epoch_version", int),
        directory_changed=fields.take("directory_changed", bool),
        lossy=fields.take_replicas("lossy"),
        shutting_down=fields.take("shutting_down", bool),
        offline=fields.take_replicas("offline"),
        session_timeout_ms=fields.take_optional("session_timeout_ms", int),
    )


def encode_controller(record: ControllerRecord) -> bytes:
    """Encode who decides."""
    return encode_fields(
        {"broker_id": record.broker_id, "controller_epoch": record.controller_epoch}
    )


def decode_controller(value: bytes) -> ControllerRecord:
    """Decode who decides. Raises: RecordUnreadable."""
    fields = Fields(paths.CONTROLLER, value)
    return ControllerRecord(fields.take("broker_id", int), fields.take("controller_epoch", int))


def encode_incarnation(incarnation: Incarnation) -> bytes:
    """Encode what outlives a registration."""
    return encode_fields(
        {
            "directory_id": incarnation.directory_id,
            "clean": incarnation.clean,
            "directory_changed": incarnation.directory_changed,
            "lossy": _packed(incarnation.lossy),
        }
    )


def decode_incarnation(broker_id: int, value: bytes) -> Incarnation:
    """Decode what outlives a registration. Raises: RecordUnreadable."""
    fields = Fields(paths.broker_epoch(broker_id), value)
    return Incarnation(
        fields.take("directory_id", str),
        fields.take("clean", bool),
        fields.take("directory_changed", bool),
        fields.take_replicas("lossy"),
    )


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """Encode a deleted topic."""
    return encode_fields({"name": tombstone.name, "waiting_for": list(tombstone.waiting_for)})


def decode_tombstone(path: str, value: bytes) -> Tombstone:
    """Decode a deleted topic. Raises: RecordUnreadable."""
    fields = Fields(path, value)
    waiting_for = _integers(path, fields.take("waiting_for", list))
    return Tombstone(fields.take("name", str), waiting_for)


def encode_acknowledged(acknowledged: Mapping[int, int]) -> bytes:
    """Encode which registration of each broker the controller has acted on."""
    return encode_fields({"brokers": sorted([*pair] for pair in acknowledged.items())})


def decode_acknowledged(value: bytes) -> dict[int, int]:
    """Decode which registration of each broker was acted on. Raises: RecordUnreadable."""
    fields = Fields(paths.ACKNOWLEDGED, value)
    rows = [_integers(paths.ACKNOWLEDGED, row) for row in fields.take("brokers", list)]
    if any(len(row) != 2 for row in rows):
        raise RecordUnreadable(f"{paths.ACKNOWLEDGED}: a row is not a pair")
    return {row[0]: row[1] for row in rows}


def encode_texts(texts: Mapping[str, str]) -> bytes:
    """Encode a flat map of texts (cluster identity)."""
    return encode_fields({"values": dict(texts)})


def decode_texts(path: str, value: bytes) -> dict[str, str]:
    """Decode a flat map of texts. Raises: RecordUnreadable."""
    return Fields(path, value).take_texts("values")


def encode_config(
    config: Mapping[str, str], broker_configs: Mapping[int, Mapping[str, str]]
) -> bytes:
    """Encode what brokers were given at run time: all of them, and single ones."""
    rows = [[broker_id, dict(texts)] for broker_id, texts in sorted(broker_configs.items())]
    return encode_fields({"values": dict(config), "brokers": rows})


def decode_config(value: bytes) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """Decode what brokers were given at run time. Raises: RecordUnreadable."""
    fields = Fields(paths.CONFIG, value)
    broker_configs: dict[int, dict[str, str]] = {}
    for row in fields.take_optional("brokers", list) or ():
        if not isinstance(row, list) or [type(each) for each in row] != [int, dict]:
            raise RecordUnreadable(f"{paths.CONFIG}: {row!r:.80} is no broker's config")
        broker_configs[row[0]] = _texts(paths.CONFIG, "brokers", row[1])
    return fields.take_texts("values"), broker_configs


def encode_counter(number: int) -> bytes:
    """Encode a counter (controller epoch, next producer id)."""
    return encode_fields({"number": number})


def decode_counter(path: str, value: bytes) -> int:
    """Decode a counter. Raises: RecordUnreadable."""
    return Fields(path, value).take("number", int)


class Fields:
    """The fields of one decoded znode, taken by name and type. Raises: RecordUnreadable."""

    def __init__(self, path: str, value: bytes) -> None:
        self._path = path
        self._fields = _unpack(path, value)
        found = self.take("format", int)
        if found != FORMAT:
            raise RecordUnreadable(
                f"{path}: format {found}, this release reads {FORMAT}: run the newer release"
            )

    def take(self, name: str, kind: type[Value]) -> Value:
        """Give a field that must be there."""
        value = self._fields.get(name)
        if type(value) is not kind:
            raise RecordUnreadable(
                f"{self._path}: field {name} is {value!r:.80}, {kind.__name__} wanted"
            )
        return value

    def take_optional(self, name: str, kind: type[Value]) -> Value | None:
        """Give a field that may be missing or null."""
        return None if self._fields.get(name) is None else self.take(name, kind)

    def take_replicas(self, name: str) -> frozenset[tuple[bytes, int]]:
        """Give a set of replicas, by topic id and number; nothing where there is none."""
        rows = self.take_optional(name, list) or ()
        return frozenset(_replica(self._path, row) for row in rows)

    def take_texts(self, name: str, *, optional: bool = False) -> dict[str, str]:
        """Give a flat map of texts."""
        if optional and name not in self._fields:
            return {}
        return _texts(self._path, name, self.take(name, dict))


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Encode a map of fields, with the number of this format."""
    packed = msgpack.packb({"format": FORMAT, **fields})
    assert isinstance(packed, bytes)
    return packed


def _unpack(path: str, value: bytes) -> dict[str, Any]:
    try:
        fields = msgpack.unpackb(value)
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordUnreadable(f"{path}: {len(value)} bytes are no msgpack: {error}") from None
    if not isinstance(fields, dict):
        raise RecordUnreadable(f"{path}: holds {fields!r:.80}, a map wanted")
    return fields


def _texts(path: str, name: str, texts: dict[Any, Any]) -> dict[str, str]:
    for pair in texts.items():
        if not all(type(part) is str for part in pair):
            raise RecordUnreadable(f"{path}: {pair!r:.80} in {name} is not text")
    return texts


def _partition_row(partition: PartitionState) -> list[Any]:
    row = [
        partition.replicas,
        partition.leader_id,
        partition.leader_epoch,
        partition.isr,
        partition.elr,
        partition.partition_epoch,
        partition.leader_broker_epoch,
        partition.lost,
    ]
    moves = [partition.adding, partition.removing, partition.successor_id]
    return row if moves == [(), (), NO_LEADER] else row + moves


_ROW_TYPES: Final = (list, int, int, list, list, int, int, bool, list, list, int)


def _partition(path: str, row: Any) -> PartitionState:
    """Read a partition's row; where nothing moves, and before reassignments, it ends sooner."""
    if isinstance(row, list) and len(row) == 8:
        row = [*row, [], [], NO_LEADER]
    if not isinstance(row, list) or tuple(type(each) for each in row[:11]) != _ROW_TYPES:
        raise RecordUnreadable(f"{path}: {row!r:.80} describes no partition")
    return PartitionState(
        replicas=_integers(path, row[0]),
        leader_id=row[1],
        leader_epoch=row[2],
        isr=_integers(path, row[3]),
        elr=_integers(path, row[4]),
        partition_epoch=row[5],
        leader_broker_epoch=row[6],
        lost=row[7],
        adding=_integers(path, row[8]),
        removing=_integers(path, row[9]),
        successor_id=row[10],
    )


def _endpoint(path: str, row: Any) -> Endpoint:
    if not isinstance(row, list) or tuple(type(each) for each in row) != (str, str, int):
        raise RecordUnreadable(f"{path}: {row!r:.80} describes no endpoint")
    listener, host, port = row
    return Endpoint(host=host, port=port, listener=listener)


def _packed(replicas: Iterable[tuple[bytes, int]]) -> list[list[Any]]:
    return sorted([*replica] for replica in replicas)


def _replica(path: str, row: Any) -> tuple[bytes, int]:
    if not isinstance(row, list) or tuple(type(each) for each in row) != (bytes, int):
        raise RecordUnreadable(f"{path}: {row!r:.80} names no replica")
    return row[0], row[1]


def _integers(path: str, row: Any) -> tuple[int, ...]:
    if not isinstance(row, list) or any(type(each) is not int for each in row):
        raise RecordUnreadable(f"{path}: {row!r:.80} is no list of integers")
    return tuple(row)
