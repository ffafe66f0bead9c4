"""What a newcomer sees first: `--help`, quick and true; and what commands share."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.cli.process import bare_environment
from webmacs import __version__
from webmacs.cli import COMMANDS, main
from webmacs.cli.setting import place, plainly, short_path, this_command, until_told_to_stop


def commands() -> list[tuple[str, click.Command]]:
    """All commands and their subcommands, with their names."""
    found: list[tuple[str, click.Command]] = []
    for name, (module, _) in COMMANDS.items():
        command: click.Command = importlib.import_module(module).command
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", subcommand) for inner, subcommand in command.commands.items()]
    return found


def test_help_names_every_command_in_the_order_of_a_newcomer() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    listed = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == [
        "demo",
        "watch",
        "serve",
        "controller",
        "user",
        "token",
        "rule",
        "webhook",
        "apply",
        "export",
        "import",
        "copy",
        "audit",
        "doctor",
        "migrate",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_how_the_command_describes_itself(name: str) -> None:
    module, summary = COMMANDS[name]
    command: click.Command = importlib.import_module(module).command
    words = " ".join((command.help or "").split())
    assert words.startswith(summary.removesuffix("."))


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_command_and_every_option_is_explained(name: str, command: click.Command) -> None:
    assert command.help
    unexplained = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and not parameter.show_default
    ]
    assert unexplained == []


@pytest.mark.parametrize(("name", "command"), commands())
def test_help_fits_a_narrow_terminal(name: str, command: click.Command) -> None:
    result = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80


def test_help_imports_no_command() -> None:
    code = "import sys\nfrom webmacs.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(any(name in sys.modules for name in ('aiohttp', 'psutil', 'rich', 'pydantic')))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=bare_environment())


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(main, ["dmeo"])
    assert result.exit_code == 2
    assert "No such command 'dmeo'" in result.stderr


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"webmacs, version {__version__}\n"


# -- what commands share ------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("called", "spelled"),
    [
        (".venv/bin/webmacs", ".venv/bin/webmacs"),
        ("{here}/.venv/bin/webmacs", ".venv/bin/webmacs"),
        ("/opt/webmacs/bin/webmacs", "/opt/webmacs/bin/webmacs"),
        ("dist/webmacs.pyz", "dist/webmacs.pyz"),
        ("my tools/webmacs", "'my tools/webmacs'"),
    ],
)
def test_a_command_is_spelled_as_it_was_called(
    here: Path, monkeypatch: pytest.MonkeyPatch, called: str, spelled: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called.format(here=here)])
    assert this_command() == spelled


def test_a_command_that_is_on_the_path_is_spelled_by_its_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = here / "bin" / "webmacs"
    program.parent.mkdir()
    shutil.copy(sys.executable, program)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert this_command() == "webmacs"


def test_a_module_is_spelled_with_its_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/webmacs/__main__.py"])
    assert this_command() == f"{sys.executable} -m webmacs"


def test_paths_are_as_short_as_they_can_be(here: Path) -> None:
    assert short_path(here / "demo" / "webmacs.toml") == "demo/webmacs.toml"
    assert short_path(Path("demo")) == "demo"
    assert short_path(here.parent) == str(here.parent)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/webmacs.db", "/var/lib/webmacs.db"),
        ("postgresql://me:secret@plant:5432/macs?password=secret", "postgresql://plant:5432/macs"),
        ("postgresql://plant/macs", "postgresql://plant/macs"),
    ],
)
def test_a_place_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert place(url) == shown


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(98, "error while attempting to bind"), "address already in use"),
        (OSError(-2, "Name or service not known"), "name or service not known"),
        (OSError("odd"), "oserror"),
    ],
)
def test_an_error_is_said_in_the_systems_words(error: OSError, text: str) -> None:
    assert plainly(error) == text


async def test_being_told_twice_is_being_told_once() -> None:
    tidied = False
    with until_told_to_stop() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await told.wait()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            tidied = True
    assert tidied


async def test_work_that_lost_the_cancellation_ends_where_it_waits() -> None:
    with until_told_to_stop() as told:
        os.kill(os.getpid(), signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.wait_for(told.wait(), 10)
    assert told.is_set()


async def test_what_is_cancelled_by_others_stays_cancelled() -> None:
    async def work() -> None:
        with until_told_to_stop():
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
