"""What an API token is good for: to send readings, to look, or all that its owner may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.handlers.rest import API, alone, everything, rest
from tests.handlers.test_http import BATCH, DATAPOINTS, EVENTS, IN_A_SESSION, LATEST, NOBODY, ROUTES, STATUSES
from tests.plant import Newcomer, Server, now_us
from tests.wire import SOCKETS, STREAM, TELEMETRY, Reply, acknowledged, call, connect, ending, history, refusal
from webmacs.auth import api_token_digest, new_api_token
from webmacs.model import Role, Scalar, Scope, Write
from webmacs.storage import accounts, plugins, records

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS, SERIES, UNLINKED = f"{API}/tokens", f"{API}/datapoints/series", f"{API}/events/unlinked"
INSUFFICIENT = "Insufficient permissions"
PLUGINS = f"{API}/plugins"
SENDING = {("POST", DATAPOINTS), ("POST", BATCH), ("POST", STATUSES)}
LOOKING = {("POST", SERIES)}  # which asks with a body
OWN = {  # what a token may look at that is bound to a plugin instance, of that instance
    ("GET", path) for path in (PLUGINS, f"{PLUGINS}/{NOBODY}", f"{PLUGINS}/{NOBODY}/channels", EVENTS, LATEST)
}


async def add(server: Server, somebody: Newcomer, **body: object) -> Reply:
    """A new token of somebody's own."""
    return await call(server, "POST", TOKENS, somebody.jwt, json={"name": "scoped", **body})


async def token(server: Server, scope: Scope, role: Role = Role.ADMIN, **body: object) -> str:
    """The text of a new token."""
    reply = await add(server, await server.newcomer(role), scope=scope, **body)
    assert reply.status == 201, reply
    text: str = reply.body["token"]
    return text


async def another_instance(server: Server) -> tuple[str, str]:
    """A plugin instance beside the plant's, with one channel: its public id, and that of the event."""
    storage = server.parts.storage
    name = f"Other rig {now_us()}"
    plugin = await plugins.add_plugin(storage, plugin_id="test", instance_name=name, now_us=now_us())
    event = await records.add_event(storage, name=f"{name} 0", unit="V", now_us=now_us())
    await plugins.add_channel(
        storage, plugin=plugin, channel_id="in0", channel_name="In 0", unit="V", event=event, now_us=now_us()
    )
    await server.parts.catalog.reload()
    return plugin, event


# -- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S3")
@pytest.mark.parametrize(("scope", "bound"), [*((scope, False) for scope in Scope), (Scope.INGEST, True)])
async def test_each_route_is_open_to_the_tokens_of_its_scopes(shared: Server, scope: Scope, bound: bool) -> None:
    more: Any = {"plugin_public_id": shared.plant.plugin} if bound else {}
    text = await token(shared, scope, **more)
    for method, path, needs in ROUTES:
        reply = await call(shared, method, path, text)
        open_to = {
            Scope.FULL: True,
            Scope.READ: method == "GET" or (method, path) in LOOKING,
            Scope.INGEST: (method, path) in SENDING or (bound and (method, path) in OWN),
        }
        if needs is None or open_to[scope]:
            assert reply.status not in {401, 403}, (method, path)
        else:
            assert (reply.status, reply.detail) == (403, INSUFFICIENT), (method, path)
    for method, path in IN_A_SESSION:
        reply = await call(shared, method, path, text)
        assert (reply.status, reply.detail) == (403, INSUFFICIENT)


@pytest.mark.promise("S3")
async def test_a_scope_gives_nothing_that_the_owner_has_not(shared: Server) -> None:
    reading, sending = [await token(shared, scope, Role.VIEWER) for scope in (Scope.READ, Scope.INGEST)]
    assert (await call(shared, "GET", f"{API}/webhooks", reading)).status == 403
    assert (await call(shared, "POST", BATCH, sending, json={"datapoints": []})).status == 403
    assert await refusal(shared, TELEMETRY, sending) == (1008, INSUFFICIENT)


async def test_the_document_says_which_tokens_each_route_is_open_to(shared: Server) -> None:
    paths = (await call(shared, "GET", "/openapi.json")).body["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            scopes = ["full"] if method != "get" else ["read", "full"]
            if (method.upper(), path) in SENDING:
                scopes = ["ingest", "full"]
            if (method.upper(), path) in LOOKING:
                scopes = ["read", "full"]
            if (method.upper(), path.replace("{public_id}", NOBODY)) in OWN:
                scopes = ["ingest", "read", "full"]
            assert operation.get("x-scopes") == (scopes if "x-role" in operation else None), (method, path)


# -- sockets ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S3")
async def test_each_socket_is_open_to_the_tokens_of_its_scope(shared: Server) -> None:
    opened_by = {TELEMETRY: {Scope.INGEST, Scope.FULL}, STREAM: {Scope.READ, Scope.FULL}}
    for path in SOCKETS:
        for scope in Scope:
            text = await token(shared, scope)
            if scope in opened_by[path]:
                socket = await connect(shared, path, text)
                if path == TELEMETRY:
                    assert (await acknowledged(socket, {"datapoints": [shared.reading()], "batch_id": text[:64]}))[
                        "accepted"
                    ] == 1
                await socket.close()
            else:
                assert await refusal(shared, path, text) == (1008, INSUFFICIENT)


@alone
@pytest.mark.parametrize("path", SOCKETS)
async def test_a_live_socket_ends_when_its_token_loses_the_scope(server: Server, path: str) -> None:
    owner = await server.newcomer()
    socket = await connect(server, path, owner.api_token)
    other = Scope.READ if path == TELEMETRY else Scope.INGEST
    await server.parts.storage.write(
        Write("UPDATE api_tokens SET scope = :scope WHERE user_id = :id", ({"scope": other.value, "id": owner.id},))
    )
    await server.parts.catalog.reload()
    assert await ending(socket) == (1008, INSUFFICIENT)


@alone
async def test_with_its_plugin_instance_a_token_goes_and_its_sockets_are_closed(server: Server) -> None:
    plugin, _ = await another_instance(server)
    text = await token(server, Scope.INGEST, plugin_public_id=plugin)
    socket = await connect(server, TELEMETRY, text)
    tokens = len(await everything(server, TOKENS))
    assert (await rest(server, "DELETE", f"{API}/plugins/{plugin}")).status == 200
    assert await ending(socket) == (1008, "Token has been revoked")
    assert len(await everything(server, TOKENS)) == tokens - 1
    assert (await call(server, "POST", BATCH, text, json={"datapoints": []})).status == 401


@alone
async def test_a_live_socket_ends_when_its_token_is_bound_to_something_else(server: Server) -> None:
    owner = await server.newcomer()
    socket = await connect(server, TELEMETRY, owner.api_token)
    await server.parts.storage.write(
        Write(
            "UPDATE api_tokens SET plugin_id = (SELECT min(id) FROM plugins) WHERE user_id = :id", ({"id": owner.id},)
        )
    )
    await server.parts.catalog.reload()
    assert await ending(socket) == (1008, "Token has been revoked")


# -- bound to a plugin instance --------------------------------------------------------------------------------------


@pytest.mark.promise("S3")
@alone
async def test_a_bound_token_sends_the_readings_of_its_plugin_instance_alone(server: Server) -> None:
    plugin, event = await another_instance(server)
    text = await token(server, Scope.INGEST, plugin_public_id=plugin)
    own = {"value": 1.0, "event_public_id": event}
    strange: Any = {"value": 1.0, "event_public_id": "nobody"}
    batch = {"datapoints": [own, server.reading(2.0), strange]}
    numbers = {"accepted": 1, "rejected": 2, "invalid": 0, "unlinked": 2, "skewed": 0}

    socket = await connect(server, TELEMETRY, text)
    assert await acknowledged(socket, {**batch, "batch_id": "socket"}) == {
        "type": "ack",
        "batch_id": "socket",
        **numbers,
    }
    reply = await call(server, "POST", BATCH, text, json={**batch, "batch_id": "http"})
    assert (reply.status, reply.body["message"]) == (201, "1 datapoint accepted")
    assert {name: reply.body[name] for name in numbers} == numbers
    assert await history(server) == []

    # An event that is linked to somebody else is no event that is linked to nothing.
    listed = (await rest(server, "GET", UNLINKED)).body
    assert [(entry["event_public_id"], entry["count"]) for entry in listed] == [("nobody", 2)]

    assert (await call(server, "POST", DATAPOINTS, text, json=own)).status == 201
    reply = await call(server, "POST", DATAPOINTS, text, json=server.reading())
    assert reply.status == 409
    assert "the plugin instance of this token" in reply.detail
    assert (await call(server, "POST", DATAPOINTS, text, json=strange)).status == 404

    await plugins.enable_plugin(server.parts.storage, plugin, enabled=False)
    await server.parts.catalog.reload()
    disabled = await acknowledged(socket, {"datapoints": [own], "batch_id": "disabled"})
    assert (disabled["accepted"], disabled["unlinked"]) == (0, 1)


@pytest.mark.promise("S3")
@alone
async def test_a_bound_token_sees_its_plugin_instance_and_no_other(server: Server) -> None:
    """So much a controller needs that has nothing else: which instance it is, how it is set up, its events."""
    plugin, event = await another_instance(server)
    storage = server.parts.storage
    await plugins.change_plugin(storage, plugin, config_json='{"port": 502}')
    await plugins.change_plugin(storage, server.plant.plugin, config_json='{"password": "CANARY"}')
    await server.parts.catalog.reload()
    text = await token(server, Scope.INGEST, plugin_public_id=plugin)
    batch = {"datapoints": [server.reading(2.0), {"value": 1.0, "event_public_id": event}]}
    assert (await rest(server, "POST", BATCH, batch)).status == 201

    listed = (await call(server, "GET", PLUGINS, text)).body
    assert (listed["total"], [one["public_id"] for one in listed["data"]]) == (1, [plugin])
    assert listed["data"][0]["config_json"] == '{"port": 502}'
    assert (await call(server, "GET", f"{PLUGINS}/{plugin}", text)).body == listed["data"][0]
    channels = (await call(server, "GET", f"{PLUGINS}/{plugin}/channels", text)).body
    assert channels == listed["data"][0]["channel_mappings"]
    events = (await call(server, "GET", EVENTS, text)).body
    assert (events["total"], [one["public_id"] for one in events["data"]]) == (1, [event])
    latest = (await call(server, "GET", LATEST, text)).body
    assert [(point["event_public_id"], point["value"]) for point in latest] == [(event, 1.0)]

    for path in ("", "/channels"):
        strange = await call(server, "GET", f"{PLUGINS}/{server.plant.plugin}{path}", text)
        assert (strange.status, strange.detail) == (404, f"there is no plugin instance {server.plant.plugin}")

    # It is still its own when it is switched off: that is how its controller comes to know.
    await plugins.enable_plugin(storage, plugin, enabled=False)
    await server.parts.catalog.reload()
    assert (await call(server, "GET", PLUGINS, text)).body["data"][0]["enabled"] is False
    assert (await call(server, "GET", EVENTS, text)).body["total"] == 1


@pytest.mark.promise("S1")
async def test_a_bound_token_of_a_viewer_shows_no_configuration(shared: Server) -> None:
    plugin, _ = await another_instance(shared)
    await plugins.change_plugin(shared.parts.storage, plugin, config_json='{"password": "CANARY"}')
    await shared.parts.catalog.reload()
    text = await token(shared, Scope.INGEST, Role.VIEWER, plugin_public_id=plugin)
    assert (await call(shared, "GET", f"{PLUGINS}/{plugin}", text)).body["config_json"] is None


# -- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", Scope)
async def test_the_scope_and_the_instance_of_a_token_are_shown(shared: Server, scope: Scope) -> None:
    me = await shared.newcomer(Role.VIEWER)
    bound = {"plugin_public_id": shared.plant.plugin} if scope is Scope.INGEST else {}
    shown = {"scope": scope.value, "plugin_public_id": bound.get("plugin_public_id")}
    made = (await add(shared, me, scope=scope, **bound)).body
    assert {name: made[name] for name in shown} == shown
    listed = (await call(shared, "GET", TOKENS, me.jwt)).body["data"][0]
    assert {name: listed[name] for name in shown} == shown


async def test_what_is_no_scope_or_no_instance_is_refused(shared: Server) -> None:
    me = await shared.newcomer(Role.VIEWER)
    for body, status, text in (
        ({"scope": "write"}, 422, "scope"),
        ({"scope": None}, 422, "scope"),
        ({"scope": "ingest", "plugin_public_id": 1}, 422, "plugin_public_id"),
        ({"scope": "read", "plugin_public_id": shared.plant.plugin}, 422, "only a token of scope ingest"),
        ({"plugin_public_id": "nobody"}, 422, "only a token of scope ingest"),
        ({"scope": "ingest", "plugin_public_id": "nobody"}, 404, "there is no plugin instance nobody"),
        ({"scope": "ingest", "plugin_public_id": "\x00"}, 404, "there is no plugin instance"),
    ):
        reply = await add(shared, me, **body)
        assert reply.status == status, (body, reply)
        assert text in reply.detail
    assert (await call(shared, "GET", TOKENS, me.jwt)).body["total"] == 1


@alone
async def test_an_instance_that_goes_at_the_same_moment_is_not_found(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, _ = await another_instance(server)
    add_token = accounts.add_token

    async def too_late(*arguments: Any, **more: Any) -> str:
        await plugins.remove_plugin(server.parts.storage, plugin)
        return await add_token(*arguments, **more)

    monkeypatch.setattr(accounts, "add_token", too_late)
    reply = await add(server, me := await newcomer(server), scope="ingest", plugin_public_id=plugin)
    assert (reply.status, reply.detail) == (404, f"there is no plugin instance {plugin}")
    assert (await call(server, "GET", TOKENS, me.jwt)).body["total"] == 0


async def newcomer(server: Server) -> Newcomer:
    """Somebody without an API token."""
    somebody = await server.newcomer()
    await accounts.remove_token(server.parts.storage, somebody.api_token_id)
    await server.parts.catalog.reload()
    return somebody


async def test_a_token_that_was_made_before_there_were_scopes_is_good_for_everything(shared: Server) -> None:
    me, text = await shared.newcomer(), new_api_token()
    row: dict[str, Scalar] = {"digest": api_token_digest(text), "user_id": me.id, "now_us": now_us()}
    await shared.parts.storage.write(
        Write(
            "INSERT INTO api_tokens (public_id, name, digest, user_id, created_us)"
            " VALUES (:digest, 'old', :digest, :user_id, :now_us)",
            (row,),
        )
    )
    await shared.parts.catalog.reload()
    assert (await call(shared, "POST", BATCH, text, json={"datapoints": []})).status == 201
    assert (await call(shared, "GET", TOKENS, text)).body["data"][0]["scope"] == "full"
