"""`webmacs doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import click
from rich.console import Console
from rich.text import Text

from webmacs.cli import checks
from webmacs.cli.alarms import alarms
from webmacs.cli.checks import Finding, Grade
from webmacs.cli.setting import config_option, configuration_file, place, runs, settings_from, short_path
from webmacs.clock import Clock, SystemClock
from webmacs.config import Settings
from webmacs.errors import StorageError, WebmacsError
from webmacs.extensions import load_stages, load_storage
from webmacs.storage import migrate
from webmacs.storage.base import Storage

_STYLES: Final = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


@click.command("doctor")
@config_option
@runs
async def command(config: Path | None) -> None:
    """Check an installation: what is wrong, and how to mend it.

    Looks at the configuration, the key, the storage and its schema, the disk, the clocks, the accounts, rules and
    webhooks, the certificate, the proxies and the port. The exit code is 1 if any line says FAIL. Nothing is changed.
    """
    console = Console(highlight=False, soft_wrap=True)
    failed = False
    async for finding in examine(configuration_file(config), SystemClock()):
        console.print(line(finding))
        failed |= finding.grade is Grade.FAIL
    if failed:
        raise click.exceptions.Exit(1)


def line(finding: Finding) -> Text:
    """A finding as it is printed."""
    mend = f"; {finding.mend}" if finding.mend else ""
    text = " ".join(f"{finding.text}{mend}".split())
    return Text.assemble((f"{finding.grade:<5}", _STYLES[finding.grade]), f"{finding.subject:<15}{text}")


async def examine(config: Path | None, clock: Clock) -> AsyncIterator[Finding]:
    """All findings, one after the other, with everything secret blotted out."""
    try:
        settings = settings_from(config)
        stages = load_stages(settings)
        storage = load_storage(settings)
    except WebmacsError as error:
        yield Finding(Grade.FAIL, "configuration", str(error), "config.example.toml shows every key")
        return
    secrets = secrets_of(settings)
    where = "no file, all defaults" if config is None else short_path(config)
    names = ", ".join(stage.name for stage in stages)
    yield Finding(Grade.OK, "configuration", f"{where}; stages {names}")
    if config is not None and secrets and checks.open_to_all(config):
        yield Finding(Grade.WARN, "configuration", f"all may read the secrets in {config}", f"chmod o-rwx {config}")
    try:
        async for finding in _findings(settings, storage, clock, config):
            text = finding.text
            if finding.subject == "storage" and finding.grade is Grade.FAIL:  # what a driver has written
                for secret in secrets:
                    text = text.replace(secret, "***")
            yield replace(finding, text=text)
    finally:
        await storage.close()


async def _findings(settings: Settings, storage: Storage, clock: Clock, config: Path | None) -> AsyncIterator[Finding]:
    yield checks.key(settings)
    there = True
    if storage.url.startswith(checks.SQLITE):
        path = Path(storage.url.removeprefix(checks.SQLITE))
        yield checks.disk(path)
        there = checks.exists(path)
    if there:
        async for finding in _storage(settings, storage, clock, config):
            yield finding
    else:
        yield Finding(Grade.WARN, "storage", f"{path} is not there yet", "the first start makes it")
    yield checks.year(clock)
    if settings.server.tls_cert is not None:
        yield checks.certificate(settings, clock)
    if settings.server.trusted_proxies:
        yield checks.proxies(settings)
    yield await checks.port(settings)


async def _storage(settings: Settings, storage: Storage, clock: Clock, config: Path | None) -> AsyncIterator[Finding]:
    where = place(storage.url)
    try:
        await storage.ping()
    except StorageError as error:
        yield Finding(Grade.FAIL, "storage", f"cannot reach {where}: {error}", "start it, or correct storage.url")
        return
    yield Finding(Grade.OK, "storage", where)
    try:
        found = await storage.revision()
        yield checks.schema(settings, found)
        if not storage.url.startswith(checks.SQLITE):
            yield await checks.clocks(settings, storage, clock)
        if found == migrate.head():
            yield await checks.administrator(storage)
            for finding in await alarms(settings, storage, clock.now_us(), config):
                yield finding
    except StorageError as error:
        yield Finding(Grade.FAIL, "storage", f"{where}: {error}", "the user of storage.url must own the tables")


def secrets_of(settings: Settings) -> list[str]:
    """Everything in the configuration that nobody may see, the longest first."""
    key = settings.auth.secret_key
    parts = urlsplit(settings.storage.url)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    found = {password, unquote(password), *parse_qs(parts.query).get("password", [])}
    return sorted((found | ({key.get_secret_value()} if key else set())) - {""}, key=len, reverse=True)
