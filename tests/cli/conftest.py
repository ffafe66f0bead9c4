"""What the tests of the commands share: a configuration on each storage, ports, certificates, a quiet log."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts import require
from tests.plant import SECRET, Plant, furnish, settings_for
from webmacs.cli.setting import opened_storage

Configure = Callable[..., Path]


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost that has signed itself, and its key."""

    certificate: Path
    key: Path


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Writes a configuration for a storage, with more lines at its end if need be."""

    def write(storage_url: str, *more: str, port: int = 0) -> Path:
        file = tmp_path / "webmacs.toml"
        lines = (
            *("[server]", f"port = {port}", "shutdown_timeout_s = 1.0"),
            *("[auth]", f'secret_key = "{SECRET}"'),
            *("[storage]", f'url = "{storage_url}"', "startup_timeout_s = 0"),
            *more,
        )
        file.write_text("\n".join(lines) + "\n", "utf-8")
        file.chmod(0o600)
        return file

    return write


@pytest.fixture
def config(configure: Configure, storage_url: str) -> Path:
    """A configuration on each storage in turn."""
    return configure(storage_url)


@pytest.fixture
def open_config(configure: Configure, storage_url: str) -> Path:
    """A configuration on each storage in turn, with which webhooks may reach loopback."""
    return configure(storage_url, "[webhooks]", 'allowed_networks = ["127.0.0.0/8"]')


@pytest.fixture
def nowhere(configure: Configure) -> Path:
    """A configuration without a storage: for what is refused before one is looked for."""
    return configure("sqlite:///nowhere.db")


@pytest.fixture
def plant(config: Path, storage_url: str, tmp_path: Path) -> Plant:
    """The usual plant in that storage; for tests that are no coroutines, as commands run a loop of their own."""

    async def fill() -> Plant:
        async with opened_storage(settings_for(storage_url, tmp_path), new=True) as storage:
            return await furnish(storage)

    return asyncio.run(fill())


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def make_certificate(tmp_path: Path) -> Callable[[int], Certificate]:
    """Makes a certificate that is good for so many days; for less than none, one that has expired."""

    def make(days: int) -> Certificate:
        openssl = require("openssl", "apt-get install openssl")
        made, request = Certificate(tmp_path / "server.pem", tmp_path / "server.key"), tmp_path / "server.csr"
        wanted = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost")
        for arguments in (
            ("req", "-new", *wanted, "-keyout", made.key, "-out", request),
            ("x509", "-req", "-in", request, "-signkey", made.key, "-days", str(days), "-out", made.certificate),
        ):
            subprocess.run([openssl, *arguments], check=True, capture_output=True)
        return made

    return make


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Commands that run in this process set up the log; the next test finds it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds of which nobody is told."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


def files_in(directory: Path) -> list[str]:
    """The names of all that is in a directory."""
    return sorted(path.name for path in directory.iterdir())
