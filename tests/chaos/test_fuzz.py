"""Bytes that no client should send, to a broker that others are using: it answers or closes."""

from __future__ import annotations

import os
import random
import socket
import struct

import pytest

from tests.support.local_cluster import LocalCluster, ottla

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("OTTLA_FUZZ_SEED", random.randrange(2**32)))
FRAMES = int(os.environ.get("OTTLA_FUZZ_FRAMES", "3000"))
MEMORY_MAX_BYTES = 150 * 2**20
API_KEYS = [*range(25), 32, 33, 37, 44, 56, 60, 75, 999, -1]


def random_bytes(generator: random.Random) -> bytes:
    return generator.randbytes(generator.choice([0, 1, 7, 60, 500, 5_000]))


def lying_size(generator: random.Random) -> bytes:
    return struct.pack(">i", generator.choice([-1, 2**31 - 1, 104_857_601, 50_000_000, 3]))


def a_request(generator: random.Random) -> bytes:
    """A header that can be read, and a body of noise: lengths and counts that lie."""
    header = struct.pack(
        ">hhih",
        generator.choice(API_KEYS),
        generator.choice([0, 1, 3, 4, 7, 9, 12, 13, 17, 200, -3]),
        generator.randrange(2**31),
        generator.choice([-1, 4, 4, 4, 30_000]),
    )
    numbers = [
        struct.pack(">i", generator.choice([0, 1, -1, 2**31 - 1, 2**20, 1_000]))
        for _ in range(generator.randrange(12))
    ]
    body = b"fuzz" + b"".join([*numbers, generator.randbytes(generator.randrange(200))])
    frame = header + body
    return struct.pack(">i", len(frame)) + frame


def cut(generator: random.Random) -> bytes:
    whole = a_request(generator)
    return whole[: generator.randrange(len(whole))]


KINDS = [random_bytes, lying_size, a_request, a_request, a_request, cut]


def test_a_fuzzed_broker_stays_small_and_serves_others(tmp_path, capsys):
    generator = random.Random(SEED)
    cluster = LocalCluster(tmp_path, brokers=1)
    try:
        cluster.up()
        bootstrap = ("--bootstrap", cluster.bootstrap)
        port = cluster.nodes()["1"].port
        open_sockets: list[socket.socket] = []
        for number in range(FRAMES):
            stream = socket.create_connection(("127.0.0.1", port), timeout=5)
            stream.settimeout(0.005)
            try:
                for _ in range(generator.randrange(1, 4)):
                    stream.sendall(generator.choice(KINDS)(generator))
                stream.recv(4096)
            except OSError:
                pass  # It closed, or it waits for the rest: both are right.
            # Some are left open with a frame begun, as a client that hangs would.
            open_sockets.append(stream)
            while len(open_sockets) > 200:
                open_sockets.pop(generator.randrange(200)).close()
            if number % (FRAMES // 5) == 0:
                ottla("produce", "steady", *bootstrap, stdin=f"{number}\n")
        for stream in open_sockets:
            stream.close()
        read = ottla("consume", "steady", "--from-beginning", "--exit-at-end", *bootstrap)
        assert len(read.split()) == 5, f"seed {SEED}"
        memory_bytes = cluster.memory_bytes("1")
        assert memory_bytes < MEMORY_MAX_BYTES, f"seed {SEED}: {memory_bytes / 2**20:.0f} MiB"
        log = (cluster.directory / "logs" / "broker-1.log").read_text()
        assert "request_crashed" not in log, f"seed {SEED}: {log[-3000:]}"
    finally:
        cluster.close()
    with capsys.disabled():
        print(f"\nfuzz: seed {SEED}, {FRAMES} connections, {memory_bytes / 2**20:.0f} MiB after")
