"""The receiver of a webhook, as commands speak of it: its URL may hold secrets, and its address may be refused."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import click
from yarl import URL

from webmacs.catalog import Snapshot
from webmacs.cli.choice import Candidate, chosen, short_id
from webmacs.cli.printable import printable
from webmacs.cli.setting import plainly
from webmacs.config import WebhookSettings
from webmacs.model import Webhook
from webmacs.webhooks.guard import AddressGuard
from webmacs.webhooks.names import Names

MAX_URL: Final = 2048
LOOK_UP_S: Final = 3.0


def find_webhook(catalog: Snapshot, wanted: str) -> Webhook:
    """The webhook that is meant: by id, its beginning, or a part of the URL that no other has.

    Raises:
        NotFound: there is none.
        click.ClickException: it may be several.

    """
    webhooks = [
        Candidate(webhook, webhook.public_id, webhook.url, f"{short_id(webhook.public_id)} {short_url(webhook.url)}")
        for webhook in catalog.webhooks
    ]
    return chosen("webhook", wanted, webhooks, secret=True)


def named(webhook: Webhook) -> str:
    """A webhook as it is spoken of."""
    return f"{short_id(webhook.public_id)} {short_url(webhook.url)}"


def short_url(url: str) -> str:
    """Where a URL leads, without what may be secret: user, password, path, query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "…"
    place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    hidden = parts.path.strip("/") or parts.query or parts.fragment
    return printable(f"{parts.scheme}://{place}{'/…' if hidden else ''}")


def check_url(url: str) -> None:
    """Whether it can be called. Raises `click.ClickException`, which does not repeat it."""
    if len(url) > MAX_URL:
        raise click.ClickException(f"the URL has {len(url)} characters; {MAX_URL} are the most")
    try:
        target = URL(url)
        good = target.scheme in {"http", "https"} and bool(target.raw_host) and url.isprintable() and " " not in url
    except ValueError:
        good = False
    if not good:
        raise click.ClickException(
            "the URL cannot be called: it wants http:// or https://, a host, a possible port, and no spaces"
        )


async def doubt(url: str, settings: WebhookSettings) -> str | None:
    """Why nothing could be delivered there now, for a person, as far as its address tells; None when it may do."""
    try:
        addresses = await _addresses(URL(url))
    except TimeoutError:
        return f"no answer within {LOOK_UP_S:g} s to what address it has"
    except OSError as error:
        return plainly(error)
    except ValueError:
        return "the URL cannot be called"
    guard = AddressGuard(settings.allowed_networks)
    refusals = [guard.refusal(address) for address in addresses]
    return None if None in refusals else refusals[0]


async def _addresses(target: URL) -> list[str]:
    host = target.raw_host or ""
    try:
        return [str(ip_address(host))]
    except ValueError:  # so it is a name
        async with asyncio.timeout(LOOK_UP_S):
            return [found["host"] for found in await Names().resolve(host, target.port or 0)]
