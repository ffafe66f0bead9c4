"""The HTTP contract: what holds for every route, and the routes one by one.

`docs/protocol.md`, "HTTP"; what existing controllers and dashboards put on the wire and expect back.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import uuid
import zlib

import pytest

from tests.plant import Server
from tests.rawsocket import Answer, RawSocket, exchange
from tests.wire import call, claims_of, signed
from webmacs import __version__
from webmacs.model import Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/api/v1"
LOGIN, LOGOUT, ME = f"{API}/auth/login", f"{API}/auth/logout", f"{API}/auth/me"
LATEST, DATAPOINTS, BATCH = f"{API}/datapoints/latest", f"{API}/datapoints", f"{API}/datapoints/batch"
EVENTS, UNLINKED = f"{API}/events", f"{API}/events/unlinked"
AVAILABLE, PACKAGES = f"{API}/plugins/available", f"{API}/plugins/packages"
STATUSES = f"{API}/plugins/status"
PREVIEW = f"{API}/rules/preview"

RESOURCES = {  # role to read, to write, to change one
    "events": (Role.VIEWER, Role.OPERATOR, Role.OPERATOR),
    "experiments": (Role.VIEWER, Role.OPERATOR, Role.OPERATOR),
    "rules": (Role.OPERATOR, Role.OPERATOR, Role.OPERATOR),
    "webhooks": (Role.ADMIN, Role.ADMIN, Role.ADMIN),
    "dashboards": (Role.VIEWER, Role.OPERATOR, Role.OPERATOR),
    "plugins": (Role.VIEWER, Role.ADMIN, Role.ADMIN),
}
NOBODY = "nobody"  # an id that nothing has
NO_WIDGET = "no-widget"
NO_NOTE = "no-note"
NO_DELIVERY = "no-delivery"
NO_CHANNEL = "no-channel"

ROUTES = [
    ("POST", LOGIN, None),
    ("POST", LOGOUT, Role.VIEWER),
    ("GET", ME, Role.VIEWER),
    ("GET", LATEST, Role.VIEWER),
    ("POST", DATAPOINTS, Role.OPERATOR),
    ("POST", BATCH, Role.OPERATOR),
    ("GET", DATAPOINTS, Role.VIEWER),
    ("POST", f"{DATAPOINTS}/series", Role.VIEWER),
    ("GET", f"{DATAPOINTS}/{NOBODY}", Role.VIEWER),
    ("DELETE", f"{DATAPOINTS}/{NOBODY}", Role.OPERATOR),
    ("GET", UNLINKED, Role.VIEWER),
    ("POST", f"{UNLINKED}/adopt", Role.ADMIN),
    ("GET", "/health", None),
    ("GET", "/metrics", Role.VIEWER),
    *(
        route
        for name, (reads, adds, changes) in RESOURCES.items()
        for route in (
            ("GET", f"{API}/{name}", reads),
            ("POST", f"{API}/{name}", adds),
            ("GET", f"{API}/{name}/{NOBODY}", reads),
            ("PUT", f"{API}/{name}/{NOBODY}", changes),
            ("DELETE", f"{API}/{name}/{NOBODY}", changes),
        )
    ),
    ("PUT", f"{API}/experiments/{NOBODY}/stop", Role.OPERATOR),
    ("GET", f"{API}/experiments/{NOBODY}/export/csv", Role.VIEWER),
    ("GET", f"{API}/experiments/{NOBODY}/notes", Role.VIEWER),
    ("POST", f"{API}/experiments/{NOBODY}/notes", Role.OPERATOR),
    ("PUT", f"{API}/experiments/{NOBODY}/notes/{NO_NOTE}", Role.OPERATOR),
    ("DELETE", f"{API}/experiments/{NOBODY}/notes/{NO_NOTE}", Role.OPERATOR),
    ("POST", PREVIEW, Role.OPERATOR),
    ("GET", f"{API}/webhooks/{NOBODY}/deliveries", Role.ADMIN),
    ("POST", f"{API}/webhooks/{NOBODY}/test", Role.ADMIN),
    ("POST", f"{API}/webhooks/{NOBODY}/deliveries/{NO_DELIVERY}/redeliver", Role.ADMIN),
    ("POST", f"{API}/dashboards/{NOBODY}/widgets", Role.OPERATOR),
    ("PUT", f"{API}/dashboards/{NOBODY}/widgets/{NO_WIDGET}", Role.OPERATOR),
    ("DELETE", f"{API}/dashboards/{NOBODY}/widgets/{NO_WIDGET}", Role.OPERATOR),
    ("GET", AVAILABLE, Role.VIEWER),
    ("GET", PACKAGES, Role.VIEWER),
    ("POST", STATUSES, Role.OPERATOR),
    ("GET", f"{API}/plugins/{NOBODY}/channels", Role.VIEWER),
    ("POST", f"{API}/plugins/{NOBODY}/channels", Role.ADMIN),
    ("PUT", f"{API}/plugins/{NOBODY}/channels/{NO_CHANNEL}", Role.ADMIN),
    ("DELETE", f"{API}/plugins/{NOBODY}/channels/{NO_CHANNEL}", Role.ADMIN),
    ("GET", f"{API}/auth/sso/config", None),
    ("GET", f"{API}/ota", Role.ADMIN),
    ("GET", f"{API}/ota/check", Role.VIEWER),
    ("GET", f"{API}/users", Role.ADMIN),
    ("POST", f"{API}/users", Role.ADMIN),
    ("GET", f"{API}/users/{NOBODY}", Role.VIEWER),
    ("PUT", f"{API}/users/{NOBODY}", Role.ADMIN),  # but for oneself
    ("DELETE", f"{API}/users/{NOBODY}", Role.ADMIN),
    ("GET", f"{API}/tokens", Role.VIEWER),
    ("GET", f"{API}/audit", Role.ADMIN),
    ("GET", f"{API}/logging", Role.VIEWER),
    ("POST", f"{API}/logging", Role.OPERATOR),
    ("GET", f"{API}/logging/{NOBODY}", Role.VIEWER),
    ("PUT", f"{API}/logging/{NOBODY}", Role.OPERATOR),
    ("GET", "/openapi.json", None),
    ("GET", "/docs", None),
]
# These need a session; an API token is not enough, whoever it belongs to. See test_tokens.
IN_A_SESSION = [("POST", f"{API}/tokens"), ("DELETE", f"{API}/tokens/{NOBODY}")]
GUARDED = [(method, path, role) for method, path, role in ROUTES if role is not None]

every_route = pytest.mark.parametrize(
    ("method", "path"), [*((method, path) for method, path, _ in ROUTES), *IN_A_SESSION]
)
every_guarded_route = pytest.mark.parametrize(
    ("method", "path"), [*((method, path) for method, path, _ in GUARDED), *IN_A_SESSION]
)

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


def operator(server: Server) -> str:
    return server.plant.tokens[Role.OPERATOR]


def viewer(server: Server) -> str:
    return server.plant.tokens[Role.VIEWER]


def raw(path: str, headers: str = "", body: bytes = b"", method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


# -- every route -----------------------------------------------------------------------------------------------


@every_route
async def test_both_slash_forms_are_served_without_a_redirect(shared: Server, method: str, path: str) -> None:
    plain, slashed = [await call(shared, method, form, operator(shared)) for form in (path, f"{path}/")]
    assert plain.status == slashed.status
    assert plain.status not in {301, 302, 307, 308, 405}
    assert plain.status != 404 or plain.detail != "Not Found"  # there is no such route


@every_route
async def test_unknown_query_parameters_are_ignored(shared: Server, method: str, path: str) -> None:
    plain = await call(shared, method, path, operator(shared))
    assert (await call(shared, method, f"{path}?_t=1767225600000&more=", operator(shared))).status == plain.status


@every_route
@pytest.mark.parametrize("token", [None, "good"])
async def test_every_answer_has_an_id_of_its_own(shared: Server, method: str, path: str, token: str | None) -> None:
    sent = {"X-Request-ID": "mine"}
    replies = [await call(shared, method, path, token and operator(shared), headers=sent) for _ in range(2)]
    ids = {reply.headers["X-Request-ID"] for reply in replies}
    assert len(ids) == 2
    assert all(uuid.UUID(each).version == 4 for each in ids)


@every_route
async def test_every_answer_forbids_guessing_referring_and_keeping(shared: Server, method: str, path: str) -> None:
    reply = await call(shared, method, path, operator(shared))
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"


@every_guarded_route
async def test_without_a_credential_it_is_401_and_says_which_kind_is_meant(
    shared: Server, method: str, path: str
) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": ""}):
        reply = await call(shared, method, path, headers=headers)
        assert (reply.status, reply.detail) == (401, "Authentication required")
        assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.promise("S2")
@every_guarded_route
async def test_a_bad_credential_is_401(shared: Server, method: str, path: str) -> None:
    for token in ("nonsense", "wm_nonsense", "x" * 9_000):
        reply = await call(shared, method, path, token)
        assert (reply.status, reply.detail) == (401, "Invalid or expired token")
        assert "WWW-Authenticate" not in reply.headers


@every_guarded_route
async def test_an_expired_session_is_401(shared: Server, method: str, path: str) -> None:
    owner = await shared.newcomer()
    reply = await call(shared, method, path, signed(claims_of(shared, owner.public_id, exp=1)))
    assert (reply.status, reply.detail) == (401, "Invalid or expired token")


@every_guarded_route
async def test_the_query_bears_no_credential_over_http(shared: Server, method: str, path: str) -> None:
    assert (await call(shared, method, f"{path}?token={operator(shared)}")).status == 401


@pytest.mark.promise("S3")
@pytest.mark.parametrize(("method", "path", "needs"), GUARDED)
@pytest.mark.parametrize("role", Role)
async def test_each_route_asks_for_its_role(shared: Server, method: str, path: str, needs: Role, role: Role) -> None:
    reply = await call(shared, method, path, shared.plant.tokens[role])
    if role.covers(needs):
        assert reply.status not in {401, 403}
    else:
        assert (reply.status, reply.detail) == (403, "Insufficient permissions")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_written_in_any_case(shared: Server, scheme: str) -> None:
    assert (await call(shared, "GET", ME, headers={"Authorization": f"{scheme} {viewer(shared)}"})).status == 200


@pytest.mark.promise("S3")
async def test_first_who_it_is_then_the_role_then_the_body(shared: Server) -> None:
    for method, path, needs in GUARDED:
        if (
            method not in {"POST", "PUT"} or path == LOGOUT or path.endswith(("/stop", "/test", "/redeliver"))
        ):  # no body
            continue
        assert (await call(shared, method, path, data=b"{")).status == 401
        if needs is not Role.VIEWER:
            assert (await call(shared, method, path, viewer(shared), data=b"{")).status == 403
        assert (await call(shared, method, path, shared.plant.tokens[needs], data=b"{")).status == 422


OFFERED: dict[str, set[str]] = {}
for a_method, a_path in [*((method, path) for method, path, _ in ROUTES), *IN_A_SESSION]:
    OFFERED.setdefault(a_path, set()).add(a_method)
for literal in (UNLINKED, AVAILABLE, PACKAGES):
    OFFERED[literal] |= {"PUT", "DELETE"}  # it might be the id of something; as such it is not found
for literal in (LATEST, BATCH, f"{DATAPOINTS}/series"):  # the same of a datapoint
    OFFERED[literal] |= {"GET", "DELETE"}
for literal in (STATUSES, PREVIEW):
    OFFERED[literal] |= {"GET", "PUT", "DELETE"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
        for path, offered in OFFERED.items()
        if method not in offered
    ],
)
async def test_a_method_that_is_not_offered_is_405_with_those_that_are(shared: Server, method: str, path: str) -> None:
    reply = await call(shared, method, path, operator(shared))
    assert (reply.status, reply.detail) == (405, "Method Not Allowed")
    assert reply.headers["Allow"] == ",".join(sorted(OFFERED[path]))


async def test_head_is_not_offered(shared: Server) -> None:
    for path in (ME, "/metrics", "/health"):
        reply = await call(shared, "HEAD", path, operator(shared))
        assert (reply.status, reply.body, reply.headers["Allow"]) == (405, b"", "GET")


@pytest.mark.parametrize(
    "path", ["/nowhere", API, f"{API}/", f"{API}/nowhere", "/ws", "/ws/nowhere", "//", f"{ME}//", "/%00", "/%ff"]
)
async def test_what_is_not_there_is_404(shared: Server, path: str) -> None:
    answer = await exchange(shared.address, raw(path, method="GET"))
    assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})
    assert answer.headers["x-request-id"]


# -- bodies ----------------------------------------------------------------------------------------------------

BODIES = [LOGIN, DATAPOINTS, BATCH, EVENTS]
BROKEN_JSON = [b"", b"{", b"nonsense", b"{} {}", b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"a": "\xff"}', b"[" * 10_000]

with_a_body = pytest.mark.parametrize("path", BODIES)


@pytest.mark.promise("B10")
@with_a_body
@pytest.mark.parametrize("body", [*BROKEN_JSON, b'{"value": ' + b"9" * 5_000 + b"}", '{"a": 1}'.encode("utf-16")])
async def test_broken_json_is_422(shared: Server, path: str, body: bytes) -> None:
    reply = await call(shared, "POST", path, operator(shared), data=body, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.detail) == (422, "Invalid JSON")


@pytest.mark.promise("B10")
@with_a_body
@pytest.mark.parametrize("body", [[], [1], "text", 1, None, True])
async def test_json_that_is_no_object_is_422(shared: Server, path: str, body: object) -> None:
    reply = await call(
        shared, "POST", path, operator(shared), data=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert (reply.status, reply.detail) == (422, "The body must be a JSON object")


@with_a_body
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", "", None])
async def test_a_body_that_does_not_say_it_is_json_is_422(shared: Server, path: str, content_type: str | None) -> None:
    header = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    body = json.dumps(shared.reading()).encode()
    answer = await exchange(shared.address, raw(path, f"Authorization: Bearer {operator(shared)}\r\n{header}", body))
    assert answer.status == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/JSON", "application/json;"])
async def test_json_may_say_its_charset(shared: Server, content_type: str) -> None:
    reply = await call(
        shared,
        "POST",
        DATAPOINTS,
        operator(shared),
        data=json.dumps(shared.reading()).encode(),
        headers={"Content-Type": content_type},
    )
    assert reply.status == 201


@pytest.mark.promise("B10")
@with_a_body
async def test_a_body_of_ten_megabytes_is_413(shared: Server, path: str) -> None:
    body = io.BytesIO(b'{"a": "' + b"x" * 10_000_000 + b'"}')
    reply = await call(shared, "POST", path, operator(shared), data=body, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.detail) == (413, "Request Entity Too Large")


@pytest.mark.promise("B10")
@with_a_body
async def test_a_body_that_inflates_is_413(shared: Server, path: str) -> None:
    body = zlib.compress(b" " * 10_000_000, 9)
    reply = await call(
        shared,
        "POST",
        path,
        operator(shared),
        data=body,
        headers={"Content-Type": "application/json", "Content-Encoding": "deflate"},
    )
    assert (reply.status, reply.detail) == (413, "Request Entity Too Large")


BROKEN_TRANSFER = {
    "a chunk that is none": "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "what is no gzip": "Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnonsense",
}


@with_a_body
@pytest.mark.parametrize("rest", BROKEN_TRANSFER.values(), ids=BROKEN_TRANSFER.keys())
async def test_a_body_that_is_broken_on_the_way_is_400(shared: Server, path: str, rest: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    request = f"{head}Authorization: Bearer {operator(shared)}\r\n{rest}".encode()
    answer = await exchange(shared.address, request)
    assert (answer.status, answer.json()) == (400, {"detail": "Bad Request"})


async def test_one_who_leaves_in_the_middle_of_a_body_leaves_no_trace(
    shared: Server, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    async with await RawSocket.connect(shared.address) as connection:
        connection.write(head.encode() + b'{"email": "')
        await connection.drain()
        await asyncio.sleep(0.05)
    assert (await call(shared, "GET", "/health")).status == 200
    assert caplog.text == ""


async def test_a_get_may_say_it_is_json(shared: Server) -> None:
    assert (
        await call(shared, "GET", LATEST, viewer(shared), headers={"Content-Type": "application/json"})
    ).status == 200


# -- health and metrics ----------------------------------------------------------------------------------------


async def test_health_is_open_and_has_all_fields(shared: Server) -> None:
    await call(shared, "POST", DATAPOINTS, operator(shared), json=shared.reading())
    reply = await call(shared, "GET", "/health")
    assert reply.status == 200
    assert re.fullmatch(TIMESTAMP, reply.body["last_datapoint"])
    assert isinstance(reply.body["uptime_seconds"], float)
    assert reply.body == {
        "status": "ok",
        "version": __version__,
        "database": "ok",
        "last_datapoint": reply.body["last_datapoint"],
        "uptime_seconds": reply.body["uptime_seconds"],
    }


async def test_metrics_are_what_prometheus_reads(shared: Server) -> None:
    reply = await call(shared, "GET", "/metrics", viewer(shared))
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE webmacs_readings_stored_total counter" in reply.body


# -- events ----------------------------------------------------------------------------------------------------


async def test_events_come_in_pages_the_oldest_first(shared: Server) -> None:
    everything = [*shared.plant.linked, shared.plant.unlinked]
    reply = await call(shared, "GET", EVENTS, viewer(shared))
    assert {key: reply.body[key] for key in ("page", "page_size", "total")} == {
        "page": 1,
        "page_size": 25,
        "total": len(everything),
    }
    assert [event["public_id"] for event in reply.body["data"]] == everything
    assert set(reply.body["data"][0]) == {
        *("public_id", "name", "min_value", "max_value", "unit", "type", "user_public_id")
    }
    second = await call(shared, "GET", f"{EVENTS}?page=2&page_size=3", viewer(shared))
    assert [event["public_id"] for event in second.body["data"]] == everything[3:]
    assert (await call(shared, "GET", f"{EVENTS}?page=3&page_size=3", viewer(shared))).body["data"] == []


BAD_PAGES = ["page=0", "page=-1", "page=x", "page=", "page=1.5", "page=99999999999999999999", "page=%00", "page=%C2%B2"]


@pytest.mark.promise("B10")
@pytest.mark.parametrize("query", [*BAD_PAGES, "page_size=0", "page_size=101", "page_size=1e1"])
async def test_a_page_that_cannot_be_is_422(shared: Server, query: str) -> None:
    reply = await call(shared, "GET", f"{EVENTS}?{query}", viewer(shared))
    assert reply.status == 422
    assert re.match(r"page(_size)?: must be a whole number from 1 to \d+", reply.detail)


@pytest.mark.promise("B10")
async def test_a_huge_page_is_empty(shared: Server) -> None:
    reply = await call(shared, "GET", f"{EVENTS}?page=2147483648&page_size=100", viewer(shared))
    assert (reply.status, reply.body["data"]) == (200, [])


# -- what went wrong on our side -------------------------------------------------------------------------------


async def test_our_own_fault_is_500_without_a_trace_and_findable_in_the_log(
    shared: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bytes:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(shared.parts.metrics, "text", broken)
    reply = await call(shared, "GET", f"/metrics?token={viewer(shared)}", viewer(shared))
    assert (reply.status, reply.detail) == (500, "Internal Server Error")
    assert "a fault" in caplog.text
    assert reply.headers["X-Request-ID"] in caplog.text
    assert viewer(shared) not in caplog.text
    assert (await call(shared, "GET", "/health")).status == 200


async def test_the_connection_can_be_used_again_after_an_error(shared: Server) -> None:
    request = raw("/nowhere", method="GET") + raw(LOGIN, "Content-Type: application/json\r\n", b"{")
    async with await RawSocket.connect(shared.address) as connection:
        connection.write(request + raw("/health", method="GET"))
        answers: list[Answer] = [await connection.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [404, 422, 200]
