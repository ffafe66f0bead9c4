"""`/openapi.json`, and `/docs`: the same for people, one page without scripts that works offline."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiohttp import web

from webmacs.handlers.http import Routes
from webmacs.handlers.openapi import document
from webmacs.handlers.resource import Call, Endpoint

STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; --get: #2b7de9; --post: #2a9d5c; --put: #c98a13;
  --delete: #d0453e; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; }
h1 { margin: 0; } h2 { border-bottom: 1px solid var(--line); margin: 2.5rem 0 .5rem; text-transform: capitalize; }
nav a { margin-right: 1rem; } a { color: var(--get); text-decoration: none; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .5rem .75rem; }
summary { cursor: pointer; display: grid; gap: 0 .75rem; align-items: baseline;
  grid-template-columns: 4rem minmax(0, 22rem) minmax(0, 1fr) auto; }
summary code { overflow-wrap: anywhere; } summary:hover code { text-decoration: underline; }
@media (max-width: 50rem) { summary { grid-template-columns: 4rem minmax(0, 1fr) auto; }
  summary span { grid-column: 2; grid-row: 2; } }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); } .delete { color: var(--delete); }
code, pre { font: 13px/1.5 ui-monospace, monospace; } pre { overflow-x: auto; }
small { color: var(--dim); border: 1px solid var(--line); border-radius: 1em; padding: 0 .6em; }
table { border-collapse: collapse; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCHEMAS: Final = "#/components/schemas/"
DEPTH: Final = 6


class DocumentRoutes:
    """The handlers of both."""

    def __init__(self) -> None:
        self._endpoints: Sequence[Endpoint] = ()
        self._made: tuple[bytes, str] | None = None
        self._making = asyncio.Lock()

    def register(self, routes: Routes) -> None:
        """Add the routes, the last of all, open to everyone: they say what every installation says."""
        routes.add("GET", "/openapi.json", self.openapi, needs=None)
        routes.add("GET", "/docs", self.page, needs=None, media="text/html")
        self._endpoints = routes.endpoints

    async def openapi(self, _call: Call) -> web.Response:
        """The OpenAPI document."""
        body, _ = await self._documents()
        return web.Response(body=body, content_type="application/json")

    async def page(self, _call: Call) -> web.Response:
        """The same for people."""
        headers = {"Content-Security-Policy": _POLICY}
        _, text = await self._documents()
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def _documents(self) -> tuple[bytes, str]:
        """Both. Made beside the loop when somebody first asks: most servers never need what it takes."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_documents, self._endpoints)
            return self._made


def _documents(endpoints: Sequence[Endpoint]) -> tuple[bytes, str]:
    api = document(endpoints)
    return json.dumps(api, ensure_ascii=False).encode(), "".join(_page(api))


def _page(api: dict[str, Any]) -> Iterator[str]:
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            groups.setdefault(operation["tags"][0], []).append((method, path, operation))
    yield "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    yield f"<title>WebMACS API</title><style>{STYLE}</style><h1>WebMACS API</h1>"
    yield f"<p>Version {html.escape(api['info']['version'])}. Send <code>Authorization: Bearer …</code>, with a JWT or"
    yield " an API token. Errors are <code>{\"detail\": …}</code>. <a href='/openapi.json'>openapi.json</a></p><nav>"
    yield "".join(f"<a href='#{html.escape(name)}'>{html.escape(name)}</a> " for name in groups)
    yield "</nav>"
    for name, members in groups.items():
        yield f"<h2 id='{html.escape(name)}'>{html.escape(name)}</h2>"
        for method, path, operation in members:
            yield from _operation(method, path, operation, api["components"]["schemas"])


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    role = operation.get("x-role", "open")
    yield f"<details><summary><b class={method}>{method.upper()}</b><code>{html.escape(path)}</code>"
    yield f"<span>{html.escape(operation['summary'])}</span><small>{role}</small></summary>"
    if "x-scopes" in operation:
        yield f"<p>API tokens of scope {', '.join(operation['x-scopes'])}.</p>"
    if "description" in operation:
        yield f"<p>{html.escape(operation['description'])}</p>"
    parameters = operation["parameters"]
    if parameters:
        yield "<table>"
        for one in parameters:
            yield f"<tr><td><code>{one['name']}</code><td>{one['in']}<td><code>{_brief(one['schema'])}</code>"
        yield "</table>"
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        yield f"<p>Takes</p><pre>{html.escape(_shape(schema, schemas))}</pre>"
    for status, answer in operation["responses"].items():
        schema = answer["content"].get("application/json", {}).get("schema")
        if schema is not None and int(status) < 400:  # noqa: PLR2004 - the first of HTTP's errors
            yield f"<p>{status} gives</p><pre>{html.escape(_shape(schema, schemas))}</pre>"
    failures = [status for status in operation["responses"] if int(status) >= 400]  # noqa: PLR2004
    yield f"<p>May fail with {', '.join(failures)}.</p></details>"


def _brief(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    kind = schema.get("type", "any")
    bounds = [f"{name} {schema[key]}" for name, key in (("from", "minimum"), ("to", "maximum")) if key in schema]
    default = [f"default {schema['default']}"] if schema.get("default") is not None else []
    return html.escape(", ".join([str(kind), *bounds, *default]))


def _shape(schema: dict[str, Any], schemas: dict[str, Any], indent: str = "", depth: int = DEPTH) -> str:
    """A schema as JSON with types in the place of values."""
    schema = schemas.get(schema.get("$ref", "").removeprefix(_SCHEMAS), schema)
    if depth == 0:
        return "…"
    if "anyOf" in schema:
        return " | ".join(_shape(one, schemas, indent, depth - 1) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"[{_shape(schema.get('items', {}), schemas, indent, depth - 1)}, …]"
    if "properties" in schema:
        inner = f"{indent}  "
        needed = schema.get("required", ())
        members = [
            f"{inner}{json.dumps(name)}{'' if name in needed else '?'}: {_shape(one, schemas, inner, depth - 1)}"
            for name, one in schema["properties"].items()
        ]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    return str(schema.get("format") or schema.get("type", "any"))
