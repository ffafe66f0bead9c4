"""The OpenAPI document, made from what the handlers say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from webmacs import __version__
from webmacs.handlers.http import PREFIX
from webmacs.handlers.resource import Endpoint

OPENAPI: Final = "3.1.0"
_PART: Final = re.compile(r"{(\w+)}")
_REFERENCE: Final = "#/components/schemas/{model}"
_ERROR: Final = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "title": "Error",
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": "WebMACS", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": {**schemas.definitions, "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The schemas of all bodies, queries and answers, with what they share taken out."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        inputs: list[tuple[Endpoint, JsonSchemaMode, TypeAdapter[Any]]] = []
        for endpoint in endpoints:
            if endpoint.takes is not None:
                inputs.append((endpoint, "validation", TypeAdapter(endpoint.takes)))
            if endpoint.gives is not None:
                inputs.append((endpoint, "serialization", endpoint.gives))
        self._of, shared = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
        self.definitions: dict[str, Any] = shared.get("$defs", {})
        self._asked: dict[Endpoint, dict[str, Any]] = {}
        for endpoint in endpoints:
            if endpoint.asks is not None:
                schema = endpoint.asks.model_json_schema(ref_template=_REFERENCE)
                self.definitions.update(schema.pop("$defs", {}))
                self._asked[endpoint] = schema

    def asked(self, endpoint: Endpoint) -> dict[str, Any]:
        """Its query, as the schema of an object; empty for an endpoint that asks nothing."""
        return self._asked.get(endpoint, {})

    def of(self, endpoint: Endpoint, mode: JsonSchemaMode) -> dict[str, Any]:
        """What an endpoint takes ("validation") or gives ("serialization")."""
        return self._of[endpoint, mode]


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    summary, _, rest = (endpoint.handler.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "summary": summary.rstrip("."),
        "operationId": _name(endpoint),
        "tags": [_group(endpoint.path)],
        "parameters": list(_parameters(endpoint, schemas.asked(endpoint))),
        "responses": _responses(endpoint, schemas),
    }
    if rest.strip():
        operation["description"] = " ".join(rest.split())
    if endpoint.needs is not None:
        operation["security"] = [{"bearer": []}]
        operation["x-role"] = endpoint.needs.value
        operation["x-scopes"] = [scope.value for scope in endpoint.scopes]
    if endpoint.takes is not None:
        content = {"application/json": {"schema": schemas.of(endpoint, "validation")}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(endpoint: Endpoint, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in _PART.findall(endpoint.path):
        yield {"name": part, "in": "path", "required": True, "schema": {"type": "string"}}
    for name, one in query.get("properties", {}).items():
        required = name in query.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": _without_null(one)}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query leaves out what it does not ask for; it cannot say null."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    return choices[0] if len(choices) == 1 else schema


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    if endpoint.gives is None:
        kind = "object" if endpoint.media == "application/json" else "string"
        answer: dict[str, Any] = {"content": {endpoint.media: {"schema": {"type": kind}}}}
    else:
        answer = {"content": {"application/json": {"schema": schemas.of(endpoint, "serialization")}}}
    found = {str(endpoint.status): {"description": HTTPStatus(endpoint.status).phrase, **answer}}
    for status in sorted(_failures(endpoint)):
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        found[str(status)] = {"description": HTTPStatus(status).phrase, "content": error}
    return found


def _failures(endpoint: Endpoint) -> set[int]:
    statuses = set(endpoint.fails)
    if endpoint.needs is not None:
        statuses |= {401, 403}
    if endpoint.limited:
        statuses.add(429)
    if endpoint.takes is not None:
        statuses |= {400, 408, 413, 422}
    if endpoint.asks is not None:
        statuses.add(422)
    if _PART.search(endpoint.path):
        statuses.add(404)
    return statuses | {503}


def _group(path: str) -> str:
    resource = path.removeprefix(f"{PREFIX}/")
    return "server" if resource == path else resource.partition("/")[0]


def _name(endpoint: Endpoint) -> str:
    owner = type(getattr(endpoint.handler, "__self__", None)).__name__.removesuffix("Routes").lower()
    return f"{owner}_{endpoint.handler.__name__}"
