"""Whether a request is the opening handshake of a WebSocket: what aiohttp lets pass of RFC 6455, section 4.2.1.

aiohttp takes versions of the drafts, of which some had another header for the origin than the one we look at, HTTP/1.0,
keys that are none, and the first of several.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

VERSION: Final = "13"
KEY_BYTES: Final = 16


def check(request: web.Request) -> None:
    """Let a handshake pass.

    Raises:
        web.HTTPUpgradeRequired: for another version of the protocol; the answer names the one there is (section 4.4).
        web.HTTPBadRequest: this is no handshake.

    """
    upgrade = request.headers.get(hdrs.UPGRADE, "").strip().lower()
    if upgrade != "websocket" or request.version != HttpVersion11 or request.body_exists:
        raise web.HTTPBadRequest
    if request.headers.getall(hdrs.SEC_WEBSOCKET_VERSION, []) != [VERSION]:
        offer = {hdrs.CONNECTION: "upgrade", hdrs.UPGRADE: "websocket", hdrs.SEC_WEBSOCKET_VERSION: VERSION}
        raise web.HTTPUpgradeRequired(headers=offer)
    keys = request.headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    if len(keys) != 1 or not _is_key(keys[0]):
        raise web.HTTPBadRequest


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):  # no base64; not even ASCII
        return False
