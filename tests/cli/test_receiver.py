"""The receiver of a webhook: which URLs can be called, what is shown of them, whether anything would arrive there."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Configure
from tests.cli.hooks import READING, URL, add, only_webhook
from tests.cli.runner import complaint, done, run
from tests.plant import Plant
from webmacs.cli import receiver
from webmacs.cli.receiver import short_url
from webmacs.config import WebhookSettings


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "http://",
        "https:///path",
        "http:example.org",
        "http://example.org:99999/",
        "http://[::1/",
        "http://ex ample.org/",
        "http://example.org/a b",
        "http://example.org/\x1b",
        "http://\udcff/",
    ],
)
def test_what_cannot_be_called_is_refused(nowhere: Path, url: str) -> None:
    text = complaint("webhook", "add", url, *READING, "--config", nowhere)
    assert text == "the URL cannot be called: it wants http:// or https://, a host, a possible port, and no spaces"


def test_a_url_has_a_length(config: Path, plant: Plant, storage_url: str) -> None:
    longest = "https://203.0.113.7/".ljust(2048, "x")
    add(config, longest)
    assert only_webhook(storage_url).url == longest
    text = complaint("webhook", "add", longest + "x", *READING, "--config", config)
    assert text == "the URL has 2049 characters; 2048 are the most"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://203.0.113.7:8443/…"),
        ("http://example.org", "http://example.org"),
        ("http://example.org/", "http://example.org"),
        ("http://example.org?CANARY", "http://example.org/…"),
        ("http://example.org/#CANARY", "http://example.org/…"),
        ("http://[::1]:80/CANARY", "http://[::1]:80/…"),
        ("http://[CANARY/", "…"),
        ("http://example.org:CANARY/", "…"),
        ("http:CANARY", "http:///…"),
    ],
)
def test_of_a_url_the_place_alone_is_shown(url: str, shown: str) -> None:
    assert short_url(url) == shown


# -- addresses that nothing can be delivered to -------------------------------------------------------------------


class Resolver:
    """The system's, for names that tests know."""

    def __init__(self, **names: list[str] | OSError) -> None:
        self._names = names
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        found = self._names.get(host.decode().partition(".")[0]) if isinstance(host, bytes) else None
        if found is None:
            return self._real(host, port, *arguments, **options)
        if isinstance(found, OSError):
            raise found
        return [self._real(address, port, type=socket.SOCK_STREAM)[0] for address in found]


def warning(config: Path, url: str) -> str | None:
    """What is said of the address of a new webhook, which is added all the same."""
    result = run("webhook", "add", url, *READING, "--new-secret", "--config", config)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    return result.stderr.removeprefix("warning: nothing will arrive at ").removesuffix("\n") if result.stderr else None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/…: 127.0.0.1 is not a public address (loopback), "),
        ("http://[fe80::1]/", "http://[fe80::1]: fe80::1 is not a public address (link-local), "),
        ("http://inside.example/", "http://inside.example: 192.168.7.3 is not a public address (private), "),
    ],
)
def test_an_address_that_is_refused_is_a_warning_that_names_the_setting(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch, url: str, text: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(inside=["192.168.7.3", "192.168.7.4"]))
    assert warning(config, url) == f"{text}and in no network of webhooks.allowed_networks"


@pytest.mark.parametrize("url", ["https://1.1.1.1/", "https://[2606:4700::1111]/", "https://both.example/"])
def test_a_public_address_among_them_is_enough(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(both=["192.168.7.3", "1.1.1.1"]))
    assert warning(config, url) is None


def test_an_address_in_an_allowed_network_is_no_warning(configure: Configure, storage_url: str) -> None:
    config = configure(storage_url, "[webhooks]", 'allowed_networks = ["127.0.0.0/8"]')
    done("migrate", "--config", config)
    assert warning(config, "http://127.0.0.1/") is None


def test_a_name_that_cannot_be_resolved_is_a_warning(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", Resolver(nowhere=unknown))
    assert warning(config, "http://nowhere.example/") == "http://nowhere.example: name or service not known"


def test_a_resolver_that_says_nothing_is_not_waited_for(
    config: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Resolver()
    over = False

    def wait(host: Any, *arguments: Any, **options: Any) -> Any:
        while isinstance(host, bytes) and not over:
            time.sleep(0.01)
        return silent(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(receiver, "LOOK_UP_S", 0.1)
    try:
        text = warning(config, "http://silent.example/")
    finally:
        over = True
    assert text == "http://silent.example: no answer within 0.1 s to what address it has"


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..b"])
def test_a_host_that_can_be_no_name_is_a_warning(config: Path, plant: Plant, host: str) -> None:
    text = warning(config, f"http://{host}/")
    assert text is not None
    assert text.startswith(f"http://{host}: ")


@pytest.mark.parametrize("url", ["http://203.0.113.7:99999/CANARY", "http://[CANARY"])
async def test_a_url_that_came_another_way_and_cannot_be_called_is_doubted(url: str) -> None:
    assert await receiver.doubt(url, WebhookSettings()) == "the URL cannot be called"
