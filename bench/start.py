"""How long from `ottla up` to the first acknowledged record of three brokers.

    python -m bench.start [--runs 5]

Each run starts a new cluster in a new directory on 127.0.0.1, waits for one acks=all record on a
topic with three replicas, and ends everything. The command's own start is counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import trio

from client import Producer
from tests.support.local_cluster import LocalCluster


async def produce_one(bootstrap: str) -> None:
    async with Producer(bootstrap) as producer:
        await producer.send("first", b"record")


def run_once() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(Path(directory))
        try:
            started = time.monotonic()
            cluster.up()
            ready_s = time.monotonic() - started
            trio.run(produce_one, cluster.bootstrap)
            return ready_s, time.monotonic() - started
        finally:
            cluster.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    ready, first = zip(*(run_once() for _ in range(parser.parse_args().runs)), strict=True)
    for what, figures in (("up --detach returns", ready), ("first acknowledged record", first)):
        print(f"{what:<28} median {statistics.median(figures):.2f} s, worst {max(figures):.2f} s")


if __name__ == "__main__":
    main()
