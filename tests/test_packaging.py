"""What is delivered: the wheel, the single file and the image, each installed from nothing and used."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import venv
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.dockerfile import Image, follow
from tests.parts import require, require_dashboard
from tests.plant import Plant, furnish, settings_for
from webmacs import __version__
from webmacs.extensions import load_storage
from webmacs.model import Role

ROOT = Path(__file__).parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "Makefile", "webmacs")


@dataclass
class Installation:
    """WebMACS as one of its users has it: a command, its surroundings, a configuration and an SQLite file."""

    command: list[str]
    environ: dict[str, str]
    config: Path
    database: Path

    def run(self, *arguments: str) -> str:
        """The standard output of a command that succeeds."""
        done = subprocess.run(
            [*self.command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self.environ,
            cwd=self.config.parent,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """`webmacs serve`; yields its address. Leaving sends SIGTERM, which must end it well."""
        process = await asyncio.create_subprocess_exec(
            *(*self.command, "serve", "--config", str(self.config)),
            stderr=asyncio.subprocess.PIPE,
            env=self.environ,
            cwd=self.config.parent,
        )
        assert process.stderr is not None
        said = ""
        try:
            async with asyncio.timeout(60):
                while (listens := re.search(r"listens on (\S+),", said)) is None:
                    line = (await process.stderr.readline()).decode()
                    assert line, f"it ended: {said}"
                    said += line
            yield listens[1]
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                said += (await process.stderr.read()).decode()
                assert await process.wait() == 0, said
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def clean_environment(**more: str) -> dict[str, str]:
    """What this process has, without what would lead to its own packages."""
    ours = ("PYTHON", "VIRTUAL_ENV", "WEBMACS_", "COV_", "COVERAGE_")
    return {name: text for name, text in os.environ.items() if not name.startswith(ours)} | more


def configured(directory: Path) -> tuple[Path, Path]:
    """A configuration file that keeps everything in the directory; and the database it names."""
    directory.mkdir()
    config = directory / "webmacs.toml"
    config.write_text('[server]\nport = 0\n[storage]\nurl = "sqlite:///readings.db"\n')
    return config, directory / "readings.db"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own files in a directory of their own, as nothing is to be left in the work tree."""
    directory = tmp_path_factory.mktemp("workshop")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, directory)
    return directory


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the programs of a Python that has no packages at all."""
    directory = tmp_path_factory.mktemp("python")
    venv.create(directory, with_pip=False, symlinks=True)
    return directory / "bin"


@dataclass
class Build:
    """A wheel and what was said while it was made."""

    wheel: Path
    said: str


@pytest.fixture(scope="module")
def build(workshop: Path) -> Build:
    """`python -m build --wheel`."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", "built", "."],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=workshop,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stdout
    (wheel,) = (workshop / "built").glob("*.whl")
    return Build(wheel, done.stdout)


@pytest.fixture(scope="module")
def from_wheel(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, installed by pip into an empty virtual environment."""
    directory = tmp_path_factory.mktemp("wheel")
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", build.wheel], check=True, env=clean_environment(), cwd=directory)
    subprocess.run([*pip, "check"], check=True, env=clean_environment(), cwd=directory)
    config, database = configured(directory / "home")
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(directory)}
    return Installation([str(python.with_name("webmacs"))], environ, config, database)


@pytest.fixture(scope="module")
def from_pyz(workshop: Path, bare_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """`make pyz`, its file alone beside a Python without packages."""
    make = require("make", "apt-get install make")
    directory = tmp_path_factory.mktemp("pyz")
    tools = Path(sys.prefix)  # the environment of the tests is what the target needs
    command: list[str | Path] = [make, "--silent", f"--old-file={tools}/.test", f"VENV={tools}", "pyz"]
    subprocess.run(command, check=True, env=clean_environment(), cwd=workshop, stdout=subprocess.DEVNULL)
    file = directory / "webmacs.pyz"
    shutil.move(workshop / "dist" / "webmacs.pyz", file)
    config, database = configured(directory / "home")
    environ = {"PATH": f"{bare_python}:/usr/bin:/bin", "HOME": str(directory)}
    return Installation([str(file)], environ, config, database)


@pytest.fixture(scope="module")
def image(bare_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The Dockerfile, followed in a directory."""
    environ = clean_environment(PATH=f"{bare_python}:/usr/bin:/bin")
    return follow(ROOT / "Dockerfile", tmp_path_factory.mktemp("image"), environ)


@pytest.fixture(scope="module")
def from_image(image: Image) -> Installation:
    """The image's entry point with its environment; the port is chosen from outside, as `docker run -e` does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**image.environ, "WEBMACS_SERVER__PORT": str(port)}
    config = image.inside("/etc/webmacs/webmacs.toml")
    return Installation(image.entrypoint, environ, config, image.inside("/var/lib/webmacs/webmacs.db"))


@pytest.fixture(params=["from_wheel", "from_pyz", "from_image"])
def installation(request: pytest.FixtureRequest) -> Installation:
    found: Installation = request.getfixturevalue(request.param)
    return found


async def furnished(installation: Installation) -> Plant:
    """Fill the storage that the installation has made itself."""
    installation.run("migrate", "--config", str(installation.config))
    settings = settings_for(
        f"sqlite:///{installation.database}", installation.database.parent, storage={"migrate": False}
    )
    storage = load_storage(settings)
    await storage.open()
    try:
        return await furnish(storage)
    finally:
        await storage.close()


def test_it_says_its_version(installation: Installation) -> None:
    assert installation.run("--version") == f"webmacs, version {__version__}\n"


async def test_it_serves_and_stores_a_reading(installation: Installation) -> None:
    plant = await furnished(installation)
    async with installation.serving() as address, aiohttp.ClientSession() as client:
        async with client.get(f"{address}/health") as response:
            health = await response.json()
        assert (response.status, health["status"], health["version"]) == (200, "ok", __version__)
        token = {"token": plant.tokens[Role.OPERATOR]}
        async with client.ws_connect(f"{address}/ws/controller/telemetry", params=token) as controller:
            await controller.send_json(
                {"batch_id": "1", "datapoints": [{"value": 23.5, "event_public_id": plant.linked[0]}]}
            )
            assert (await controller.receive_json(timeout=5))["accepted"] == 1
    with closing(sqlite3.connect(installation.database)) as database:
        assert database.execute("SELECT event, value, experiment FROM readings").fetchall() == [
            ("Sensor 0", 23.5, "Run 1")
        ]


async def test_it_serves_the_dashboard(installation: Installation) -> None:
    index = (require_dashboard() / "index.html").read_text("utf-8")
    async with installation.serving() as address, aiohttp.ClientSession() as client:
        async with client.get(f"{address}/") as response:
            assert (response.status, await response.text()) == (200, index)
        scripts = re.findall(r'src="(/assets/[^"]+)"', index)
        assert scripts
        for script in scripts:
            async with client.get(f"{address}{script}") as response:
                assert (response.status, response.content_type) == (200, "text/javascript")


async def test_the_image_s_health_check_tells_a_server_that_answers_from_one_that_does_not(
    image: Image, from_image: Installation
) -> None:
    async def healthy() -> bool:
        process = await asyncio.create_subprocess_shell(
            image.healthcheck, env=from_image.environ, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait() == 0

    assert not await healthy()
    async with from_image.serving():
        assert await healthy()


def test_the_image_runs_as_a_user_that_is_not_root(image: Image) -> None:
    assert int(image.user.partition(":")[0]) > 0


def test_the_image_listens_on_all_addresses_at_its_published_port(image: Image) -> None:
    assert image.environ["WEBMACS_SERVER__HOST"] == "0.0.0.0"
    assert image.environ["WEBMACS_SERVER__PORT"] == image.port


def test_the_image_s_command_serves_its_own_configuration(image: Image) -> None:
    assert image.command == ["serve", "--config", str(image.inside("/etc/webmacs/webmacs.toml"))]


def test_the_image_keeps_its_readings_on_the_volume(image: Image, from_image: Installation) -> None:
    assert from_image.database.parent == image.inside(image.volume)


def test_the_image_is_built_from_what_is_not_ignored_and_nothing_more_is_sent_along(image: Image) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(image.sources)


def test_the_image_holds_neither_sources_nor_tools(image: Image) -> None:
    assert sorted(path.name for path in image.root.iterdir()) == ["etc", "opt", "var"]


def test_the_wheel_is_built_without_a_warning(build: Build) -> None:
    worries = [line for line in build.said.splitlines() if re.search(r"warning|deprecat|\*{8}", line, re.IGNORECASE)]
    assert worries == []


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(build: Build, workshop: Path) -> None:
    package = {path.relative_to(workshop).as_posix() for path in (workshop / "webmacs").rglob("*") if path.is_file()}
    with zipfile.ZipFile(build.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {"webmacs/py.typed", "webmacs/storage/migrations/versions/0001_initial.sqlite.sql"} < held
    assert held == package


def test_the_wheel_carries_the_entry_points_of_setup_cfg(build: Build) -> None:
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg", encoding="utf-8")
    carried = configparser.ConfigParser()
    with zipfile.ZipFile(build.wheel) as archive:
        carried.read_string(archive.read(f"webmacs-{__version__}.dist-info/entry_points.txt").decode())
    for group, entries in declared["options.entry_points"].items():
        assert {f"{name} = {target}" for name, target in carried[group].items()} == set(entries.strip().splitlines())
    assert shlex.split(carried["console_scripts"]["webmacs"]) == ["webmacs.cli:main"]
