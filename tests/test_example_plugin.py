"""The plugin in `examples/plugin/`, as its users get it: a wheel, tested where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "examples" / "plugin"
LIST = """
import json
from webmacs.extensions import find_plugins

found = find_plugins()
print(json.dumps({
    "plugins": {name: plugin.__module__ for name, plugin in found.plugins.items()},
    "packages": {package.name: package.plugin_ids for package in found.packages},
}))
"""


@dataclass
class Bench:
    """The wheel, a Python that has it beside WebMACS, and a directory with the tests alone."""

    wheel: Path
    python: Path
    directory: Path

    def run(self, *arguments: str) -> str:
        return run(self.directory, self.python, *arguments)


def run(directory: Path, *command: str | Path) -> str:
    """What a command says that succeeds; it sees none of our packages by its environment."""
    ours = ("PYTHON", "VIRTUAL_ENV", "WEBMACS_", "COV_", "COVERAGE_", "PYTEST_")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env=environ,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Nothing is fetched: what the package needs is lent by the environment of these tests."""
    source, directory = tmp_path_factory.mktemp("onewire") / "source", tmp_path_factory.mktemp("bench")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*"))
    run(source, sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "built", ".")
    (wheel,) = (source / "built").glob("*.whl")

    venv.create(directory / "venv", with_pip=False, symlinks=True)
    python = directory / "venv" / "bin" / "python"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    run(directory, sys.executable, "-m", "pip", "--python", python, "install", *options, wheel)
    (packages,) = (directory / "venv" / "lib").glob("python*/site-packages")
    lent = "".join(f"import site; site.addsitedir({path!r})\n" for path in (*site.getsitepackages(), str(ROOT)))
    (packages / "lent.pth").write_text(lent, encoding="utf-8")

    shutil.copytree(source / "tests", directory / "tests")
    shutil.copy2(source / "pyproject.toml", directory)
    return Bench(wheel, python, directory)


def test_the_wheel_holds_the_package_and_not_its_tests(bench: Bench) -> None:
    package = {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "webmacs_onewire").glob("*.*")}
    with zipfile.ZipFile(bench.wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == package


def test_its_tests_pass_where_it_is_installed(bench: Bench) -> None:
    said = bench.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in said
    assert "skipped" not in said


def test_it_is_found_by_its_entry_point_beside_our_own(bench: Bench) -> None:
    found = json.loads(bench.run("-c", LIST).splitlines()[-1])
    assert found["plugins"]["onewire"] == "webmacs_onewire.device"
    assert found["plugins"]["simulated"] == "webmacs.plugins.simulated"
    assert found["packages"]["webmacs-onewire"] == ["onewire"]
