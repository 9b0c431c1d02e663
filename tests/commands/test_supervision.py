from __future__ import annotations

import pytest

from commands import demo
from commands.failure import CommandFailed
from commands.supervision import Supervision


def test_what_has_died_comes_back_after_its_time_and_not_before():
    watched = Supervision(back_after_s=10.0)
    watched.see("1", alive=True, now=0.0)
    watched.see("1", alive=False, now=5.0)
    watched.see("1", alive=False, now=9.0)

    assert watched.of("1").back_in_s(9.0) == 6.0
    assert watched.due(14.9) == []
    assert watched.due(15.0) == ["1"]


def test_what_is_asked_for_comes_back_at_once():
    watched = Supervision(back_after_s=10.0)
    watched.see("1", alive=True, now=0.0)
    watched.see("1", alive=False, now=5.0)
    watched.of("1").ask()

    assert watched.due(5.0) == ["1"]


def test_what_was_started_in_vain_is_started_again_later():
    watched = Supervision(back_after_s=10.0)
    watched.see("1", alive=True, now=0.0)
    watched.see("1", alive=False, now=5.0)
    watched.of("1").ask()
    watched.of("1").tried(6.0)

    assert watched.due(15.9) == []
    assert watched.due(16.0) == ["1"]


def test_what_lives_is_not_asked_for_in_advance():
    watched = Supervision(back_after_s=10.0)
    watched.see("1", alive=True, now=0.0)
    watched.of("1").ask()
    watched.see("1", alive=False, now=5.0)

    assert watched.due(6.0) == []


def test_what_lives_or_never_lived_is_not_started():
    watched = Supervision(back_after_s=0.0)
    watched.see("1", alive=True, now=0.0)
    watched.see("2", alive=False, now=0.0)

    assert watched.due(100.0) == []


def test_the_network_is_found_beside_the_command_or_as_installed(monkeypatch, tmp_path):
    assert demo.find_package() == "examples.social"

    monkeypatch.setattr(demo, "__file__", str(tmp_path / "commands" / "demo.py"))
    monkeypatch.setattr(demo, "find_spec", lambda name: name == "ottla_social")
    assert demo.find_package() == "ottla_social"

    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(CommandFailed, match="install Ottla anew"):
        demo.find_package()
