"""Clusters of real processes that all of these tests share, and topics of their own for each."""

from __future__ import annotations

import itertools
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.java_tools import Java
from tests.support.local_cluster import LocalCluster
from tests.support.needs import need
from tests.support.under_test import cluster_under_test

JAVA_JARS = Path(__file__).parent / "java" / "target" / "jars"

SETTINGS = ("group.initial.rebalance.delay.ms=0", "log.cleaner.backoff.ms=200")
"""A group of tests need not wait for members that may be starting, nor a log to be compacted."""

_numbers = itertools.count(1)


@contextmanager
def running(local):
    """Have a cluster run for the time of a `with`; what is left of it is killed if that fails."""
    try:
        local.up()
        yield
        local.down()
    finally:
        local.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Three brokers on the embedded coordinator (or another maker's, see `under_test`)."""
    local = cluster_under_test(tmp_path_factory.mktemp("interop"), settings=SETTINGS)
    with running(local):
        yield local


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Three brokers and a registry. Returns: LocalCluster."""
    local = LocalCluster(tmp_path_factory.mktemp("registry"), registry=True)
    with running(local):
        yield local


@pytest.fixture
def topic(request):
    """A name that no other test uses."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:150].strip("-")
    return f"{name}-{next(_numbers)}"


@pytest.fixture(scope="session")
def kcat():
    """The kcat program."""
    program = shutil.which("kcat")
    need("kcat", is_there=program is not None)
    return program


@pytest.fixture(scope="session")
def java_class_path():
    """Apache Kafka's own jars, as .ci/run gets them from Maven."""
    need(
        "Apache Kafka (jars from Maven)", is_there=JAVA_JARS.is_dir() and bool(shutil.which("java"))
    )
    return f"{JAVA_JARS}/*"


@pytest.fixture
def java(java_class_path):
    """Runs main classes of Apache Kafka. Returns: Java."""
    return Java(java_class_path)
