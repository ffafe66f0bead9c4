"""`webmacs audit`: who did what, and that commands are somebody's, too."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from tests.cli.runner import done, misuse, on_terminal, rows, run
from tests.plant import Plant

pytestmark = pytest.mark.promise("P9")

ABOVE = ("--event", "Sensor 0", "--above", "5")


def test_a_command_is_whose_who_typed_it(config: Path, plant: Plant) -> None:
    rule = done("rule", "add", "Hot", *ABOVE, "--config", config).strip()
    done("rule", "disable", "Hot", "--config", config)
    added, changed = rows("audit", "--id", rule, "--lines", "--config", config)
    me = f"{getpass.getuser()} at the command line"
    assert added[1:7] == [me, "", "added", "rule", rule, "Hot"]
    assert changed[1:7] == [me, "", "changed", "rule", rule, "Hot"]
    assert [json.loads(text) for text in changed[7:]] == [{"enabled": True}, {"enabled": False}]
    assert added[0] < changed[0]


def test_one_who_has_no_name_is_a_number(config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr(getpass, "getuser", nobody)
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    ((_, actor, *_),) = rows("audit", "--last", "1", "--lines", "--config", config)
    assert actor.startswith("user ")
    assert actor.endswith(" at the command line")


def test_what_is_asked_for_is_shown(config: Path, plant: Plant) -> None:
    everything = rows("audit", "--lines", "--config", config)
    assert [row[4] for row in rows("audit", "--kind", "plugin", "--lines", "--config", config)] == ["plugin"]
    assert rows("audit", "--actor", "nobody", "--lines", "--config", config) == []
    assert rows("audit", "--last", "2", "--lines", "--config", config) == everything[-2:]


def test_people_see_what_was_changed(config: Path, plant: Plant, tmp_path: Path) -> None:
    done("rule", "add", "Hot", *ABOVE, "--config", config)
    done("rule", "disable", "Hot", "--config", config)
    shown = [line.rstrip() for line in on_terminal("audit", "--config", config, cwd=tmp_path, width=120)]
    assert any("changed rule Hot" in line and "at the command line" in line for line in shown)
    assert any(line.strip() == "enabled: true → false" for line in shown)
    assert any("added event Sensor 0" in line for line in shown)


def test_how_many_is_bounded(config: Path) -> None:
    assert "--last" in misuse("audit", "--last", "0", "--config", config)


def test_without_an_installation_there_is_nothing(config: Path) -> None:
    assert run("audit", "--config", config).exit_code == 1
