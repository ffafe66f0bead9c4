"""The commands. Only here are the command line and the environment read."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

from webmacs import __version__

# In the order in which a newcomer meets them: what each is for, and where it is. A module is imported when its command
# is called, so that `--help` is quick and a small command stays small; each module has its command as `command`.
COMMANDS: Final = {
    "demo": ("webmacs.cli.demo", "Try WebMACS: a server that shows this machine's own readings."),
    "watch": ("webmacs.cli.watch", "Show the live readings of any server in the terminal."),
    "serve": ("webmacs.cli.serve", "Run the server until it is told to stop (SIGTERM or Ctrl-C)."),
    "controller": ("webmacs.cli.controller", "Read and set the devices of this machine, for a server."),
    "user": ("webmacs.cli.user", "Add, list and remove users, and change passwords."),
    "token": ("webmacs.cli.token", "Issue, list and revoke API tokens."),
    "rule": ("webmacs.cli.rule", "Add, list and remove rules: alarms on thresholds."),
    "webhook": ("webmacs.cli.webhook", "Add, list, test and remove webhooks; see their deliveries."),
    "apply": ("webmacs.cli.apply", "Bring an installation to what a file says."),
    "export": ("webmacs.cli.export", "Write readings as CSV, in order of time."),
    "import": ("webmacs.cli.importing", "Store the readings of CSV files, each at its own time."),
    "copy": ("webmacs.cli.copy", "Copy an installation whole into another storage, and compare."),
    "audit": ("webmacs.cli.audit", "Show who changed what, when, from what to what."),
    "doctor": ("webmacs.cli.doctor", "Check an installation: what is wrong, and how to mend it."),
    "migrate": ("webmacs.cli.migrate", "Bring the storage's schema up to date."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="webmacs")
def main() -> None:
    """WebMACS: sensor readings over one WebSocket, stored, judged and shown live.

    Try it: `webmacs demo` here, then `webmacs watch --config demo/webmacs.toml` in another terminal.
    """
