"""Every block of code in `docs/stages.md` works as it stands."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.pages import Page
from webmacs.config import Settings
from webmacs.extensions import load_stages

PAGE = Page("stages.md")
MODULES = PAGE.blocks("python")
CONFIGURATIONS = PAGE.blocks("toml")
PACKAGES = list(PAGE.blocks("ini").values())


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return PAGE.installed(tmp_path, monkeypatch)


def entry_points() -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string(PACKAGES[0])
    lines = parser["options.entry_points"]["webmacs.stages"].strip().splitlines()
    return {name.strip(): where.strip() for name, _, where in (line.partition("=") for line in lines)}


def test_every_block_of_code_is_named_and_so_is_tested() -> None:
    assert PAGE.all_named
    assert (len(MODULES), len(CONFIGURATIONS), len(PACKAGES)) == (6, 2, 1)


def test_the_gate_is_about_twenty_lines() -> None:
    lines = [line for line in MODULES["plant/calibrate.py"].splitlines() if line]
    assert len(lines) <= 22


def test_the_tests_of_the_page_pass(plant: Path) -> None:
    options = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function", "filterwarnings=error"]
    command = [sys.executable, "-m", "pytest", "-q", *(f"--override-ini={option}" for option in options), str(plant)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=plant, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed" in run.stdout


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configurations_of_the_page_are_possible(name: str) -> None:
    document = tomllib.loads(CONFIGURATIONS[name])
    installed = entry_points()
    stages = [installed.get(stage, stage) for stage in document["pipeline"]["stages"]]
    document["pipeline"]["stages"] = stages
    loaded = load_stages(Settings.model_validate(document))
    assert [stage.name for stage in loaded if type(stage).__module__.startswith("plant")] == [
        where.partition(":")[2].lower() for where in stages if where.startswith("plant")
    ]
    assert all(isinstance(stage.settings, BaseModel) for stage in loaded)


def test_what_the_page_says_of_counters_is_what_they_are_called() -> None:
    sources = "".join(path.read_text() for path in (Path(__file__).parent.parent / "webmacs/pipeline").glob("*.py"))
    named = set(re.findall(r"webmacs_(\w+)_total", PAGE.text))
    assert named == {"stage_failures", "contributions_left_out"}
    assert all(f'"{name}"' in sources for name in named)


def test_what_the_page_says_of_settings_is_what_they_are_called() -> None:
    named = set(re.findall(r"`pipeline\.(\w+)`", PAGE.text))
    assert named == {"observer_queue_rows", "observer_deadline_s"}
    assert named <= set(type(Settings().pipeline).model_fields)
