"""`ottla registry` before it starts: where it says that others reach it."""

from __future__ import annotations

import click
import httpx
import pytest
from click.testing import CliRunner

from commands.registry import Ensemble, advertised_url, registry


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


def test_a_port_that_is_not_known_yet_is_not_advertised():
    assert advertised_url(("127.0.0.1", 0), "http://a.example:8081") == "http://a.example:8081"
    with pytest.raises(click.BadParameter, match="port 0 is any that is free"):
        advertised_url(("127.0.0.1", 0), None)


WRONG = {
    "--bootstrap": ["127.0.0.1:x", "", ",", "127.0.0.1:0"],
    "--zookeeper": [
        "nonsense:x",
        "",
        "/path",
        "a:1,,b:2",
        "a:0",
        "a:1, b:2",
        "[::1",
        "a:65536",
        "a\udcff",
    ],
    "--listen": ["127.0.0.1:0"],
}


@pytest.mark.parametrize(
    ("option", "given"), [(option, given) for option in WRONG for given in WRONG[option]]
)
def test_what_is_no_address_is_a_wrong_command_line(option, given):
    asked = {"--bootstrap": "127.0.0.1:1", "--zookeeper": "127.0.0.1:1"} | {option: given}
    result = CliRunner().invoke(registry, [word for pair in asked.items() for word in pair])

    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output or f"for {option}" in result.output


@pytest.mark.parametrize("ensemble", ["a:1", "a", "a:1,[::1]:2,c/root/path"])
def test_an_ensemble_may_be_named_like_this(ensemble):
    assert Ensemble().convert(ensemble, None, None) == ensemble


def test_the_command_line_is_wrong_where_nobody_could_reach_the_registry():
    asked = ["--zookeeper", "localhost:1", "--listen", "[::]:8081"]
    result = CliRunner().invoke(registry, asked)

    assert result.exit_code == 2
    assert "--advertise http://HOST:8081" in " ".join(result.output.split())
