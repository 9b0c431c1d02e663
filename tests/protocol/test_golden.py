"""Bytes of other people's clients and codecs, which ours must read and write alike.

The request frames were captured from kafka-python 3.0.12, the batches were made by Java's client
library 4.3.1, the responses were read and written back unchanged by kio 0.6.5.
"""

from __future__ import annotations

from typing import Any

import pytest

from protocol.api import API, alter_partition, fetch, metadata, produce
from protocol.api.api_versions import ApiVersionsRequest
from protocol.api.init_producer_id import InitProducerIdRequest
from protocol.api.metadata import MetadataRequest
from protocol.batch import TimestampType, check_crc, read_header
from protocol.codec import decode, encode_bytes
from protocol.compression import Compression
from protocol.framing import RequestHeader, decode_request_header, encode_request
from protocol.records import Record, decode_batch, encode_batch
from tests.protocol.messages import plain

TOPIC_ID = bytes(range(16))

CAPTURED_BATCH = bytes.fromhex(
    "0000000000000000000000470000000002eac8fecf0000000000010000018bcfe568000000018bcfe5680100"
    "00000000000fa0000000000000000000021c000000046b3104763102026802780c000202010000"
)

CAPTURED = {
    "0012000400000001 0006 676f6c64656e 00 0d6b61666b612d707974686f6e 07332e302e3132 00": (
        RequestHeader(18, 4, 1, "golden"),
        ApiVersionsRequest("kafka-python", "3.0.12"),
    ),
    "0003000d00000002 0006 676f6c64656e 00 01 01 00 00": (
        RequestHeader(3, 13, 2, "golden"),
        MetadataRequest(topics=[], allow_auto_topic_creation=True),
    ),
    "0016000400000002 0006 676f6c64656e 00 00 00000000 ffffffffffffffff ffff 00": (
        RequestHeader(22, 4, 2, "golden"),
        InitProducerIdRequest(transactional_id=None),
    ),
    "0000000900000003 0006 676f6c64656e 00 00 ffff 00007530 02 07 6576656e7473 02 00000000 54"
    + CAPTURED_BATCH.hex()
    + "00 00 00": (
        RequestHeader(0, 9, 3, "golden"),
        produce.ProduceRequest(
            acks=-1,
            timeout_ms=30_000,
            topic_data=[
                produce.TopicProduceData(
                    "events", [produce.PartitionProduceData(0, CAPTURED_BATCH)]
                )
            ],
        ),
    ),
}

JAVA_RECORDS = [
    Record(40, 1_700_000_000_000, b"k", b"value value value value", (("h", b"x"), ("n", None))),
    Record(41, 1_699_999_999_999, None, b"b"),
    Record(42, 1_700_000_005_000, b"k2", None),
]

JAVA_BATCHES = {
    Compression.NONE: "00000000000000280000006900000005020326dd970000000000020000018bcfe56800000001"
    "8bcfe57b880000000000000007000100000003000000034a000000026b2e76616c75652076616c75652076616c7565"
    "2076616c75650402680278026e010e000102010262001200904e04046b320100",
    Compression.GZIP: "00000000000000280000006e00000005027038ed1f0001000000020000018bcfe56800000001"
    "8bcfe57b880000000000000007000100000003000000031f8b08000000000000fff362606060cad62b4bcc294d55c0"
    "20599832982a98f218f918189918999218841826f8b1b0641b313200004e2f3a3738000000",
    Compression.SNAPPY: "0000000000000028000000720000000502717f6fc80002000000020000018bcfe568000000"
    "018bcfe57b8800000000000000070001000000030000000382534e415050590000000001000000010000002d38304a"
    "000000026b2e76616c756520420600640402680278026e010e000102010262001200904e04046b320100",
    Compression.LZ4: "00000000000000280000006c00000005028e60b43e0003000000020000018bcfe568000000018"
    "bcfe57b8800000000000000070001000000030000000304224d186040822c000000dd4a000000026b2e76616c75652"
    "00600f00b0402680278026e010e000102010262001200904e04046b32010000000000",
    Compression.ZSTD: "00000000000000280000006b00000005023ece59310004000000020000018bcfe56800000001"
    "8bcfe57b8800000000000000070001000000030000000328b52ffd005874010074024a000000026b2e76616c756520"
    "0402680278026e010e000102010262001200904e04046b320100010099cb17010000",
}

CHECKED = [
    (
        16,
        fetch.FetchResponse(
            throttle_time_ms=1,
            session_id=9,
            responses=[
                fetch.FetchableTopicResponse(
                    topic_id=TOPIC_ID,
                    partitions=[
                        fetch.PartitionData(
                            partition_index=3,
                            error_code=74,
                            high_watermark=100,
                            last_stable_offset=99,
                            log_start_offset=5,
                            diverging_epoch=fetch.EpochEndOffset(4, 90),
                            current_leader=fetch.LeaderIdAndEpoch(2, 6),
                            aborted_transactions=[fetch.AbortedTransaction(7, 50)],
                            records=b"rec",
                        ),
                        fetch.PartitionData(
                            partition_index=4,
                            high_watermark=1,
                            last_stable_offset=1,
                            log_start_offset=0,
                            aborted_transactions=None,
                        ),
                    ],
                )
            ],
            node_endpoints=[fetch.NodeEndpoint(2, "h", 9093)],
        ),
        "0000000100000000000902000102030405060708090a0b0c0d0e0f0300000003004a00000000000000640000"
        "0000000000630000000000000005020000000000000007000000000000003200ffffffff0472656302000d00"
        "000004000000000000005a000109000000020000000600000000040000000000000000000100000000000000"
        "01000000000000000000ffffffff00000001000d02000000020268000023850000",
    ),
    (
        10,
        produce.ProduceResponse(
            responses=[
                produce.TopicProduceResponse(
                    "t",
                    [
                        produce.PartitionProduceResponse(
                            error_code=6,
                            base_offset=-1,
                            record_errors=[produce.BatchIndexAndErrorMessage(1, "no")],
                            error_message="moved",
                            current_leader=produce.LeaderIdAndEpoch(2, 5),
                        )
                    ],
                )
            ],
            node_endpoints=[produce.NodeEndpoint(2, "h", 9092, "r")],
        ),
        "02027402000000000006ffffffffffffffffffffffffffffffffffffffffffffffff0200000001036e6f0006"
        "6d6f766564010009000000020000000500000000000001000e0200000002026800002384027200",
    ),
    (
        3,
        alter_partition.AlterPartitionRequest(
            broker_id=1,
            broker_epoch=77,
            topics=[
                alter_partition.TopicData(
                    TOPIC_ID,
                    [
                        alter_partition.PartitionData(
                            leader_epoch=3,
                            new_isr_with_epochs=[
                                alter_partition.BrokerState(1, 77),
                                alter_partition.BrokerState(2, 80),
                            ],
                            partition_epoch=9,
                        )
                    ],
                )
            ],
        ),
        "00000001000000000000004d02000102030405060708090a0b0c0d0e0f020000000000000003030000000100"
        "0000000000004d00000000020000000000000050000000000009000000",
    ),
    (
        7,
        metadata.MetadataResponse(
            brokers=[metadata.MetadataResponseBroker(1, "a", 9092)],
            cluster_id="c",
            controller_id=1,
            topics=[
                metadata.MetadataResponseTopic(
                    error_code=3,
                    name="t",
                    partitions=[metadata.MetadataResponsePartition(0, 0, 1, 2, [1, 2], [1], [2])],
                )
            ],
        ),
        "00000000000000010000000100016100002384ffff0001630000000100000001000300017400000000010000"
        "00000000000000010000000200000002000000010000000200000001000000010000000100000002",
    ),
]


@pytest.mark.parametrize(("captured", "expected"), CAPTURED.items())
def test_a_captured_request_is_read_and_written_alike(
    captured: str, expected: tuple[RequestHeader, Any]
) -> None:
    frame = bytes.fromhex(captured)
    header, body = decode_request_header(memoryview(frame))
    message: Any = decode(API[header.api_key].request, header.api_version, body)

    assert (header, plain(message)) == (expected[0], plain(expected[1]))
    written = encode_request(
        message,
        api_version=header.api_version,
        correlation_id=header.correlation_id,
        client_id=header.client_id,
    )
    assert written == [len(frame).to_bytes(4) + frame]


def test_a_captured_batch_is_read_and_written_alike() -> None:
    records = [
        Record(0, 1_700_000_000_000, b"k1", b"v1", (("h", b"x"),)),
        Record(1, 1_700_000_000_001, None, b""),
    ]

    check_crc(CAPTURED_BATCH)
    assert decode_batch(CAPTURED_BATCH) == records
    assert (
        encode_batch(records, producer_id=4_000, producer_epoch=0, base_sequence=0, leader_epoch=0)
        == CAPTURED_BATCH
    )


@pytest.mark.parametrize(("kind", "encoded"), JAVA_BATCHES.items())
def test_a_batch_of_java_is_read(kind: Compression, encoded: str) -> None:
    batch = bytes.fromhex(encoded)
    header = read_header(batch)

    check_crc(batch)
    assert decode_batch(batch) == JAVA_RECORDS
    assert header.compression is kind
    assert header.timestamp_type is TimestampType.CREATE_TIME
    assert (header.base_offset, header.next_offset, header.record_count) == (40, 43, 3)
    assert (header.producer_id, header.producer_epoch, header.last_sequence) == (7, 1, 5)
    assert header.partition_leader_epoch == 5
    assert header.max_timestamp == 1_700_000_005_000


def test_an_uncompressed_batch_of_java_is_written_alike() -> None:
    written = encode_batch(
        JAVA_RECORDS,
        producer_id=7,
        producer_epoch=1,
        base_sequence=3,
        base_offset=40,
        leader_epoch=5,
    )

    assert written.hex() == JAVA_BATCHES[Compression.NONE]


@pytest.mark.parametrize(("version", "message", "encoded"), CHECKED)
def test_a_checked_message_is_read_and_written_alike(
    version: int, message: Any, encoded: str
) -> None:
    assert encode_bytes(message, version).hex() == encoded
    assert plain(decode(type(message), version, bytes.fromhex(encoded))) == plain(message)
