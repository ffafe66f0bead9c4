"""Parts of the machine that a test uses for real: programs that no package of ours can bring."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from webmacs.bundle import DIRECTORY, INDEX


def require(program: str, mend: str) -> Path:
    """Where a program is. Without it the test is skipped, saying `mend`; in CI (`CI` in the environment) it fails."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        _missing(f"this test needs {program}: {mend}")
    return Path(found)


def require_root(mend: str) -> None:
    """For what only root may do; as `require`."""
    if os.geteuid() != 0:
        _missing(f"this test needs to be root: {mend}")


def require_dashboard() -> Path:
    """Where the dashboard that is delivered lies; as `require`."""
    if not (DIRECTORY / INDEX).is_file():
        _missing("this test needs the dashboard: make dashboard")
    return DIRECTORY


def _missing(message: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
