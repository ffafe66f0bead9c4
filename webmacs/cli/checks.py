"""The single checks of an installation; each looks at one thing and changes nothing."""

from __future__ import annotations

import asyncio
import enum
import errno
import json
import os
import shutil
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import aiohttp

from webmacs import __version__
from webmacs.cli.access import own_address, trust
from webmacs.cli.certificate import valid_until
from webmacs.cli.serve import refusal, tls_context
from webmacs.cli.setting import plainly, this_command
from webmacs.clock import Clock
from webmacs.config import Network, Settings
from webmacs.errors import ConfigError
from webmacs.model import Role, to_datetime
from webmacs.secret import secret_key
from webmacs.storage import accounts, migrate
from webmacs.storage.base import Storage

SQLITE: Final = "sqlite:///"
LITTLE_SPACE: Final = 1_000_000_000
NO_SPACE: Final = 50_000_000
DAY_S: Final = 86_400.0
WARN_DAYS: Final = 30
PLAUSIBLE_YEARS: Final = range(2025, 2100)
CLOCKS_DIFFER_S: Final = 2.0
HEALTH_TIMEOUT_S: Final = 5.0
FOR_OTHERS: Final = 0o007
# Networks that nobody outside can be in (RFC 1918, 6598, 4193, 3927, 4291); of others, no proxies fill a larger one.
OWN_NETWORKS: Final = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)
LARGEST: Final = {4: 16, 6: 32}


class Grade(enum.StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    grade: Grade
    subject: str
    text: str
    mend: str = ""


def exists(path: Path) -> bool:
    """Whether an embedded database is there."""
    return path.is_file()


def open_to_all(path: Path) -> bool:
    """Whether everybody on this machine may read or change a file."""
    return bool(path.stat().st_mode & FOR_OTHERS)


def key(settings: Settings) -> Finding:
    """The key that signs tokens: there, long enough, and ours alone?"""
    own = settings.auth.secret_key is None and settings.auth.secret_key_file is None
    path = settings.auth.secret_key_file
    if own and settings.storage.url.startswith(SQLITE):
        path = Path(settings.storage.url.removeprefix(SQLITE)).with_suffix(".key")
        if not (settings.directory / path).exists():
            return Finding(Grade.OK, "secret key", f"{path} is not there yet; the first start makes it")
    try:
        secret_key(settings, make=False)
    except ConfigError as error:
        return Finding(Grade.FAIL, "secret key", str(error), "`openssl rand -hex 32` makes one")
    if path is None:
        return Finding(Grade.OK, "secret key", "auth.secret_key")
    file = settings.directory / path
    if open_to_all(file):
        return Finding(Grade.WARN, "secret key", f"all may read {file}", f"chmod 600 {file}")
    return Finding(Grade.OK, "secret key", str(file))


def disk(path: Path) -> Finding:
    """Where an embedded database lives: may we write there, and is there room?"""
    directory = path.parent
    if not directory.is_dir():
        return Finding(Grade.FAIL, "disk", f"there is no directory {directory}", "make it, or correct storage.url")
    for place in (directory, path):
        if place.exists() and not os.access(place, os.W_OK):
            return Finding(Grade.FAIL, "disk", f"{place} cannot be written", "give it to the user the server runs as")
    free = shutil.disk_usage(directory).free
    text = f"{free / 1e9:.1f} GB free for {directory}"
    if free < NO_SPACE:
        return Finding(Grade.FAIL, "disk", text, "make room, or set storage.retention_days")
    if free < LITTLE_SPACE:
        return Finding(Grade.WARN, "disk", text, "make room soon, or set storage.retention_days")
    return Finding(Grade.OK, "disk", text)


def schema(settings: Settings, found: str | None) -> Finding:
    """Is the schema the one this program was written for?"""
    needed, me = migrate.head(), f"{this_command()} migrate"
    if found == needed:
        return Finding(Grade.OK, "schema", f"at {found}")
    if found is not None and found > needed:
        return Finding(Grade.FAIL, "schema", f"at {found}, newer than {needed}, which this program knows", "upgrade it")
    text = f"at {found or 'nothing'}, {needed} is needed"
    if settings.storage.migrate:
        return Finding(Grade.WARN, "schema", text, f"the next start or `{me}` brings it up to date")
    return Finding(Grade.FAIL, "schema", text, f"run `{me}`")


async def clocks(settings: Settings, storage: Storage, clock: Clock) -> Finding:
    """Do the database's clock and ours agree?"""
    before = clock.now_us()
    rows = await storage.fetch("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    differ_s = abs(int(rows[0][0]) - (before + clock.now_us()) / 2) / 1e6
    text = f"the database's differs from ours by {differ_s:.1f} s"
    mend = "set both by NTP"
    if differ_s > settings.pipeline.max_clock_skew_s:
        return Finding(Grade.FAIL, "clocks", text, mend)
    return (
        Finding(Grade.OK, "clocks", text) if differ_s < CLOCKS_DIFFER_S else Finding(Grade.WARN, "clocks", text, mend)
    )


async def administrator(storage: Storage) -> Finding:
    """Can anybody manage the installation?"""
    users = await accounts.users(storage)
    administrators = [user.email for user in users if user.role is Role.ADMIN]
    if administrators:
        return Finding(Grade.OK, "accounts", f"{len(users)}, administrator {administrators[0]}")
    mend = f"`{this_command()} user add EMAIL --role admin` adds one"
    return Finding(Grade.FAIL, "accounts", "there is no administrator", mend)


def year(clock: Clock) -> Finding:
    """Is our clock believable?"""
    now = to_datetime(clock.now_us())
    if now.year in PLAUSIBLE_YEARS:
        return Finding(Grade.OK, "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")
    return Finding(Grade.FAIL, "clock", f"it says {now:%Y-%m-%d}", "set it, best by NTP: readings get this time")


def certificate(settings: Settings, clock: Clock) -> Finding:
    """Can the certificate be used, and for how long?"""
    certificate = settings.directory / (settings.server.tls_cert or "")
    try:
        context = tls_context(settings)
        assert context is not None
        ends_s = valid_until(context, certificate)
    except (ConfigError, ssl.SSLError) as error:
        return Finding(Grade.FAIL, "certificate", str(error), "both files are PEM, and belong together")
    if ends_s is None:
        return Finding(Grade.FAIL, "certificate", f"{certificate} has expired", "renew it and restart the server")
    days = (ends_s - clock.now_us() / 1e6) / DAY_S
    text = f"{certificate} is good until {datetime.fromtimestamp(ends_s, UTC):%Y-%m-%d}"
    if days < WARN_DAYS:
        return Finding(Grade.WARN, "certificate", text, "renew it soon")
    return Finding(Grade.OK, "certificate", text)


def proxies(settings: Settings) -> Finding:
    """Are those whom we believe about others really ours?"""
    trusted = settings.server.trusted_proxies
    too_large = [
        str(network) for network in trusted if network.prefixlen < LARGEST[network.version] and not _own(network)
    ]
    if too_large:
        text = f"{', '.join(too_large)} is trusted, so that strangers may say to be any other client"
        return Finding(Grade.FAIL, "proxies", text, "name the proxies alone in server.trusted_proxies")
    return Finding(Grade.OK, "proxies", ", ".join(map(str, trusted)) or "none is trusted")


def _own(network: Network) -> bool:
    return any(network.network_address in own and network.prefixlen >= own.prefixlen for own in OWN_NETWORKS)


async def port(settings: Settings) -> Finding:
    """Can a server listen, or does ours do so already?"""
    host, port = settings.server.host, settings.server.port
    where = f"{host}:{port}"
    if port == 0:
        return Finding(Grade.OK, "port", "any that is free")
    refused = await asyncio.to_thread(refusal, host, port)
    if refused is None:
        return Finding(Grade.OK, "port", f"{where} is free; no server runs")
    health = await _health(settings) if refused.errno == errno.EADDRINUSE else None
    if health is None:
        return Finding(Grade.FAIL, "port", f"{where}: {plainly(refused)}", "stop what is there, or set server.port")
    text = f"{where}: webmacs {health['version']} runs here and is {health['status']}"
    if health["version"] != __version__:
        return Finding(Grade.WARN, "port", text, f"restart it, this is {__version__}")
    if health["status"] != "ok":
        return Finding(Grade.WARN, "port", text, "its log says why")
    return Finding(Grade.OK, "port", text)


async def _health(settings: Settings) -> dict[str, Any] | None:
    """What the server at our address says of itself; None when it is not ours."""
    try:
        connector = aiohttp.TCPConnector(ssl=trust(settings, None))
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{own_address(settings)}/health") as response,
        ):
            answer = json.loads(await response.text())
    except (aiohttp.ClientError, OSError, ValueError, ConfigError):
        return None
    return answer if isinstance(answer, dict) and {"status", "version", "database"} <= answer.keys() else None
