"""Who is let in on the sockets, and with which words the others are refused.

WebSocket API, "Authentication"; protocol decisions, "Authentication (both sockets)".
"""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import WSServerHandshakeError

from tests.plant import SECRET, Server, now_us
from tests.rawsocket import RawSocket
from tests.wire import GONE, SOCKETS, STREAM, TELEMETRY, acknowledged, claims_of, connect, heard, refusal, signed
from webmacs.auth import api_token_digest, new_api_token
from webmacs.model import Role
from webmacs.storage import accounts

pytestmark = pytest.mark.asyncio(loop_scope="module")

on_both_sockets = pytest.mark.parametrize("path", SOCKETS)


async def let_in(server: Server, socket: aiohttp.ClientWebSocketResponse, path: str) -> None:
    """Check that the client is in: it is answered."""
    if path == STREAM:
        assert (await heard(socket))["type"] == "connected"
    else:
        batch = {"datapoints": [server.reading()], "batch_id": f"let in {now_us()}"}
        assert (await acknowledged(socket, batch))["accepted"] == 1
    await socket.close()


# -- which credentials there are -------------------------------------------------------------------------------


@on_both_sockets
async def test_a_jwt_as_query_parameter(shared: Server, path: str) -> None:
    jwt = await shared.login(Role.OPERATOR)
    await let_in(shared, await connect(shared, path, jwt), path)


@on_both_sockets
async def test_an_api_token_as_query_parameter(shared: Server, path: str) -> None:
    await let_in(shared, await connect(shared, path, shared.plant.tokens[Role.OPERATOR]), path)


@on_both_sockets
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_bearer_header_on_the_upgrade_request(shared: Server, path: str, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {shared.plant.tokens[Role.OPERATOR]}"}
    await let_in(shared, await connect(shared, path, headers=headers), path)


@on_both_sockets
async def test_an_empty_query_parameter_leaves_the_word_to_the_header(shared: Server, path: str) -> None:
    headers = {"Authorization": f"Bearer {shared.plant.tokens[Role.OPERATOR]}"}
    await let_in(shared, await connect(shared, path, "", headers=headers), path)


@on_both_sockets
async def test_the_query_parameter_comes_before_the_header(shared: Server, path: str) -> None:
    headers = {"Authorization": f"Bearer {shared.plant.tokens[Role.OPERATOR]}"}
    assert await refusal(shared, path, "nonsense", headers=headers) == (1008, "Invalid or expired token")


# -- the reasons -----------------------------------------------------------------------------------------------


@on_both_sockets
async def test_no_token(shared: Server, path: str) -> None:
    assert await refusal(shared, path) == (1008, "Authentication required")


@on_both_sockets
async def test_an_empty_token(shared: Server, path: str) -> None:
    assert await refusal(shared, path, "") == (1008, "Authentication required")


@on_both_sockets
@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer ", "nonsense"])
async def test_a_header_that_bears_nothing(shared: Server, path: str, header: str) -> None:
    assert await refusal(shared, path, headers={"Authorization": header}) == (1008, "Authentication required")


@pytest.mark.promise("B8")
@on_both_sockets
@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "wm_unknown", "x" * 9_000, "wm_" + "x" * 9_000, "\x00", "ü"])
async def test_a_token_that_is_not_ours(shared: Server, path: str, token: str) -> None:
    assert await refusal(shared, path, token) == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@on_both_sockets
@pytest.mark.parametrize("spelling", ["%ED%A0%80", "%FF%FE", "%00", "%", "wm_%ED%A0%80", "%F0%9F"])
async def test_a_token_that_is_no_text(shared: Server, path: str, spelling: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        assert (await raw.upgrade(f"{path}?token={spelling}")).status == 101
        assert await raw.closing() == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@on_both_sockets
async def test_a_header_that_is_no_text(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        assert (await raw.upgrade(path, "Authorization: Bearer \udcff\udcfe")).status == 101
        assert await raw.closing() == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_bad_signature(shared: Server, path: str) -> None:
    token = signed(claims_of(shared, (await shared.newcomer()).public_id), SECRET[::-1])
    assert await refusal(shared, path, token) == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_wrong_algorithm(shared: Server, path: str) -> None:
    claims = claims_of(shared, (await shared.newcomer()).public_id)
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + signed(claims).split(".")[1] + "."
    assert await refusal(shared, path, unsigned) == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@pytest.mark.promise("S2")
@on_both_sockets
@pytest.mark.parametrize("claim", ["sub", "jti", "sv", "iat", "exp"])
async def test_a_missing_claim(shared: Server, path: str, claim: str) -> None:
    claims = claims_of(shared, (await shared.newcomer()).public_id, **{claim: GONE})
    assert await refusal(shared, path, signed(claims)) == (1008, "Invalid or expired token")


@pytest.mark.promise("B8")
@on_both_sockets
@pytest.mark.parametrize("exp", [0, 1, 1e308])
async def test_an_expired_jwt_and_one_that_never_would(shared: Server, path: str, exp: float) -> None:
    token = signed(claims_of(shared, (await shared.newcomer()).public_id, exp=exp))
    assert await refusal(shared, path, token) == (1008, "Invalid or expired token")


@on_both_sockets
async def test_an_expired_api_token(shared: Server, path: str) -> None:
    owner, text = await shared.newcomer(), new_api_token()
    await accounts.add_token(
        shared.parts.storage,
        user_id=owner.id,
        name="old",
        digest=api_token_digest(text),
        expires_us=now_us() - 1,
        now_us=now_us(),
    )
    await shared.parts.catalog.reload()
    assert await refusal(shared, path, text) == (1008, "Invalid or expired token")


@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_session_that_was_logged_out(shared: Server, path: str) -> None:
    jwt = await shared.login(Role.OPERATOR)
    logout = f"{shared.address}/api/v1/auth/logout"
    async with shared.client.post(logout, headers={"Authorization": f"Bearer {jwt}"}) as response:
        assert response.status == 200
    assert await refusal(shared, path, jwt) == (1008, "Token has been revoked")


@pytest.mark.promise("S2")
@on_both_sockets
async def test_a_session_of_before_the_password_was_changed(shared: Server, path: str) -> None:
    owner = await shared.newcomer()
    await accounts.set_password(shared.parts.storage, owner.id, "another hash")
    await shared.parts.catalog.reload()
    assert await refusal(shared, path, owner.jwt) == (1008, "Token has been revoked")


@pytest.mark.promise("B8")
@on_both_sockets
async def test_a_user_who_was_deleted_after_the_token_was_issued(shared: Server, path: str) -> None:
    owner = await shared.newcomer()
    await accounts.remove_user(shared.parts.storage, owner.id)
    await shared.parts.catalog.reload()
    assert await refusal(shared, path, owner.jwt) == (1008, "User not found")
    assert await refusal(shared, path, owner.api_token) == (1008, "Invalid or expired token")  # it went with the user


@on_both_sockets
async def test_expired_comes_before_revoked_and_revoked_before_not_found(shared: Server, path: str) -> None:
    nobody = claims_of(shared, "nobody")
    await accounts.revoke(shared.parts.storage, nobody["jti"], now_us() + 10**9, now_us())
    await shared.parts.catalog.reload()
    assert await refusal(shared, path, signed(nobody | {"exp": 1})) == (1008, "Invalid or expired token")
    assert await refusal(shared, path, signed(nobody)) == (1008, "Token has been revoked")
    assert await refusal(shared, path, signed(nobody | {"jti": "another"})) == (1008, "User not found")


# -- roles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
async def test_operators_and_administrators_may_send_telemetry(shared: Server, role: Role) -> None:
    await let_in(shared, await shared.telemetry(role), TELEMETRY)


@pytest.mark.parametrize("role", Role)
async def test_every_role_may_watch_the_stream(shared: Server, role: Role) -> None:
    await (await shared.stream(role)).close()


@pytest.mark.promise("S3")
async def test_a_viewer_may_not_send_telemetry(shared: Server) -> None:
    token = shared.plant.tokens[Role.VIEWER]
    assert await refusal(shared, TELEMETRY, token) == (1008, "Insufficient permissions")


@pytest.mark.promise("S3")
async def test_nothing_is_taken_from_one_who_is_refused(shared: Server) -> None:
    before = await shared.parts.storage.count()
    socket = await connect(shared, TELEMETRY, shared.plant.tokens[Role.VIEWER])
    await socket.send_json({"datapoints": [shared.reading()]})
    assert (await socket.receive(timeout=5)).data == 1008
    await let_in(shared, await shared.telemetry(), TELEMETRY)  # whatever was taken has been stored by then
    assert await shared.parts.storage.count() == before + 1


# -- origins ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("S7")
@on_both_sockets
@pytest.mark.parametrize("origin", ["http://evil.example.org", "null", "", "http://127.0.0.1.evil.org"])
async def test_a_page_of_a_foreign_origin_is_refused_before_the_upgrade(shared: Server, path: str, origin: str) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await connect(shared, path, shared.plant.tokens[Role.OPERATOR], headers={"Origin": origin})
    assert refused.value.status == 403


@on_both_sockets
async def test_that_refusal_is_json(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        raw.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nUpgrade: websocket\r\n\r\n".encode())
        assert (await raw.answer()).json() == {"detail": "Origin not allowed"}


@on_both_sockets
@pytest.mark.parametrize("origin", ["http://127.0.0.1", "https://127.0.0.1:3000"])
async def test_host_names_are_compared_without_the_port(shared: Server, path: str, origin: str) -> None:
    token = shared.plant.tokens[Role.OPERATOR]
    await let_in(shared, await connect(shared, path, token, headers={"Origin": origin}), path)


@on_both_sockets
async def test_a_proxy_may_drop_the_port_from_the_host(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        answer = await raw.upgrade(path, "Host: lab.example.org", "Origin: http://lab.example.org:8080")
        assert answer.status == 101


@on_both_sockets
async def test_a_header_that_is_no_text_is_a_foreign_origin(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        assert (await raw.upgrade(path, "Origin: http://\udcff")).status == 403


@on_both_sockets
async def test_who_is_no_browser_needs_no_origin(shared: Server, path: str) -> None:
    async with await RawSocket.connect(shared.address) as raw:
        assert (await raw.upgrade(path)).status == 101
