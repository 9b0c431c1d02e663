"""DescribeLogDirs: what each replica takes of this broker's disk. Must never know: files.

Source: KIP-113, KIP-827 (total and usable bytes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.errors import error_code
from protocol.api.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)
from protocol.errors import StorageError

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from broker.partition import Partition
    from broker.partitions import Partitions
    from protocol.api.describe_log_dirs import DescribeLogDirsRequest
    from protocol.errors import ErrorCode

UNKNOWN_LAG = -1


class DescribeLogDirsHandler:
    """Describes the data directory, and beside it each replica whose log could not be opened."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def __call__(
        self, request: DescribeLogDirsRequest, _context: RequestContext
    ) -> DescribeLogDirsResponse:
        """Answer from what is open; of the replicas asked for those that are not here are left out.

        The protocol tells errors by directory only, and one damaged log does not take ours
        offline: its own directory is reported, with the error, as if it were one more.
        """
        wanted = _wanted(request)
        directory = self._partitions.directory
        found = DescribeLogDirsResult(log_dir=directory.path)
        try:
            found.total_bytes, found.usable_bytes = directory.total_bytes(), directory.free_bytes()
        except StorageError as error:
            found.error_code = error_code(error)
        topics: dict[str, DescribeLogDirsTopic] = {}
        for partition in self._partitions:
            if wanted is None or (partition.topic, partition.index) in wanted:
                topic = topics.setdefault(
                    partition.topic, DescribeLogDirsTopic(name=partition.topic)
                )
                topic.partitions.append(_describe(partition))
        found.topics = list(topics.values())
        response = DescribeLogDirsResponse(results=[found])
        for (name, index), log in self._partitions.offline():
            if wanted is None or (name, index) in wanted:
                lost = DescribeLogDirsPartition(partition_index=index, offset_lag=UNKNOWN_LAG)
                response.results.append(
                    DescribeLogDirsResult(
                        error_code=error_code(log.error),
                        log_dir=directory.partition_path(name, index),
                        topics=[DescribeLogDirsTopic(name=name, partitions=[lost])],
                    )
                )
        return response


def _wanted(request: DescribeLogDirsRequest) -> frozenset[tuple[str, int]] | None:
    if request.topics is None:
        return None
    return frozenset((topic.topic, index) for topic in request.topics for index in topic.partitions)


def _describe(partition: Partition) -> DescribeLogDirsPartition:
    log = partition.log
    return DescribeLogDirsPartition(
        partition_index=partition.index,
        partition_size=log.size_bytes,
        offset_lag=max(0, partition.high_watermark.value - log.log_end_offset),
    )


def refuse(_request: Any, code: ErrorCode, _message: str) -> DescribeLogDirsResponse:
    """Answer with an error and no directories."""
    return DescribeLogDirsResponse(error_code=code)
