"""The dashboard: one page for all its addresses, and the files it is made of."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ETag, hdrs, web

from webmacs.bundle import Bundle, File
from webmacs.handlers.http import Routes

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: run, draw with and talk to what comes from this server.

Of WebSockets, `'self'` covers those of the page's own host (CSP level 3; Chrome from 71, Safari from 16). To name that
host would be to repeat what the client says of it, so an older browser polls.
"""

PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
FOREVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
NOT_BUILT: Final = "The dashboard was not built: `make dashboard` does it, in a clone of the repository"

_SERVER: Final = "api|ws|health|metrics|docs|openapi\\.json"
PATH: Final = f"/{{path:(?!(?:{_SERVER})(?:/|$)).*}}"
"""Everything that is not the server's own."""


class PageRoutes:
    """The handlers of what browsers load. All of it is public: what the page shows, it asks for with a token."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def register(self, routes: Routes) -> None:
        """Add the route, behind all others."""
        routes.add_page(PATH, self.serve)

    async def serve(self, request: web.Request) -> web.Response:
        """A file by its name, the page for an address of the dashboard that a browser opens, or 404."""
        path = request.match_info["path"]
        file, varies = self._bundle.get(path), [hdrs.ACCEPT_ENCODING]
        if file is None:
            file, varies = self._page(request, path), [hdrs.ACCEPT, hdrs.ACCEPT_ENCODING]
        zipped = takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        tag = f"{file.etag}-gzip" if zipped else file.etag  # a strong one is of these bytes (RFC 9110, section 8.8.3.3)
        response = web.Response(headers={hdrs.CACHE_CONTROL: FOREVER if file.hashed else ASK_AGAIN})
        response.content_type, response.etag = file.content_type, ETag(tag)
        if file.content_type.startswith("text/"):
            response.charset = "utf-8"
        response.headers[hdrs.VARY] = ", ".join(varies)
        if file.content_type == "text/html":
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["Permissions-Policy"] = PERMISSIONS
        if any(known.value in {tag, "*"} for known in request.if_none_match or ()):
            response.set_status(304)
            return response
        if zipped:
            response.body = await asyncio.to_thread(self._bundle.compressed, file)
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        else:
            response.body = file.body
        return response

    def _page(self, request: web.Request, path: str) -> File:
        """The page, for what looks like one of its addresses. Raises `HTTPNotFound` for everything else."""
        index = self._bundle.index
        # A program that asks for something that is not there must not take a page for the answer.
        opened = path == "" or "text/html" in request.headers.get(hdrs.ACCEPT, "")
        if not opened or path.startswith(("/", "assets/")) or "." in path.rpartition("/")[2]:
            raise web.HTTPNotFound
        if index is None:
            raise web.HTTPNotFound(reason=NOT_BUILT)
        return index


def takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` lets gzip through (RFC 9110, section 12.5.3)."""
    weights = {"*": 0.0}
    for part in accepted.split(","):
        name, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().lower().removeprefix("q=") or 1)
        except ValueError:
            weight = 0.0
        weights[name.strip().lower()] = weight
    return weights.get("gzip", weights["*"]) > 0
