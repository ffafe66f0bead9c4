"""Every block of code in `docs/plugins.md` works as it stands, and what its tables name is there."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import Page
from webmacs.config import Settings
from webmacs.extensions import load_class
from webmacs.plugins.base import BlockingDevice, Device
from webmacs.plugins.conformance import DeviceContract

PAGE = Page("plugins.md")
MODULES = PAGE.blocks("python")
PACKAGES = list(PAGE.blocks("ini").values())


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return PAGE.installed(tmp_path, monkeypatch)


def section(heading: str) -> str:
    return PAGE.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading: str) -> list[str]:
    """The first cells of the section's table, as far as they are code."""
    return re.findall(r"(?m)^\| `([^`]+)` \|", section(heading))


def test_every_block_of_code_is_named_and_so_is_tested() -> None:
    assert PAGE.all_named
    assert (len(MODULES), len(PACKAGES)) == (6, 1)


def test_the_first_plugin_is_twenty_lines() -> None:
    lines = [line for line in MODULES["plant/noise.py"].splitlines() if line]
    assert len(lines) <= 20


def test_the_tests_of_the_page_pass(plant: Path) -> None:
    options = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function", "filterwarnings=error"]
    command = [sys.executable, "-m", "pytest", "-q", *(f"--override-ini={option}" for option in options), str(plant)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=plant, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    for name in ("test_noise", "test_fans", "test_gate"):
        assert (plant / f"{name}.py").exists()
    assert re.search(r"\b\d{2} passed", run.stdout)  # the contract is many tests for each of the three
    assert "skipped" not in run.stdout


@pytest.mark.usefixtures("plant")
def test_each_plugin_of_the_page_is_declared_under_its_id() -> None:
    parser = configparser.ConfigParser()
    parser.read_string(PACKAGES[0])
    lines = parser["options.entry_points"]["webmacs.plugins"].strip().splitlines()
    declared = dict(line.split(" = ") for line in lines)
    found = {load_class("webmacs.plugins", where, Device, name).description.id for name, where in declared.items()}
    assert found == set(declared)
    assert {f"plant/{where.partition(':')[0].partition('.')[2]}.py" for where in declared.values()} == {
        name for name in MODULES if name.startswith("plant/")
    }


def test_the_page_names_what_a_device_has_and_nothing_else() -> None:
    methods = {name.partition("(")[0] for name in rows("What a device promises")}
    assert methods == {"open", "read", "samples", "write", "health", "close"}
    assert all(name in vars(Device) for name in methods)
    blocking = set(re.findall(r"`(\w+_blocking)`", PAGE.text))
    assert blocking == {name for name in vars(BlockingDevice) if name.endswith("_blocking")}


def test_the_page_names_what_a_test_may_say_with_its_default() -> None:
    table = dict(re.findall(r"(?m)^\| `(\w+)` \| `?([^`|]+?)`? \|", section("Its test")))
    assert table.pop("device_class")
    own = {name: repr(value) for name, value in vars(DeviceContract).items() if name in DeviceContract.__annotations__}
    assert table == own


def test_what_the_page_says_of_settings_is_what_they_are_called() -> None:
    named = set(re.findall(r"`controller\.(\w+)`", PAGE.text))
    assert named == {"device_timeout_s", "poll_interval_s"}
    assert named <= set(type(Settings().controller).model_fields)
