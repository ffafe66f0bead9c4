"""What holds for every resource of the management API: bodies, pages, order of checks, names, changes in part."""

from __future__ import annotations

import asyncio

import pytest

from tests.handlers.rest import (
    ALL,
    API,
    EVENTS,
    EXPERIMENTS,
    LOGS,
    NAMED,
    PAGE,
    PLUGINS,
    RULES,
    USERS,
    WEBHOOKS,
    Resource,
    briefly,
    changed,
    everything,
    made,
    rest,
    shown,
    stop_all,
    with_one,
)
from tests.plant import Server
from tests.wire import call, until
from webmacs.errors import StorageUnavailable
from webmacs.model import Actor, Role, Write

pytestmark = pytest.mark.asyncio(loop_scope="module")

of_each = pytest.mark.parametrize("resource", ALL, ids=briefly)
LISTS = [*(resource.path for resource in ALL), f"{API}/tokens"]


TEXTS = [(resource, name, most) for resource in ALL for name, most in resource.texts.items()]
OTHERS = [
    (resource, name, raw) for resource in ALL for name, wrong in resource.others.items() for raw in sorted(set(wrong))
]
OPTIONAL = {"secret", "email", "username", "password"}  # null has a meaning where they are changed


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("resource", "name", "most"), TEXTS, ids=briefly)
async def test_a_text_that_cannot_be_is_422(shared: Server, resource: Resource, name: str, most: int) -> None:
    one, good = await made(shared, resource), resource.body(shared)
    wrong = ['"a\\ud800b"', f'"{"x" * (most + 1)}"', "1", "true", "[]", "{}"]
    wrong += [] if name == "password" else ['"a\\u0000b"']
    wrong += [] if name in OPTIONAL else ["null"]
    wrong += [] if name in {"secret", "unit"} else ['""']
    for raw in wrong:
        added = await rest(shared, "POST", resource.path, with_one(good, name, raw))
        assert (added.status, name in added.detail) == (422, True), raw[:20]
        put = await rest(shared, "PUT", f"{resource.path}/{one['public_id']}", with_one({}, name, raw))
        assert (put.status, name in put.detail) == (422, True), raw[:20]
    assert await shown(shared, resource, one["public_id"]) == one


@pytest.mark.parametrize(("resource", "name", "raw"), OTHERS, ids=briefly)
async def test_what_is_no_value_of_a_field_is_422(shared: Server, resource: Resource, name: str, raw: str) -> None:
    added = await rest(shared, "POST", resource.path, with_one(resource.body(shared), name, raw))
    assert (added.status, name in added.detail) == (422, True)
    if name == "logging_type":
        return  # it is never changed
    put = await rest(shared, "PUT", f"{resource.path}/nobody", with_one({}, name, raw))
    assert (put.status, name in put.detail) == (422, True)


@of_each
async def test_what_is_needed_is_named_when_it_is_missing(shared: Server, resource: Resource) -> None:
    good = resource.body(shared)
    for name in good:
        body = {key: value for key, value in good.items() if key != name}
        reply = await rest(shared, "POST", resource.path, body)
        assert (reply.status, reply.detail) == (422, f"{name}: Field required")


@of_each
async def test_a_refused_value_is_not_repeated(shared: Server, resource: Resource) -> None:
    for name in resource.texts:
        body = {**resource.body(shared), name: ["a secret"]}
        assert "a secret" not in (await rest(shared, "POST", resource.path, body)).detail


# -- changes in part -------------------------------------------------------------------------------------------------


@of_each
async def test_a_change_of_nothing_changes_nothing(shared: Server, resource: Resource) -> None:
    one = await made(shared, resource)
    for body in ({}, {"public_id": "x", "nonsense": [1, {}], "user_public_id": None, "created_on": 1, "id": 1}):
        assert await changed(shared, resource, one["public_id"], body) == one


@of_each
async def test_a_change_leaves_the_order_of_the_list(shared: Server, resource: Resource) -> None:
    one, _, _ = [await made(shared, resource) for _ in range(3)]
    before = [item["public_id"] for item in await everything(shared, resource.path)]
    field = next(iter(resource.texts))
    await changed(shared, resource, one["public_id"], {field: resource.body(shared)[field]})
    assert [item["public_id"] for item in await everything(shared, resource.path)] == before


@pytest.mark.parametrize("resource", [*NAMED, EXPERIMENTS], ids=briefly)
async def test_a_name_that_is_taken_is_409_in_our_own_words(shared: Server, resource: Resource) -> None:
    one, other = await made(shared, resource), await made(shared, resource)
    same = {resource.unique: one[resource.unique]}
    replies = [
        await rest(shared, "POST", resource.path, {**resource.body(shared), **same}),
        await rest(shared, "PUT", f"{resource.path}/{other['public_id']}", same),
    ]
    for reply in replies:
        assert reply.status == 409
        assert "already" in reply.detail
        assert not any(word in reply.detail.lower() for word in ("constraint", "violates", "unique"))
    assert await changed(shared, resource, one["public_id"], same) == one
    assert await shown(shared, resource, other["public_id"]) == other


@pytest.mark.parametrize("resource", [*NAMED, EXPERIMENTS], ids=briefly)
async def test_of_five_that_make_the_same_at_once_one_does(shared: Server, resource: Resource) -> None:
    await stop_all(shared)
    body = resource.body(shared)
    replies = await asyncio.gather(*(rest(shared, "POST", resource.path, body) for _ in range(5)))
    assert sorted(reply.status for reply in replies) == [201, 409, 409, 409, 409]
    stored = [
        item for item in await everything(shared, resource.path) if item[resource.unique] == body[resource.unique]
    ]
    assert len(stored) == 1
    await stop_all(shared)


# -- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_comes_in_pages(shared: Server, path: str) -> None:
    for resource in ALL:
        if resource.path == path:
            for _ in range(3):
                await made(shared, resource)
    first = await rest(shared, "GET", path)
    assert set(first.body) == PAGE
    total = first.body["total"]
    assert (first.body["page"], first.body["page_size"]) == (1, 25)
    assert len(first.body["data"]) == min(total, 25)
    parts = [(await rest(shared, "GET", f"{path}?page={page}&page_size=1")).body for page in range(1, total + 2)]
    found = [item["public_id"] for part in parts for item in part["data"]]
    assert found == [item["public_id"] for item in await everything(shared, path)]
    assert {(part["page_size"], part["total"]) for part in parts} == {(1, total)}
    assert parts[-1] == {"page": total + 1, "page_size": 1, "total": total, "data": []}


@pytest.mark.parametrize("path", LISTS)
async def test_a_page_far_beyond_the_end_is_empty(shared: Server, path: str) -> None:
    reply = await rest(shared, "GET", f"{path}?page=2147483648&page_size=100")
    assert (reply.status, reply.body["page"], reply.body["data"]) == (200, 2147483648, [])


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=", "page=x", "page=2147483649", f"page={'9' * 400}", "page_size=0", "page_size=101"],
)
async def test_a_page_that_cannot_be_is_422(shared: Server, path: str, query: str) -> None:
    reply = await rest(shared, "GET", f"{path}?{query}")
    assert (reply.status, reply.detail.partition(":")[0]) == (422, query.partition("=")[0])


@pytest.mark.parametrize("resource", [EVENTS, EXPERIMENTS, RULES, WEBHOOKS, USERS, PLUGINS], ids=briefly)
async def test_a_list_begins_with_the_oldest(shared: Server, resource: Resource) -> None:
    new = [(await made(shared, resource))["public_id"] for _ in range(2)]
    assert [item["public_id"] for item in await everything(shared, resource.path)][-2:] == new


# -- who, what, which ------------------------------------------------------------------------------------------------

ODD_IDS = ["nobody", "%00", "a%00b", "%F0%9F%8C%A1", "..%2F..", "%25", "a'b;--", "x" * 3_000, "-1"]


@of_each
@pytest.mark.parametrize("public_id", ODD_IDS, ids=briefly)
async def test_an_id_that_nothing_has_is_404(shared: Server, resource: Resource, public_id: str) -> None:
    for method in ("GET", "PUT", "DELETE") if resource is not LOGS else ("GET", "PUT"):
        reply = await rest(shared, method, f"{resource.path}/{public_id}", {} if method == "PUT" else None)
        assert (reply.status, reply.detail.startswith("there is no")) == (404, True)


@of_each
async def test_first_who_then_whether_then_what_then_which(shared: Server, resource: Resource) -> None:
    path, broken = f"{resource.path}/nobody", {next(iter(resource.texts)): 1}
    assert (await call(shared, "PUT", path, json=broken)).status == 401
    assert (await rest(shared, "PUT", path, broken, Role.VIEWER)).status == 403
    assert (await rest(shared, "PUT", path, broken)).status == 422
    assert (await rest(shared, "PUT", path, {})).status == 404
    taken = await made(shared, resource)
    if resource is not LOGS:
        body = {**resource.body(shared), resource.unique: taken[resource.unique]}
        assert (await rest(shared, "POST", resource.path, {**body, **broken})).status == 422


@of_each
async def test_a_viewer_changes_nothing(shared: Server, resource: Resource) -> None:
    one = await made(shared, resource)
    path = f"{resource.path}/{one['public_id']}"
    for role in (Role.VIEWER, Role.OPERATOR):
        if role.covers(resource.needs):
            continue
        replies = [
            await rest(shared, "POST", resource.path, resource.body(shared), role),
            await rest(shared, "PUT", path, {}, role),
        ]
        if resource is not LOGS:
            replies.append(await rest(shared, "DELETE", path, role=role))
        assert [(reply.status, reply.detail) for reply in replies] == [(403, "Insufficient permissions")] * len(replies)
    assert await shown(shared, resource, one["public_id"]) == one


async def test_a_change_that_may_have_been_stored_is_looked_for(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = shared.parts.storage.write

    async def lost(*writes: Write, actor: Actor | None = None) -> int:
        await write(*writes, actor=actor)
        raise StorageUnavailable("the answer was lost")

    body = EVENTS.body(shared)
    with monkeypatch.context() as patch:
        patch.setattr(shared.parts.storage, "write", lost)
        reply = await rest(shared, "POST", EVENTS.path, body)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    await until(lambda: any(event.name == body["name"] for event in shared.parts.catalog.current.events.values()))
