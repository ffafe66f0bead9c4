"""`/webhooks` and their deliveries, row by row."""

from __future__ import annotations

import re
import uuid

import pytest

from tests.handlers.rest import API, TIMESTAMP, WEBHOOKS, alone, changed, everything, made, posted, rest, shown, told
from tests.plant import Server
from webmacs.model import Role
from webmacs.storage import webhooks

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "tell nobody"


async def secret_of(server: Server, public_id: str) -> str | None:
    return (await webhooks.webhook(server.parts.storage, public_id)).secret


async def test_a_webhook_is_added_shown_changed_and_removed(shared: Server) -> None:
    body = {**WEBHOOKS.body(shared), "secret": SECRET, "enabled": False}
    reply = await rest(shared, "POST", WEBHOOKS.path, body)
    assert (reply.status, reply.body) == (201, {"status": "success", "message": "webhook added"})
    webhook = (await everything(shared, WEBHOOKS.path))[-1]
    assert re.fullmatch(TIMESTAMP, webhook["created_on"])
    assert webhook == {
        "public_id": webhook["public_id"],
        "url": body["url"],
        "events": ["sensor.reading"],
        "enabled": False,
        "created_on": webhook["created_on"],
        "user_public_id": (await rest(shared, "GET", f"{API}/auth/me")).body["public_id"],
    }
    path = f"{WEBHOOKS.path}/{webhook['public_id']}"
    reply = await rest(shared, "PUT", path, {"enabled": True})
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "webhook changed"})
    assert (await rest(shared, "GET", path)).body == {**webhook, "enabled": True}
    reply = await rest(shared, "DELETE", path)
    assert (reply.status, reply.body) == (200, {"status": "success", "message": "webhook removed"})
    for method, where, sent in (
        ("GET", path, None),
        ("PUT", path, {}),
        ("DELETE", path, None),
        ("GET", f"{path}/deliveries", None),
    ):
        reply = await rest(shared, method, where, sent)
        assert (reply.status, reply.detail) == (404, f"there is no webhook {webhook['public_id']}")


CHANGES = [
    {"url": "https://example.org/other?a=1#b"},
    {"events": ["experiment.started", "experiment_stopped"]},
    {"events": []},
    {"enabled": False},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_each_field_changes_alone(shared: Server, change: dict[str, object]) -> None:
    webhook = await made(shared, WEBHOOKS, secret=SECRET)
    assert await changed(shared, WEBHOOKS, webhook["public_id"], change) == {**webhook, **change}
    assert await secret_of(shared, webhook["public_id"]) == SECRET
    assert (await rest(shared, "DELETE", f"{WEBHOOKS.path}/{webhook['public_id']}")).status == 200


EVENTS = [
    "sensor.threshold_exceeded",
    "sensor.reading",
    "experiment.started",
    "experiment.stopped",
    "system.health_changed",
    "sensor_threshold_exceeded",
    "sensor_reading",
]


@pytest.mark.parametrize("event", EVENTS)
async def test_every_event_there_is_in_either_spelling(shared: Server, event: str) -> None:
    assert (await made(shared, WEBHOOKS, events=[event]))["events"] == [event]


async def test_a_new_webhook_wants_to_hear_of_something(shared: Server) -> None:
    reply = await rest(shared, "POST", WEBHOOKS.path, {**WEBHOOKS.body(shared), "events": []})
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "events")


BAD_URLS = ["example.org", "ftp://example.org", "//example.org", "http://", "https:///a", "http://a b", "http://[::1"]


@pytest.mark.parametrize("url", [*BAD_URLS, "javascript:alert(1)", "http://a:99999999", "HTTP:a", " http://a"])
async def test_what_cannot_be_called_is_422(shared: Server, url: str) -> None:
    webhook = await made(shared, WEBHOOKS)
    replies = [
        await rest(shared, "POST", WEBHOOKS.path, {**WEBHOOKS.body(shared), "url": url}),
        await rest(shared, "PUT", f"{WEBHOOKS.path}/{webhook['public_id']}", {"url": url}),
    ]
    assert [(reply.status, reply.detail.partition(":")[0]) for reply in replies] == [(422, "url")] * 2


@pytest.mark.parametrize("url", ["http://{}", "https://{}:8443/a?b=c#d", "http://[::1]:9/{}", "https://{}.example/ü"])
async def test_what_can_be_called(shared: Server, url: str) -> None:
    place = url.format(f"h{uuid.uuid4().hex}")
    assert (await made(shared, WEBHOOKS, url=place))["url"] == place


async def test_a_secret_is_kept_unless_it_is_changed_and_never_shown(shared: Server) -> None:
    webhook = await made(shared, WEBHOOKS, secret=SECRET)
    public_id = webhook["public_id"]
    kept = []
    for change in ({"enabled": True}, {"secret": "another"}, {"secret": None}, {"secret": "third"}, {"secret": ""}):
        assert await changed(shared, WEBHOOKS, public_id, change) == webhook
        kept.append(await secret_of(shared, public_id))
    assert kept == [SECRET, "another", None, "third", None]
    assert all("secret" not in item for item in await everything(shared, WEBHOOKS.path))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_webhooks_are_for_administrators_alone(shared: Server, role: Role) -> None:
    webhook = await made(shared, WEBHOOKS)
    path = f"{WEBHOOKS.path}/{webhook['public_id']}"
    for where in (WEBHOOKS.path, path, f"{path}/deliveries"):
        reply = await rest(shared, "GET", where, role=role)
        assert (reply.status, reply.detail) == (403, "Insufficient permissions")


async def test_without_deliveries_the_list_is_empty(shared: Server) -> None:
    webhook = await made(shared, WEBHOOKS)
    reply = await rest(shared, "GET", f"{WEBHOOKS.path}/{webhook['public_id']}/deliveries")
    assert (reply.status, reply.body) == (200, {"page": 1, "page_size": 25, "total": 0, "data": []})


@pytest.mark.parametrize("status", ["failed", "nothing", "", "PENDING", "%00", "null"])
async def test_a_status_that_deliveries_do_not_have_is_422(shared: Server, status: str) -> None:
    webhook = await made(shared, WEBHOOKS)
    reply = await rest(shared, "GET", f"{WEBHOOKS.path}/{webhook['public_id']}/deliveries?status={status}")
    assert (reply.status, reply.detail.partition(":")[0]) == (422, "status")


@alone
async def test_deliveries_are_shown_the_newest_first_by_status_without_what_they_say(server: Server) -> None:
    webhook = await made(server, WEBHOOKS, secret=SECRET)
    for number in range(3):
        await posted(server, float(number), event=number)
    found = await told(server, webhook["public_id"])
    assert len(found) == 3
    for delivery in found:
        assert set(delivery) == {
            *("public_id", "event_type", "status", "attempts", "last_error", "response_code", "created_on"),
            "delivered_on",
        }
        assert re.fullmatch(TIMESTAMP, delivery["created_on"])
        assert (delivery["event_type"], delivery["delivered_on"]) == ("sensor.reading", None)
    assert [item["created_on"] for item in found] == sorted((item["created_on"] for item in found), reverse=True)
    path = f"{WEBHOOKS.path}/{webhook['public_id']}/deliveries"
    counts = {
        status: (await rest(server, "GET", f"{path}?status={status}")).body["total"]
        for status in ("pending", "delivered", "dead_letter")
    }
    assert (sum(counts.values()), counts["delivered"]) == (3, 0)
    second = (await rest(server, "GET", f"{path}?page=2&page_size=1")).body
    assert ([item["public_id"] for item in second["data"]], second["total"]) == ([found[1]["public_id"]], 3)


@alone
async def test_a_change_counts_from_the_very_next_reading_on(server: Server) -> None:
    webhook = await made(server, WEBHOOKS)
    path, counts = f"{WEBHOOKS.path}/{webhook['public_id']}", []
    # Each reading is of another event: a receiver hears of one of them at most every few seconds.
    for event, change in enumerate(({}, {"events": ["experiment.started"]}, {"events": ["sensor_reading"]})):
        assert (await rest(server, "PUT", path, change)).status == 200
        await posted(server, 1.0, event)
        counts.append(len(await told(server, webhook["public_id"])))
    assert counts == [1, 1, 2]


@alone
async def test_who_is_switched_off_or_gone_hears_of_nothing(server: Server) -> None:
    off, gone = [await made(server, WEBHOOKS) for _ in range(2)]
    await changed(server, WEBHOOKS, off["public_id"], {"enabled": False})
    await posted(server, 1.0)
    assert await told(server, off["public_id"]) == []
    number = (await webhooks.webhook(server.parts.storage, gone["public_id"])).id
    assert len(await told(server, gone["public_id"])) == 1
    assert (await rest(server, "DELETE", f"{WEBHOOKS.path}/{gone['public_id']}")).status == 200
    await posted(server, 1.0, event=1)
    left = await server.parts.storage.fetch("SELECT count(*) FROM deliveries WHERE webhook_id = :id", id=number)
    assert left == [(0,)]
    assert (await shown(server, WEBHOOKS, off["public_id"]))["enabled"] is False


# -- deliveries that are asked for -------------------------------------------------------------------------------------


async def test_a_test_is_a_delivery_that_waits(shared: Server) -> None:
    webhook = await made(shared, WEBHOOKS, events=["experiment.started"])
    reply = await rest(shared, "POST", f"{WEBHOOKS.path}/{webhook['public_id']}/test")
    delivery = reply.body
    assert reply.status == 201, reply
    assert re.fullmatch(TIMESTAMP, delivery["created_on"])
    assert delivery == {
        "public_id": delivery["public_id"],
        "event_type": "webmacs.test",
        "status": "pending",
        "attempts": 0,
        "last_error": None,
        "response_code": None,
        "created_on": delivery["created_on"],
        "delivered_on": None,
    }
    (listed,) = await told(shared, webhook["public_id"])
    attempted = {key: delivery[key] for key in ("public_id", "event_type", "created_on", "delivered_on")}
    assert {key: listed[key] for key in attempted} == attempted


async def test_who_is_switched_off_or_not_there_is_not_tested(shared: Server) -> None:
    webhook, other = await made(shared, WEBHOOKS, enabled=False), await made(shared, WEBHOOKS)
    reply = await rest(shared, "POST", f"{WEBHOOKS.path}/{webhook['public_id']}/test")
    assert (reply.status, reply.detail) == (409, "the webhook is switched off; switch it on first")
    assert await told(shared, webhook["public_id"]) == await told(shared, other["public_id"]) == []
    reply = await rest(shared, "POST", f"{WEBHOOKS.path}/nothing/test")
    assert (reply.status, reply.detail) == (404, "there is no webhook nothing")


async def test_only_a_delivery_of_the_webhook_is_made_again(shared: Server) -> None:
    webhook, other = await made(shared, WEBHOOKS), await made(shared, WEBHOOKS)
    delivery = (await rest(shared, "POST", f"{WEBHOOKS.path}/{webhook['public_id']}/test")).body["public_id"]
    for where, missing in (
        (f"{other['public_id']}/deliveries/{delivery}", f"there is no delivery {delivery}"),
        (f"{webhook['public_id']}/deliveries/nothing", "there is no delivery nothing"),
        (f"nothing/deliveries/{delivery}", "there is no webhook nothing"),
    ):
        reply = await rest(shared, "POST", f"{WEBHOOKS.path}/{where}/redeliver")
        assert (reply.status, reply.detail) == (404, missing)


async def test_a_delivery_to_one_that_is_switched_off_waits_for_that(shared: Server) -> None:
    webhook = await made(shared, WEBHOOKS)
    path = f"{WEBHOOKS.path}/{webhook['public_id']}"
    delivery = (await rest(shared, "POST", f"{path}/test")).body["public_id"]
    await changed(shared, WEBHOOKS, webhook["public_id"], {"enabled": False})
    reply = await rest(shared, "POST", f"{path}/deliveries/{delivery}/redeliver")
    message = "delivery to be attempted again once the webhook is switched on"
    assert (reply.status, reply.body) == (200, {"status": "success", "message": message})
