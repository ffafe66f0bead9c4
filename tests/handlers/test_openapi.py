"""`/openapi.json` and `/docs`: valid, complete, and true for every answer that schemathesis can bring about."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import BACKENDS, Databases
from tests.handlers.rest import API, briefly
from tests.handlers.subject import Subject, asked
from tests.handlers.test_http import IN_A_SESSION, NO_CHANNEL, NO_DELIVERY, NO_NOTE, NO_WIDGET, NOBODY, ROUTES
from tests.plant import Server, settings_for
from tests.wire import call
from webmacs import __version__
from webmacs.app import build_app
from webmacs.model import Role

EXAMPLES = 15
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PARTS = {
    NOBODY: "{public_id}",
    NO_WIDGET: "{widget_id}",
    NO_NOTE: "{note_id}",
    NO_CHANNEL: "{mapping_id}",
    NO_DELIVERY: "{delivery_id}",
}


def described(path: str) -> str:
    """A path as the document has it."""
    return "/".join(PARTS.get(part, part) for part in path.split("/"))


NEEDS = {
    (method, described(path)): needs
    for method, path, needs in [*ROUTES, *((method, path, Role.VIEWER) for method, path in IN_A_SESSION)]
}
OPERATIONS = sorted(NEEDS)
ONESELF = ("PUT", f"{API}/users/{{public_id}}")  # any user may, an administrator others


async def document(server: Server) -> dict[str, Any]:
    reply = await call(server, "GET", "/openapi.json")
    assert reply.status == 200
    found: dict[str, Any] = reply.body
    return found


def operations(api: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation for path, item in api["paths"].items() for method, operation in item.items()
    }


# -- the document ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_the_document_is_valid(shared: Server) -> None:
    api = await document(shared)
    assert api["openapi"] == "3.1.0"
    assert api["info"]["version"] == __version__
    assert [str(error) for error in OpenAPIV31SpecValidator(api).iter_errors()] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_every_reference_leads_somewhere(shared: Server) -> None:
    api = await document(shared)
    references = set(re.findall(r"'\$ref': '([^']+)'", str(api)))
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(
        api["components"]["schemas"]
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_the_document_names_every_route_that_there_is_and_no_other(shared: Server, tmp_path: Path) -> None:
    app = build_app(settings_for("sqlite:///unused.db", tmp_path))
    routed = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    served = {(method, path) for method, path in routed if not path.endswith("/") and not path.startswith("/ws/")}
    served -= {("GET", "/{path}")}  # what browsers load is no part of the interface
    assert {(method, f"{path}/") for method, path in served} <= routed
    assert set(operations(await document(shared))) == served == set(NEEDS)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_document_says_which_role_each_route_needs(shared: Server) -> None:
    for key, operation in operations(await document(shared)).items():
        needs = Role.VIEWER if key == ONESELF else NEEDS[key]
        assert operation.get("x-role") == (needs and needs.value)
        assert ("403" in operation["responses"], "security" in operation) == (needs is not None, needs is not None)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_ids_of_operations_are_their_own(shared: Server) -> None:
    names = [operation["operationId"] for operation in operations(await document(shared)).values()]
    assert len(set(names)) == len(names)


# -- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_names_every_route(shared: Server) -> None:
    reply = await call(shared, "GET", "/docs")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = reply.body.decode()
    shown = re.findall(r"<summary><b class=\w+>(\w+)</b><code>([^<]+)</code><span>([^<]+)</span>", text)
    assert {(method, html.unescape(path)) for method, path, _ in shown} == set(NEEDS)
    assert all(summary.strip() for *_, summary in shown)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_page_needs_nothing_from_elsewhere_and_no_script(shared: Server) -> None:
    reply = await call(shared, "GET", "/docs")
    text = reply.body.decode()
    assert not re.search(r"<script|\bon\w+\s*=|javascript:|style=|<img|<link|<iframe|@import|url\(", text)
    assert not re.search(r"(?:src|href)\s*=\s*['\"]?(?:https?:)?//", text)
    policy = reply.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy


# -- the truth of it -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """In a process of its own: schemathesis waits for answers, and draws from the random numbers of the process."""
    directory = tmp_path_factory.mktemp("subject")
    if request.param == "sqlite":
        with asked(f"sqlite:///{directory / 'test.db'}", directory) as found:
            yield found
        return
    databases: Databases = request.getfixturevalue("databases")
    with databases.empty() as url, asked(url, directory) as found:
        yield found


@pytest.fixture(scope="module")
def api(subject: Subject) -> Any:
    """The document, as schemathesis reads it."""
    return schemathesis.openapi.from_dict(requests.get(f"{subject.address}/openapi.json", timeout=10).json())


@pytest.mark.promise("B10")
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=briefly)
def test_every_answer_is_as_the_document_says(subject: Subject, api: Any, method: str, path: str) -> None:
    operation = api[path][method]
    credential = subject.session if "/tokens" in path else subject.token  # tokens are made in a session alone
    headers = {"Authorization": f"Bearer {credential}"}
    modes = schemathesis.GenerationMode
    requests_to_make = [operation.as_strategy(modes.POSITIVE)]
    if operation.body or operation.query or operation.path_parameters:
        requests_to_make.append(operation.as_strategy(modes.NEGATIVE))
    resource = path.removeprefix(f"{API}/").partition("/")[0]
    if "{public_id}" in path and method != "DELETE" and resource in subject.known:
        parts = {part: resource if part == "public_id" else part for part in re.findall(r"{(\w+)}", path)}
        there = {part: subject.known[name] for part, name in parts.items()}
        requests_to_make.append(operation.as_strategy(modes.POSITIVE, path_parameters=there))
    seen: set[int] = set()
    with requests.Session() as connection:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(*requests_to_make))
        def ask(case: Any) -> None:
            response = case.call(base_url=subject.address, headers=headers, session=connection)
            seen.add(response.status_code)
            case.validate_response(response, checks=CHECKS)

        ask()
    assert seen - {401, 403, 405}, "nobody got past the door"
