"""How long the codec takes, beside the tests' interpreter and, where installed, others' codecs.

Run from the project's root: `python -m bench.codec`.
"""

from __future__ import annotations

import importlib
import timeit
from collections.abc import Callable
from typing import Any

from protocol.api import produce
from protocol.api.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.codec import decode, encode_bytes
from protocol.records import Record, decode_batch, encode_batch
from tests.protocol.interpreter import interpret_decode, interpret_encode

PARTITIONS = range(100)
RECORDS = bytes(1_000)

CASES: list[tuple[str, str, Any, int]] = [
    (
        "fetch",
        "request",
        FetchRequest(topics=[FetchTopic("t", partitions=[FetchPartition(i) for i in PARTITIONS])]),
        12,
    ),
    (
        "fetch",
        "response",
        FetchResponse(
            responses=[
                FetchableTopicResponse(
                    "t", partitions=[PartitionData(i, records=RECORDS) for i in PARTITIONS]
                )
            ]
        ),
        12,
    ),
    (
        "produce",
        "request",
        produce.ProduceRequest(
            topic_data=[
                produce.TopicProduceData(
                    "t", [produce.PartitionProduceData(i, RECORDS) for i in PARTITIONS]
                )
            ]
        ),
        9,
    ),
    (
        "produce",
        "response",
        produce.ProduceResponse(
            responses=[
                produce.TopicProduceResponse(
                    "t",
                    [produce.PartitionProduceResponse(i, log_start_offset=0) for i in PARTITIONS],
                )
            ]
        ),
        9,
    ),
    (
        "metadata",
        "response",
        MetadataResponse(
            brokers=[MetadataResponseBroker(i, "localhost", 9092) for i in range(3)],
            topics=[
                MetadataResponseTopic(
                    name="t",
                    partitions=[
                        MetadataResponsePartition(0, i, 1, 5, [1, 2, 3], [1, 2, 3])
                        for i in PARTITIONS
                    ],
                )
            ],
        ),
        12,
    ),
]


def microseconds(function: Callable[[], object]) -> float:
    """Time one call: the best of several rounds."""
    count = 1
    while (taken := timeit.timeit(function, number=count)) < 0.02:
        count *= 2
    return min(taken, *timeit.repeat(function, number=count, repeat=4)) / count * 1e6


def others(api: str, kind: str, version: int, data: bytes) -> list[tuple[str, float]]:
    """Time the decoders of other projects that are installed here."""
    name = f"{api.capitalize()}{kind.capitalize()}"
    results = []
    try:
        schema = importlib.import_module(f"kio.schema.{api}.v{version}.{kind}")
        read = importlib.import_module("kio.serial").entity_reader(getattr(schema, name))
    except ImportError:
        pass
    else:
        results.append(("kio", microseconds(lambda: read(data, 0))))
    for module in ("consumer", "producer", "metadata"):
        try:
            cls = getattr(importlib.import_module(f"kafka.protocol.{module}"), name, None)
        except ImportError:
            continue
        if cls is not None:
            decoded = microseconds(lambda cls=cls: cls.decode(data, version=version))  # type: ignore[misc]
            results.append(("kafka-python", decoded))
            break
    return results


def print_records() -> None:
    """Print how long a record takes, to encode and to decode."""
    records = [Record(i, 1_700_000_000_000 + i, b"key %d" % i, RECORDS[:100]) for i in range(1_000)]
    batch = encode_batch(records)
    encoding = microseconds(lambda: encode_batch(records)) / len(records)
    decoding = microseconds(lambda: decode_batch(batch)) / len(records)
    print(f"record of 100 bytes with a key: encode {encoding:.2f}, decode {decoding:.2f}")


def main() -> None:
    """Print a line per message, and one for records."""
    print(f"{len(PARTITIONS)} partitions a message; microseconds, and how often slower others are")
    for api, kind, message, version in CASES:
        data = encode_bytes(message, version)
        view = memoryview(data)
        cls = type(message)
        encoding = microseconds(lambda m=message, v=version: encode_bytes(m, v))  # type: ignore[misc]
        decoding = microseconds(lambda c=cls, v=version, b=view: decode(c, v, b))  # type: ignore[misc]
        slow_encoding = microseconds(lambda m=message, v=version: interpret_encode(m, v))  # type: ignore[misc]
        slow_decoding = microseconds(lambda c=cls, v=version, d=data: interpret_decode(c, v, d))  # type: ignore[misc]
        print(
            f"{cls.__name__} v{version}: encode {encoding:.0f} (interpreter x"
            f"{slow_encoding / encoding:.0f}), decode {decoding:.0f} (interpreter x"
            f"{slow_decoding / decoding:.0f}"
            + "".join(
                f", {name} x{taken / decoding:.1f}"
                for name, taken in others(api, kind, version, data)
            )
            + ")"
        )
    print_records()


if __name__ == "__main__":
    main()
