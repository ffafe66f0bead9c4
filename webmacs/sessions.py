"""Live sockets last as long as the right to them."""

from __future__ import annotations

import asyncio
from typing import Final

from webmacs.auth import Authenticator
from webmacs.errors import AuthError
from webmacs.hub import Hub

POLICY_VIOLATION: Final = 1008


class SessionGuard:
    """Closes live sockets whose credential is no longer good."""

    def __init__(self, hub: Hub, auth: Authenticator, interval_s: float) -> None:
        self._hub, self._auth, self._interval_s = hub, auth, interval_s

    def sweep(self) -> None:
        """Judge everyone who is connected again."""
        for client in self._hub.clients():
            try:
                self._auth.recheck(client.identity, client.needs, client.scope)
            except AuthError as error:
                client.close(POLICY_VIOLATION, error.reason)

    async def run(self) -> None:
        """Sweep now and then: nothing tells of a token that expires."""
        while True:
            await asyncio.sleep(self._interval_s)
            self.sweep()
