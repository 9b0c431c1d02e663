"""`ottla registry` before it starts: where it says that others reach it."""

from __future__ import annotations

import click
import httpx
import pytest
from click.testing import CliRunner

from commands.registry import advertised_url, registry


@pytest.mark.parametrize(
    ("listen", "advertise", "expected"),
    [
        (("127.0.0.1", 8081), None, "http://127.0.0.1:8081"),
        (("::1", 8081), None, "http://[::1]:8081"),
        (("a.example", 8081), None, "http://a.example:8081"),
        (("0.0.0.0", 8081), "http://a.example:8081/", "http://a.example:8081"),
        (("::", 8081), "https://[2001:db8::1]/registry/", "https://[2001:db8::1]/registry"),
    ],
)
def test_a_registry_advertises_an_address_that_others_can_ask(listen, advertise, expected):
    url = advertised_url(listen, advertise)

    assert url == expected
    assert httpx.URL(url).host


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_none_to_be_reached_at(host):
    with pytest.raises(click.BadParameter, match="--advertise http://HOST:8081"):
        advertised_url((host, 8081), None)


@pytest.mark.parametrize(
    "advertise",
    ["", "a.example:8081", "ftp://a.example", "http://", "http://::1:8081", "http://a.example:x",
     "http://0.0.0.0:8081", "http://a.example?b"],
)  # fmt: skip
def test_what_is_no_address_is_not_advertised(advertise):
    with pytest.raises(click.BadParameter, match="no address"):
        advertised_url(("127.0.0.1", 8081), advertise)


def test_the_command_line_is_wrong_where_nobody_could_reach_the_registry():
    asked = ["--zookeeper", "localhost:1", "--listen", "[::]:8081"]
    result = CliRunner().invoke(registry, asked)

    assert result.exit_code == 2
    assert "--advertise http://HOST:8081" in " ".join(result.output.split())
