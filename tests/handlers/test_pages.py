"""The dashboard as browsers get it: which address is which file, what may be kept, and what the page may do."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.handlers.rest import API, alone
from tests.parts import require_dashboard
from tests.plant import Server, furnished_server
from tests.rawsocket import exchange
from tests.small_bundle import FILES, INDEX, small_bundle
from tests.wire import Reply, call
from webmacs.bundle import DIRECTORY, Bundle
from webmacs.handlers.pages import FOREVER, NOT_BUILT, PERMISSIONS, POLICY, takes_gzip
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = "/assets/index-1a2b.js"
OPENS = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
"""As a browser that opens an address."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def dashboard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server with a small dashboard. Its storage is never asked."""
    directory = tmp_path_factory.mktemp("dashboard")
    bundle = Bundle(small_bundle(directory))
    async with furnished_server(f"sqlite:///{directory / 'test.db'}", directory, bundle=bundle) as running:
        yield running


async def get(server: Server, path: str, **headers: str) -> Reply:
    headers.setdefault("Accept_Encoding", "identity")
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return await call(server, "GET", path, headers=named)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
async def test_a_file_comes_as_it_is_and_says_how_long_it_may_be_kept(dashboard: Server, name: str) -> None:
    reply = await get(dashboard, f"/{name}")
    assert (reply.status, reply.headers["Cache-Control"]) == (
        200,
        FOREVER if name.startswith("assets/") else "no-cache",
    )
    assert reply.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in reply.headers
    answer = await exchange(dashboard.address, f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert answer.body.decode() == FILES[name]


@pytest.mark.parametrize("name", FILES)
async def test_a_file_comes_compressed_to_those_who_take_it(dashboard: Server, name: str) -> None:
    head = f"GET /{name} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n"
    answer = await exchange(dashboard.address, head.encode())
    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(answer.body).decode() == FILES[name]
    plain = await get(dashboard, f"/{name}")
    assert answer.headers["etag"] != plain.headers["Etag"]
    assert answer.headers["content-type"] == plain.headers["Content-Type"]


ACCEPTED = {
    "gzip": True,
    "GZIP": True,
    "br, gzip": True,
    "gzip;q=0.1, identity": True,
    "gzip ; q=1": True,
    "*": True,
    "*;q=0.5": True,
    "br;q=1.0, *;q=0": False,
    "gzip;q=0": False,
    "gzip;q=0.000": False,
    "gzip;q=0, *": False,
    "gzip;q=much": False,
    "gzip;q=nan": False,
    "identity": False,
    "br": False,
    "gzipped": False,
    "": False,
}


@pytest.mark.parametrize(("accepted", "zipped"), ACCEPTED.items())
async def test_what_a_client_does_not_take_is_not_sent(dashboard: Server, accepted: str, zipped: bool) -> None:
    assert takes_gzip(accepted) is zipped
    head = f"GET {SCRIPT} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepted}\r\n\r\n"
    answer = await exchange(dashboard.address, head.encode())
    assert ("content-encoding" in answer.headers) is zipped


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["/", SCRIPT])
async def test_what_a_browser_has_is_not_sent_again(dashboard: Server, path: str, coding: str) -> None:
    first = await get(dashboard, path, Accept_Encoding=coding)
    tag = first.headers["Etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        reply = await get(dashboard, path, Accept_Encoding=coding, If_None_Match=known)
        assert (reply.status, reply.body) == (304, b"")
        for name in ("Etag", "Cache-Control", "Vary"):
            assert reply.headers[name] == first.headers[name]
    other = await get(dashboard, path, Accept_Encoding=coding, If_None_Match='"other"')
    assert (other.status, other.headers["Etag"]) == (200, tag)


@pytest.mark.parametrize(
    "path",
    [
        *("/assets/", "/assets/index-1a2b.css", "/assets/..", "/assets/../index.html", "/assets/./index-1a2b.js"),
        *("/../setup.cfg", "/%2e%2e/setup.cfg", "/..%2fapp.py", "/%2e%2e%2fapp.py", "/....//app.py", "/app.py"),
        *("/static/index.html", "/index.htm", "/favicon.ico", "/robots.txt", "/a/b.js", "//", "//live"),
        *("/index.html%00", "/%ff.js", f"/{'x' * 5000}.js"),
    ],
)
async def test_what_is_no_file_of_the_bundle_is_404_also_when_a_browser_opens_it(dashboard: Server, path: str) -> None:
    for accepted in ("", f"Accept: {OPENS['Accept']}\r\n"):
        answer = await exchange(dashboard.address, f"GET {path} HTTP/1.1\r\nHost: a\r\n{accepted}\r\n".encode())
        if (
            path in {"/assets/../index.html", "/assets/./index-1a2b.js", "/%00", "/index.html%00"}
            and answer.status == 200
        ):
            assert answer.body.decode() in FILES.values()
            continue
        assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})
        assert answer.headers["cache-control"] == "no-store"


# -- the page --------------------------------------------------------------------------------------------------------

ADDRESSES = ["/", "/live", "/live/", "/dashboards/1a2b", "/events/1a2b/edit?tab=rules", "/apiary", "/documents", "/wsx"]


@pytest.mark.parametrize("path", ADDRESSES)
async def test_every_address_of_the_dashboard_is_the_page_when_a_browser_opens_it(dashboard: Server, path: str) -> None:
    answer = await exchange(
        dashboard.address, f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {OPENS['Accept']}\r\n\r\n".encode()
    )
    assert (answer.status, answer.body.decode()) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


async def test_a_program_does_not_take_the_page_for_an_answer(dashboard: Server) -> None:
    for accepted in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        reply = await call(dashboard, "GET", "/live", headers=accepted)
        assert (reply.status, reply.detail) == (404, "Not Found")
        assert (await call(dashboard, "GET", "/", headers=accepted)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/api",
            "/api/",
            API,
            f"{API}/nowhere",
            f"{API}/events/1/2/3",
            "/api/v2/events",
            "/ws",
            "/ws/",
            "/ws/nowhere",
        ),
        *("/health/nowhere", "/metrics/nowhere", "/docs/nowhere", "/openapi.json/nowhere"),
    ],
)
async def test_what_is_the_server_s_own_is_never_the_page(dashboard: Server, path: str) -> None:
    reply = await call(dashboard, "GET", path, headers=OPENS)
    assert (reply.status, reply.detail) == (404, "Not Found")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/live", SCRIPT])
async def test_it_is_there_to_be_read(dashboard: Server, method: str, path: str) -> None:
    reply = await call(dashboard, method, path, headers=OPENS)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")


@pytest.mark.promise("S7")
@pytest.mark.parametrize("path", ["/", "/live"])
@pytest.mark.parametrize("known", [False, True])
async def test_the_page_may_do_what_comes_from_here_and_nothing_else(dashboard: Server, path: str, known: bool) -> None:
    reply = await call(dashboard, "GET", path, headers={**OPENS, **({"If-None-Match": "*"} if known else {})})
    assert reply.status == (304 if known else 200)
    assert reply.headers["Content-Security-Policy"] == POLICY
    assert reply.headers["Permissions-Policy"] == PERMISSIONS
    assert "unsafe" not in POLICY
    assert set(POLICY.split("; ")) >= {
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    }
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Server", "WebMACS"),
    ):
        assert reply.headers[name] == value


async def test_a_picture_that_is_opened_alone_runs_nothing(dashboard: Server) -> None:
    reply = await call(dashboard, "GET", "/favicon.svg", headers=OPENS)
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; base-uri")


@pytest.mark.promise("S7")
async def test_the_policy_repeats_nothing_that_a_client_says(dashboard: Server) -> None:
    for host in ("evil.example.org", "evil.example.org; script-src *", "'unsafe-inline'"):
        head = f"GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nX-Forwarded-Host: {host}\r\n\r\n"
        answer = await exchange(dashboard.address, head.encode())
        assert answer.status in {200, 400}
        assert "evil" not in str(answer)
        assert "unsafe-inline" not in str(answer)


@alone
async def test_the_dashboard_is_loaded_however_much_was_asked_already(tmp_path: Path) -> None:
    bundle, url = Bundle(small_bundle(tmp_path)), f"sqlite:///{tmp_path / 'test.db'}"
    async with furnished_server(url, tmp_path, bundle=bundle, server={"requests_per_minute": 3}) as server:
        for _ in range(20):
            for path in ("/", SCRIPT):
                assert (await call(server, "GET", path, headers=OPENS)).status == 200
        token = server.plant.tokens[Role.VIEWER]
        asked = [(await call(server, "GET", f"{API}/events", token)).status for _ in range(5)]
        assert (asked[0], asked[-1]) == (200, 429)
        assert (await call(server, "GET", "/", headers=OPENS)).status == 200


@alone
async def test_a_server_without_a_dashboard_says_how_one_is_made(tmp_path: Path) -> None:
    bundle, url = Bundle(tmp_path / "static"), f"sqlite:///{tmp_path / 'test.db'}"
    async with furnished_server(url, tmp_path, bundle=bundle) as server:
        for path in ("/", "/live"):
            reply = await call(server, "GET", path, headers=OPENS)
            assert (reply.status, reply.detail) == (404, NOT_BUILT)
            assert "make dashboard" in reply.detail
        for path in (SCRIPT, "/index.html", "/favicon.ico"):
            reply = await call(server, "GET", path, headers=OPENS)
            assert (reply.status, reply.detail) == (404, "Not Found")
        assert (await call(server, "GET", "/health")).status == 200


# -- the one that is delivered ---------------------------------------------------------------------------------------


@alone
async def test_the_page_that_is_delivered_has_all_that_it_names_and_nothing_inline(tmp_path: Path) -> None:
    require_dashboard()
    files = [path for path in DIRECTORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    async with furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as server:
        answer = await exchange(server.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        page = answer.body.decode()
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert [one for one in named if one.endswith(".js")]
        for path in named:
            reply = await get(server, path)
            assert (path, reply.status) == (path, 200)
        assert not re.search(r"<script(?![^>]* src=)|<style| style=|\son\w+=|javascript:", page)
        for path in files:
            reply = await get(server, f"/{path.relative_to(DIRECTORY).as_posix()}")
            assert (path, reply.status) == (path, 200)
            assert reply.headers["Content-Type"] != "application/octet-stream"
