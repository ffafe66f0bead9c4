"""Where a proxy stands in front, both have to agree where a request ends: what could be read in two ways is refused.

Else somebody could hide a request of their own in the body of another, and have it answered to the next client of the
proxy, or counted as the proxy's (RFC 9112, sections 6.3 and 11.2).
"""

from __future__ import annotations

import pytest

from tests.plant import Server
from tests.rawsocket import RawSocket
from tests.wire import SOCKETS
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("S9")]

LOGIN = "POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
HIDDEN = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = f"0\r\n\r\n{HIDDEN}"
LENGTH = len(CHUNKED)
TWO_WAYS = {
    "length and chunks": f"Content-Length: {LENGTH}\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "chunks and length": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{CHUNKED}",
    "two lengths": f"Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "the same length twice": f"Content-Length: 0\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a list of lengths": f"Content-Length: 0, {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length with a sign": f"Content-Length: +0\r\n\r\n{HIDDEN}",
    "a length below nothing": f"Content-Length: -1\r\n\r\n{HIDDEN}",
    "a length in another base": f"Content-Length: 0x0\r\n\r\n{HIDDEN}",
    "a length with an underscore": f"Content-Length: 0_0\r\n\r\n{HIDDEN}",
    "a length in other digits": f"Content-Length: \u0660\r\n\r\n{HIDDEN}",
    "a length without an end": f"Content-Length: {'9' * 400}\r\n\r\n{HIDDEN}",
    "a length after a space": f"Content-Length : {LENGTH}\r\n\r\n{CHUNKED}",
    "chunks after a space": f"Transfer-Encoding : chunked\r\n\r\n{CHUNKED}",
    "chunks after a tab": f"Content-Length: {LENGTH}\r\nTransfer-Encoding:\tchunked\r\n\r\n{CHUNKED}",
    "chunks in a folded line": f"Content-Length: {LENGTH}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n{CHUNKED}",
    "chunks that are none": f"Content-Length: {LENGTH}\r\nTransfer-Encoding: xchunked\r\n\r\n{CHUNKED}",
    "chunks in quotes": f'Content-Length: {LENGTH}\r\nTransfer-Encoding: "chunked"\r\n\r\n{CHUNKED}',
    "chunks of another kind": f"Content-Length: {LENGTH}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n{CHUNKED}",
    "chunks that are not the last": f"Transfer-Encoding: chunked, identity\r\n\r\n{CHUNKED}",
    "chunks twice": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}",
    "a header after a lone line feed": f"X-A: a\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{CHUNKED}",
    "a header after a lone return": f"X-A: a\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{CHUNKED}",
    "a NUL in a header": f"X-A: a\x00\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a chunk in another base": f"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{HIDDEN}",
    "a chunk with a sign": f"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{HIDDEN}",
    "a chunk without an end": f"Transfer-Encoding: chunked\r\n\r\n{'F' * 17}\r\n\r\n{HIDDEN}",
    "a chunk that is longer than it says": f"Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n{CHUNKED}",
    "a line feed in a chunk's extension": f"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{CHUNKED}",
}


async def answered(server: Server, request: str) -> bytes:
    """All that is answered: at first, and for a while after that."""
    async with await RawSocket.connect(server.address) as connection:
        connection.write(request.encode())
        found = b""
        while not found and not connection.at_end():
            found += await connection.within(0.05)
        return found + await connection.within(0.1)


@pytest.mark.parametrize("rest", TWO_WAYS.values(), ids=TWO_WAYS.keys())
async def test_a_request_that_could_end_in_two_places(shared: Server, rest: str) -> None:
    found = await answered(shared, LOGIN + rest)
    assert found.split(b" ", 2)[1] == b"400", found
    assert found.count(b"X-Request-ID: ") == 1


@pytest.mark.parametrize("body", [HIDDEN, CHUNKED, "{}"])
async def test_the_body_of_a_request_that_wants_none_is_no_request(shared: Server, body: str) -> None:
    """Of a GET, of one that is refused before its body is looked at, of a route that there is not."""
    for line in ("GET /health", "POST /api/v1/events", "DELETE /api/v1/events/nobody", "POST /nowhere"):
        found = await answered(shared, f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        assert found.count(b"X-Request-ID: ") == 1
        assert b'"openapi"' not in found


@pytest.mark.parametrize("path", SOCKETS)
async def test_what_follows_an_upgrade_is_no_request(shared: Server, path: str) -> None:
    """Neither after one that succeeds, whose bytes are frames from there on, nor before it is complete."""
    async with await RawSocket.connect(shared.address) as raw:
        answer = await raw.upgrade(f"{path}?token={shared.plant.tokens[Role.OPERATOR]}")
        assert answer.status == 101
        raw.write(HIDDEN.encode())
        found = await raw.within(0.5)
    assert b"HTTP/1" not in found
    assert b'"openapi"' not in found


TRAVERSALS = [
    "/../etc/passwd",
    "/docs/../../etc/passwd",
    "/..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..\\..\\etc\\passwd",
    "/docs/..;/openapi.json",
    "//etc/passwd",
    "/.git/config",
    "/webmacs.toml",
    "/webmacs.key",
    "/static/../webmacs.db",
    "/api/v1/events/..%2fusers",
    "/api/v1/events/../users",
]


@pytest.mark.parametrize("path", TRAVERSALS)
async def test_no_path_leads_out_of_the_house_or_around_a_role(shared: Server, path: str) -> None:
    """There are no files to be had; and a viewer comes by no detour to what is for administrators."""
    token = shared.plant.tokens[Role.VIEWER]
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    found = await answered(shared, request)
    assert found.split(b" ", 2)[1] in {b"400", b"403", b"404"}
    assert b"root:" not in found
    assert b"example.org" not in found  # of which every user's address is one
