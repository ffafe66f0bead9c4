"""The dashboard in a browser: chromium, the bundle that was built, and a server in a process of its own."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.server import free_port, wait_until_it_listens
from tests.parts import require
from webmacs.bundle import DIRECTORY, INDEX

ROOT: Final = Path(__file__).parents[2]
AXE: Final = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
ADMINISTRATOR: Final = "admin@example.org"
PASSWORD: Final = "correct horse battery staple"
TIMEOUT_MS: Final = 20_000  # a busy machine is not a fault
# What axe is asked: WCAG 2 at level AA and what it knows of good practice.
_AUDIT: Final = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
    (found) => `${found.id}: ${found.help}: ${found.nodes.map((node) => node.html).slice(0, 3).join(' | ')}`)"""


@dataclass(frozen=True)
class Installation:
    """A server that is empty but for an administrator."""

    address: str
    directory: Path


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A server of its own for each test."""
    if not (DIRECTORY / INDEX).exists():
        pytest.skip("the dashboard was not built: npm run build, in frontend/")
    port, config, log = free_port(), tmp_path / "webmacs.toml", tmp_path / "log"
    config.write_text(
        f'[server]\nport = {port}\n[auth]\nsecret_key = "{secrets.token_urlsafe(48)}"\n'
        f'[storage]\nurl = "sqlite:///webmacs.db"\n'
    )
    webmacs = [sys.executable, "-m", "webmacs"]
    add = [*webmacs, "user", "add", ADMINISTRATOR, "--role", "admin", "--password-stdin", "--config", str(config)]
    subprocess.run(add, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True, cwd=ROOT)
    with log.open("ab") as output:
        process = subprocess.Popen([*webmacs, "serve", "--config", config], stderr=output, cwd=ROOT)
    try:
        wait_until_it_listens(port, process, log)
        yield Installation(f"http://127.0.0.1:{port}", tmp_path)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's chromium. It goes before tests of another module begin: its loop would be in the way of theirs."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = require("chromium", "apt-get install chromium")
    playwright.expect.set_options(timeout=TIMEOUT_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, installation: Installation) -> Iterator[Any]:
    """A page on which the administrator is signed in; nothing may be thrown on it."""
    context = chromium.new_context(base_url=installation.address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto("/login")
    page.get_by_label("E-mail").fill(ADMINISTRATOR)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/login" not in address)
    yield page
    context.close()
    assert not thrown


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Runs a Python program beside the test, as somebody would in a terminal, until the test is over."""
    running: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> subprocess.Popen[bytes]:
        file = tmp_path / f"program{len(running)}.py"
        file.write_text(program)
        running.append(subprocess.Popen([sys.executable, file], cwd=ROOT, stdout=subprocess.DEVNULL))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait(30)


def audit(page: Any) -> list[str]:
    """What axe has found on the page as it is."""
    page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = page.evaluate(_AUDIT)
    return found
