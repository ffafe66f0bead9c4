"""The commands. Only here are the command line and the environment read."""

from __future__ import annotations

import importlib
from typing import Any

import click

from webmacs import __version__

# Each command's module is imported when it is called, so that `--help` is quick and a small command stays small.
COMMANDS = {
    "demo": "webmacs.cli.demo",
    "doctor": "webmacs.cli.doctor",
    "migrate": "webmacs.cli.migrate",
    "serve": "webmacs.cli.serve",
    "token": "webmacs.cli.token",
    "user": "webmacs.cli.user",
    "watch": "webmacs.cli.watch",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on demand: each module has its command as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """All names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(COMMANDS[cmd_name])
        command: click.Command = module.command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="webmacs")
def main() -> None:
    """WebMACS: sensor readings over one WebSocket, stored, judged and shown live.

    Try it: `webmacs demo`.
    """
