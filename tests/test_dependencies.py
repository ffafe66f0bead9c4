"""What others have written and we build on: no version with a known hole, and somebody looks for new ones."""

from __future__ import annotations

from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
HOLES = {"aiohttp": "3.14.2"}  # the last version of which a hole is known that reaches us


@pytest.mark.promise("S8")
@pytest.mark.parametrize(("name", "last_bad"), HOLES.items())
def test_no_version_with_a_known_hole_can_be_installed_with_us(name: str, last_bad: str) -> None:
    needed = [Requirement(text) for text in requires("webmacs") or []]
    (ours,) = [requirement for requirement in needed if requirement.name == name and requirement.marker is None]
    assert not ours.specifier.contains(last_bad)
    assert Version(version(name)) > Version(last_bad)


@pytest.mark.promise("S8")
def test_ci_looks_up_what_a_fresh_installation_would_get() -> None:
    steps = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert "make audit" in [line.strip() for line in steps]
