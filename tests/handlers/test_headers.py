"""What every answer says to a browser: show it alone, run nothing in it, hand it to nobody, keep nothing of it."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.handlers.test_http import every_route
from tests.plant import Server
from tests.rawsocket import Answer, RawSocket, exchange
from tests.wire import SOCKETS, STREAM, call
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("S7")]

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "server": "WebMACS",
}
ORIGIN = "https://evil.example.org"


def guarded(headers: dict[str, str]) -> None:
    """Nothing is missing, and nothing says more than it should."""
    lower = {name.lower(): value for name, value in headers.items()}
    assert {name: lower.get(name) for name in HEADERS} == HEADERS
    policy = lower["content-security-policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    for directive in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
        assert directive in policy.split("; ")
    assert not [name for name in lower if name.startswith("access-control-")]
    assert "set-cookie" not in lower  # there is nothing that a browser would send along by itself


@every_route
@pytest.mark.parametrize("role", [None, Role.ADMIN])
async def test_every_answer_of_every_route(shared: Server, method: str, path: str, role: Role | None) -> None:
    token = role and shared.plant.tokens[role]
    reply = await call(shared, method, path, token, headers={"Origin": ORIGIN})
    guarded(reply.headers)


ELSEWHERE = {
    "nowhere": b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
    "static files": b"GET /assets/index.js HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method that is not offered": b"DELETE /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "a preflight": b"OPTIONS /api/v1/events HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example.org\r\n"
    b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n",
    "no HTTP": b"nonsense\r\n\r\n",
    "an expectation": b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n",
    "a body that is too large": b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000000\r\n\r\n" + b"x" * 2_000_000,
    "no handshake": f"GET {STREAM} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "an old handshake": f"GET {STREAM} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n".encode(),
    "a handshake of a foreign page": f"GET {STREAM} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"
    f"Origin: {ORIGIN}\r\n\r\n".encode(),
}


@pytest.mark.parametrize("request_", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_what_is_no_route_or_no_request(shared: Server, request_: bytes) -> None:
    answer = await exchange(shared.address, request_)
    assert answer.status >= 400
    guarded(answer.headers)


@pytest.mark.parametrize("path", SOCKETS)
async def test_the_upgrade_itself(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        answer = await raw.upgrade(f"{path}?token={shared.plant.tokens[Role.OPERATOR]}")
        assert answer.status == 101
        guarded(answer.headers)


async def test_a_fault_of_ours(shared: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bytes:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(shared.parts.metrics, "text", broken)
    reply = await call(shared, "GET", "/metrics", shared.plant.tokens[Role.VIEWER])
    assert reply.status == 500
    guarded(reply.headers)


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
async def test_the_one_page_has_its_style_allowed_by_its_hash_and_nothing_else(shared: Server, path: str) -> None:
    answer: Answer = await exchange(shared.address, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    page = answer.body.decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert allowed in answer.headers["content-security-policy"].split("; ")
    for refused in ("<script", "<iframe", "<img", "<link", "<form", " style=", "javascript:", " src=", "http://", "//"):
        assert refused not in page.replace(style, ""), refused
    assert not re.search(r"\son\w+=", page)


async def test_no_page_of_another_origin_is_let_in_by_what_it_says_of_its_host(shared: Server) -> None:
    """`Host` decides nothing but whether a page is one of ours; no answer repeats it, and no link is made of it."""
    for host in (
        "evil.example.org",
        "127.0.0.1@evil.example.org",
        "evil.example.org\\@127.0.0.1",
        "a b",
        "[",
        "x" * 9000,
    ):
        for extra in ("", "X-Forwarded-Host: evil.example.org\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil\r\n"):
            for path in ("/health", "/docs", "/openapi.json", "/nowhere", "/api/v1/events"):
                request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode()
                answer = await exchange(shared.address, request)
                assert answer.status in {200, 400, 401, 404}
                assert "location" not in answer.headers
                assert "evil" not in str(answer)
