"""Where a server is, and the ways in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import Certificate, files_in
from tests.cli.pretender import Pretender, pretending
from tests.plant import Server, settings_for
from webmacs.cli import access
from webmacs.cli.access import Address, Unreachable
from webmacs.config import Settings
from webmacs.errors import AuthError, ConfigError, NotFound, StorageError
from webmacs.extensions import load_storage


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def pretender() -> AsyncIterator[Pretender]:
    async with pretending() as started:
        yield started


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://plant:8000", "http://plant:8000"),
        ("https://plant/", "https://plant"),
        ("ws://plant:80", "http://plant:80"),
        ("wss://plant", "https://plant"),
        ("plant:9000", "http://plant:9000"),
        ("plant", "http://plant:8000"),
        ("localhost:8000/", "http://localhost:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("https://host/macs/", "https://host/macs"),
        ("ws://plant:8000/ws/datapoints/stream", "http://plant:8000"),
        ("wss://host/macs/ws/datapoints/stream/", "https://host/macs"),
    ],
)
def test_an_address_is_understood_as_people_write_it(text: str, url: str) -> None:
    assert access.address(text) == Address(url)


def test_a_token_in_the_url_of_the_stream_is_used() -> None:
    assert access.address("ws://plant/ws/datapoints/stream?token=abc") == Address("http://plant", "abc")


@pytest.mark.parametrize("text", ["", "http://", "ftp://plant", "plant:port", "plant:99999", "http://[::1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an address like"):
        access.address(text)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("", "http://127.0.0.1:8000"),
        ("plant", "http://plant:8000"),
    ],
)
def test_an_installation_knows_its_own_address(host: str, url: str) -> None:
    assert access.own_address(Settings.model_validate({"server": {"host": host}})) == url


def test_an_installation_with_a_certificate_is_reached_by_tls() -> None:
    settings = Settings.model_validate({"server": {"tls_cert": "a.pem", "tls_key": "a.key"}})
    assert access.own_address(settings) == "https://127.0.0.1:8000"


def test_an_installation_on_any_port_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the URL"):
        access.own_address(settings_for("sqlite:///test.db", tmp_path))


def test_the_systems_certificates_are_trusted_by_default() -> None:
    assert access.trust(None, None) is True
    assert access.trust(Settings(), None) is True


def test_a_certificate_that_is_given_is_trusted_under_its_name(make_certificate: Callable[[int], Certificate]) -> None:
    context = access.trust(None, make_certificate(10).certificate)
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname


def test_an_installations_own_certificate_is_trusted_under_any_name(
    tmp_path: Path, make_certificate: Callable[[int], Certificate]
) -> None:
    made = make_certificate(10)
    settings = settings_for(
        "sqlite:///test.db", tmp_path, server={"tls_cert": made.certificate.name, "tls_key": made.key.name}
    )
    context = access.trust(settings, None)
    assert isinstance(context, ssl.SSLContext)
    assert not context.check_hostname


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "odd.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigError, match="cannot use the certificate"):
        access.trust(None, file)


async def test_a_password_becomes_a_token(pretender: Pretender, session: aiohttp.ClientSession) -> None:
    sign_in = access.by_password(pretender.address, "me@example.org", "right")
    assert await sign_in(session) in pretender.tokens


async def test_a_wrong_password_is_refused_with_the_servers_words(
    pretender: Pretender, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(AuthError, match="Incorrect email or password"):
        await access.by_password(pretender.address, "me@example.org", "wrong")(session)


async def test_a_server_that_gives_no_token_is_not_ours(pretender: Pretender, session: aiohttp.ClientSession) -> None:
    with pytest.raises(Unreachable, match="is it a WebMACS server"):
        await access.reach("there", access.by_password(pretender.address, "me@example.org", "nonsense")(session))


async def test_a_server_that_is_not_there_is_named(session: aiohttp.ClientSession, port: int) -> None:
    where = f"http://127.0.0.1:{port}"
    with pytest.raises(Unreachable, match=f"cannot reach {where}: connection refused"):
        await access.reach(where, access.by_password(where, "me@example.org", "right")(session))


async def test_the_own_key_opens_the_own_server(server: Server, session: aiohttp.ClientSession) -> None:
    token = await access.by_own_key(server.settings)(session)
    async with session.get(f"{server.address}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert (await answer.json())["role"] == "admin"


async def test_signing_in_by_the_own_key_makes_nothing(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    settings = settings_for("sqlite:///test.db", tmp_path)
    with pytest.raises(StorageError, match="no way to sign in by the installation itself"):
        await access.by_own_key(settings)(session)
    assert files_in(tmp_path) == []


async def test_an_installation_without_administrator_says_how_to_add_one(
    storage_url: str, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    settings = settings_for(storage_url, tmp_path)
    storage = load_storage(settings)
    await storage.open()
    await storage.close()
    with pytest.raises(NotFound, match="webmacs user add EMAIL --role admin"):
        await access.by_own_key(settings)(session)
