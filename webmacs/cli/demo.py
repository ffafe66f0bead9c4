"""`webmacs demo`: a whole installation in one directory, showing this machine's own readings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import click
from rich.console import Console
from rich.text import Text

from webmacs import experiments, logs
from webmacs.app import PARTS, build_app
from webmacs.auth import Passwords, api_token_digest, new_api_token
from webmacs.cli.serve import refusal, run, running
from webmacs.cli.setting import one_line, plainly, short_path, this_command, until_told_to_stop
from webmacs.config import Settings, load_settings
from webmacs.controller import agent, directory
from webmacs.controller.clocks import MachineClock
from webmacs.controller.credentials import Credentials
from webmacs.declaration.file import ChannelEntry, Declaration, EventEntry, PluginEntry, RuleEntry
from webmacs.declaration.plan import Mode
from webmacs.declaration.planner import make_plan
from webmacs.declaration.state import present
from webmacs.declaration.writes import carry_out
from webmacs.errors import ConfigError, Conflict, NotFound, WebmacsError
from webmacs.extensions import find_plugins
from webmacs.model import Role, Scope, User
from webmacs.plugins.base import ChannelDescription
from webmacs.plugins.system import System
from webmacs.storage import accounts, plugins, records, rules
from webmacs.storage.base import Storage

PORT: Final = 8000
ADMINISTRATOR: Final = "admin@webmacs.example"
MACHINE: Final = "machine@webmacs.example"
INSTANCE: Final = "This machine"
EXPERIMENT: Final = "First look"
CONFIG: Final = {"extra": True}  # of the instance: all that the machine has
INTERVAL_S: Final = 0.5
RULE: Final = "CPU over 80 %"
RULE_CHANNEL: Final = "cpu_percent"
RULE_THRESHOLD: Final = 80.0
RULE_COOLDOWN_S: Final = 60

CONFIGURATION: Final = """\
# Made by `webmacs demo`, yours to change. Every key and its default: config.example.toml.

[server]
host = "127.0.0.1"
port = {port}
shutdown_timeout_s = 1.0

[storage]
url = "sqlite:///webmacs.db"

[webhooks]
allowed_networks = ["127.0.0.0/8", "::1/128"]  # receivers on this very machine, to try them

[logging]
level = "warning"
"""
_PORT_LINE: Final = re.compile(r"^(\s*port\s*=\s*)\d+", re.MULTILINE)
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # none that looks like another


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What the demonstration shows. `password` is None when the administrator was there before.

    `alarmed`: the rule is there, and switched on.
    """

    administrator: str
    password: str | None
    token: str
    events: dict[str, str]
    alarmed: bool = False


@click.command("demo")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    metavar="DIR",
    show_default=True,
    help="Where everything is kept; made when it is not there.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help=f"Where to listen. Default: as the last time, at first {PORT}.",
)
def command(directory: Path, port: int | None) -> None:
    """Try WebMACS: a server that shows this machine's own readings.

    Makes an embedded database, a configuration file and an administrator in a directory of its own, starts the server
    and sends it this machine's readings, twice a second, over a WebSocket. Start it again and it goes on where it
    was. Delete the directory to begin anew.
    """
    try:
        run(demonstrate(directory, port, Console(highlight=False, soft_wrap=True)))
    except WebmacsError as error:
        raise one_line(error) from error


async def demonstrate(directory: Path, port: int | None, console: Console) -> None:
    """Serve and stream until told to stop."""
    config = directory / "webmacs.toml"
    settings = prepare(config, port)
    logs.set_up(settings.logging)
    with until_told_to_stop() as told:
        app = build_app(settings)
        async with running(settings, app) as address:
            parts = app[PARTS]
            sources = await asyncio.to_thread(System.present)
            exhibit = await furnish(parts.storage, sources, parts.clock.now_us())
            await parts.catalog.reload()
            if port is not None:
                config.write_text(_PORT_LINE.sub(rf"\g<1>{port}", config.read_text("utf-8"), count=1), "utf-8")
            console.print(welcome(address, exhibit, config))
            async with measuring(settings, address, exhibit.token):
                try:
                    await told.wait()
                finally:
                    console.print("\nStopping …")
    console.print("Stopped. Start it again to go on.")


@asynccontextmanager
async def measuring(settings: Settings, address: str, token: str) -> AsyncIterator[None]:
    """A controller at work for this machine, which is to the server what any other one is."""
    ours = settings.controller.model_copy(update={"server_url": address, "poll_interval_s": INTERVAL_S})
    clock = MachineClock()
    # The server is this process; its certificate need not be made out to the address we use.
    connector = aiohttp.TCPConnector(ssl=False)
    with directory.opened(settings.directory / ours.spool_directory, ours, clock) as place:
        async with aiohttp.ClientSession(connector=connector) as session:
            controller = agent.Agent(ours, place, session, Credentials(token=token), clock)
            async with agent.running(controller):
                yield


def prepare(config: Path, port: int | None) -> Settings:
    """The demonstration's settings, with its directory and file made at the first start.

    The environment is left aside: a demonstration must not end up in the database that it names.

    Raises:
        ConfigError: the port is taken or could not be kept, or the directory cannot be used; nothing was changed.

    """
    given = {} if port is None else {"WEBMACS_SERVER__PORT": str(port)}
    settings = load_settings(config, given) if config.exists() else None
    if settings and port and not _PORT_LINE.search(config.read_text("utf-8")):
        raise ConfigError(f"{config} has no line `port = …` that --port could change; add one under [server]")
    server = settings.server if settings else Settings().server.model_copy(update={"port": port or PORT})
    reason = refusal(server.host, server.port)
    if reason is not None:
        where = f"{server.host}:{server.port}"
        raise ConfigError(f"cannot listen on {where}: {plainly(reason)}; choose another port with --port") from reason
    if settings is None:
        try:
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(CONFIGURATION.format(port=server.port), "utf-8")
        except OSError as error:
            raise ConfigError(f"cannot make {config}: {error.strerror}; choose another --directory") from error
        settings = load_settings(config, {})
    return settings


async def furnish(storage: Storage, sources: Collection[ChannelDescription], now_us: int) -> Exhibit:
    """Put in what is missing: an administrator, an account for the machine, its channels and events, an experiment.

    What is there stays as it is, also where somebody changed it. The rule comes with its channel, and not again.
    """
    password = None
    administrator = next((user for user in await accounts.users(storage) if user.role is Role.ADMIN), None)
    if administrator is None:
        password = new_password()
        administrator = await _account(storage, ADMINISTRATOR, password, Role.ADMIN, now_us)
    events = await _channels(storage, sources, now_us)
    token = await _fresh_token(storage, now_us)
    alarmed = any(rule.name == RULE and rule.enabled for rule in await rules.rules(storage))
    with contextlib.suppress(Conflict):  # it ran before and was stopped, or another one runs
        await experiments.start(storage, name=EXPERIMENT, now_us=now_us)
    return Exhibit(administrator.email, password, token, events, alarmed)


def new_password() -> str:
    """A password of 100 bits that can be read out and typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def welcome(address: str, exhibit: Exhibit, config: Path) -> Text:
    """What is said once it runs."""
    me, file = this_command(), short_path(config)
    if exhibit.password is None:
        renew = f"{me} user passwd {exhibit.administrator} --config {file}"
        password = [("as before; to set a new one:\n             ", "dim"), (renew, "")]
    else:
        password = [(exhibit.password, "bold"), ("   (shown this once)", "dim")]
    what = f"{len(exhibit.events)} readings of this machine, twice a second"
    alarm = f"\n\nThe rule {RULE!r} warns here when the processor is busy, once a minute."
    return Text.assemble(
        ("\nWebMACS is running.\n\n", "bold"),
        ("  Address    ", "dim"),
        (f"{address}\n", "cyan"),
        ("  E-mail     ", "dim"),
        f"{exhibit.administrator}\n",
        ("  Password   ", "dim"),
        *password,
        ("\n  Streaming  ", "dim"),
        what,
        "\n\nOpen the address in a browser, or watch it from another terminal:\n\n  ",
        (f"{me} watch --config {file}", "green"),
        alarm if exhibit.alarmed else "",
        ("\n\nCtrl-C stops it.\n", "dim"),
    )


async def _account(storage: Storage, email: str, password: str, role: Role, now_us: int) -> User:
    passwords = Passwords(1, 1)
    password_hash = await asyncio.to_thread(passwords.hash, password)
    passwords.close()
    await accounts.add_user(
        storage, email=email, username=email.partition("@")[0], password_hash=password_hash, role=role, now_us=now_us
    )
    return (await accounts.user_by_email(storage, email))[0]


async def _fresh_token(storage: Storage, now_us: int) -> str:
    """An API token for the machine's own account, in place of the one of the last start: its text is kept nowhere.

    It is good for every device, as one that is bound to an instance is not: what somebody adds is measured at once.
    """
    try:
        user, _ = await accounts.user_by_email(storage, MACHINE)
    except NotFound:
        user = await _account(storage, MACHINE, secrets.token_urlsafe(), Role.OPERATOR, now_us)
    for old in await accounts.tokens(storage):
        if old.user_id == user.id and old.name == INSTANCE:
            await accounts.remove_token(storage, old.public_id)
    text = new_api_token()
    await accounts.add_token(
        storage,
        user_id=user.id,
        name=INSTANCE,
        digest=api_token_digest(text),
        expires_us=None,
        now_us=now_us,
        scope=Scope.FULL,
    )
    return text


def declared(sources: Collection[ChannelDescription]) -> Declaration:
    """This machine as a file for `webmacs apply` would have it, with those of its channels.

    The channels are those that were found on it, not those of the plugin's catalogue. The rule comes with its channel.
    """
    names = {source.channel_id: f"{INSTANCE} \N{EN DASH} {source.name}" for source in sources}
    rule = RuleEntry(name=RULE, event=names.get(RULE_CHANNEL), above=RULE_THRESHOLD, cooldown_s=RULE_COOLDOWN_S)
    return Declaration(
        events=tuple(
            EventEntry(
                name=names[source.channel_id], unit=source.unit, min_value=source.min_value, max_value=source.max_value
            )
            for source in sources
        ),
        plugins=(
            PluginEntry(
                instance_name=INSTANCE,
                plugin_id="system",
                config=CONFIG,
                catalog_channels=False,
                channels=tuple(
                    ChannelEntry(
                        channel_id=source.channel_id,
                        channel_name=source.name,
                        unit=source.unit,
                        event=names[source.channel_id],
                    )
                    for source in sources
                ),
            ),
        ),
        rules=(rule,) if rule.event is not None else (),
    )


async def _configure(storage: Storage) -> None:
    """An instance from before it could be configured measures what it has channels for."""
    for plugin in await plugins.plugins(storage):
        if plugin.instance_name == INSTANCE and plugin.plugin_id == "system" and plugin.config_json is None:
            await plugins.change_plugin(storage, plugin.public_id, config_json=json.dumps(CONFIG))


async def _channels(storage: Storage, sources: Collection[ChannelDescription], now_us: int) -> dict[str, str]:
    """The event that each channel of this machine is linked to; channels are declared once, and then left to people."""
    await _configure(storage)
    there = present(await records.snapshot(storage, now_us))
    plan = make_plan(
        declared([source for source in sources if (INSTANCE, source.channel_id) not in there.channels]),
        there,
        plugins=find_plugins().plugins,
        new_id=lambda: str(uuid.uuid4()),
        mode=Mode.ADD,
    )
    await carry_out(storage, plan, password_hashes={}, now_us=now_us, old_secrets_until_us=now_us)
    channels = present(await records.snapshot(storage, now_us)).channels
    return {
        source.channel_id: thing.state.event
        for source in sources
        if (thing := channels.get((INSTANCE, source.channel_id))) is not None and thing.state.event is not None
    }
