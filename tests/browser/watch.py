"""What a page must not do while nobody looks: fail, complain, break its policy, ask anybody but its own server."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, WebError, WebSocket

AWAY = "net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED|ABORTED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)"
"""What is said of a server that is away or goes: for `Watch.allow`, before it does."""

# The console does not say what the policy kept from being run when the page catches the exception of it.
_TELL = """
addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sourceFile, lineNumber }) => {
  __webmacsPolicy(`${effectiveDirective} does not allow ${blockedURI} (${sourceFile}:${lineNumber})`)
})
"""
_INSIDE = {"about", "blob", "data"}
"""Schemes of addresses that lead nowhere."""


class Watch:
    """Notes the troubles of all pages of some contexts. A test that brings some about on purpose allows them."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._allowed: list[re.Pattern[str]] = []
        self._noted: list[str] = []

    @property
    def troubles(self) -> list[str]:
        """All that was noted and is not allowed."""
        return [text for text in self._noted if not any(pattern.search(text) for pattern in self._allowed)]

    def allow(self, pattern: str) -> None:
        """What is found by this is no trouble, before and from now on.

        Troubles begin with `console: `, `exception: `, `policy: `, `failed: ` or `elsewhere: `.
        """
        self._allowed.append(re.compile(pattern))

    async def attach(self, context: BrowserContext) -> None:
        """Look at all pages that the context will have."""
        await context.expose_binding("__webmacsPolicy", self._policy)
        await context.add_init_script(_TELL)
        context.on("console", self._console)
        context.on("weberror", self._exception)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("page", self._page)

    def check(self) -> None:
        """Fail if there was any trouble."""
        assert not self.troubles, "\n".join(["what the browser had to complain of:", *self.troubles])

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            kind = "policy" if "Content Security Policy" in message.text else "console"
            self._noted.append(f"{kind}: {message.text} ({message.location['url']})")

    def _policy(self, _source: object, text: Any) -> None:
        self._noted.append(f"policy: {text}")

    def _exception(self, error: WebError) -> None:
        self._noted.append(f"exception: {error.error}")

    def _failed(self, request: Request) -> None:
        # The page itself gives up what it does not need any more: when it is left, or by an AbortController.
        if request.failure != "net::ERR_ABORTED":
            self._noted.append(f"failed: {request.method} {request.url} {request.failure}")

    def _page(self, page: Page) -> None:
        page.on("websocket", self._socket)

    def _request(self, request: Request) -> None:
        self._asked(request.url)

    def _socket(self, socket: WebSocket) -> None:
        self._asked(socket.url)

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc != self._host and parts.scheme not in _INSIDE:
            self._noted.append(f"elsewhere: {url}")
