"""The units for systemd: what they start is a command of ours, and they let it do what it is there for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.parts import require
from webmacs.cli import main

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "deploy").glob("*.service"))


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit says, each setting with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", unit.read_text("utf-8")):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_a_unit_starts_is_a_command_that_there_is(unit: Path) -> None:
    (command,) = settings(unit)["ExecStart"]
    program, *arguments = command.split()
    assert program == "/opt/webmacs/bin/webmacs"
    said = CliRunner().invoke(main, [*arguments, "--help"])
    assert said.exit_code == 0, said.output
    assert f" {arguments[0]} " in said.output


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_each_line_of_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = require("systemd-analyze", "apt-get install systemd")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text("utf-8").replace("/opt/webmacs/bin/webmacs", "/bin/true"), "utf-8")
    said = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in said.stderr.splitlines() if unit.name in line] == []
    assert said.returncode == 0, said.stderr


def test_the_controller_reaches_devices_and_writes_where_the_page_says() -> None:
    unit = settings(ROOT / "deploy" / "webmacs-controller.service")
    assert not {"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow", "ProtectKernelTunables"} & set(unit)
    page = (ROOT / "docs" / "raspberry-pi.md").read_text("utf-8")
    assert f'spool_directory = "/var/lib/{unit["StateDirectory"][0]}/spool"' in page
    assert unit["ExecStart"][0].split()[-1] in page
    assert f"shell /usr/sbin/nologin {unit['User'][0]}\n" in page


def test_the_controller_gives_up_no_protection_of_the_server_but_those() -> None:
    server, controller = (settings(ROOT / "deploy" / f"webmacs{name}.service") for name in ("", "-controller"))
    kinds = ("Protect", "Private", "Restrict", "SystemCall", "Lock", "NoNew")
    given_up = {name for name in server if name.startswith(kinds) and controller.get(name) != server[name]}
    assert given_up == {"PrivateDevices", "ProtectClock", "ProtectKernelTunables", "ProtectProc"}
