"""Connections to receivers: to addresses that the guard lets through, and ended when an attempt has had enough."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, TCPConnector
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from webmacs.webhooks.guard import AddressGuard, Network
from webmacs.webhooks.names import Names

# Shorter than what receivers usually keep a connection for (gunicorn 2 s, uvicorn and Node 5 s): a request that meets
# a connection which is just being closed is lost, and a POST is not repeated on a new one by itself.
KEEP_ALIVE_S: Final = 1.0
# What the kernel keeps of an answer is what one turn of the loop may find to do. A flood of heads, each of them legal,
# stops the loop for 1 ms with this much, and for 700 ms with the usual 256 KiB.
RECEIVE_BYTES: Final = 8 * 1024


class Connections(TCPConnector):
    """What a session of webhooks connects by. `tls` None: certificates are checked against the system's authorities."""

    def __init__(self, allowed: Sequence[Network], tls: ssl.SSLContext | None) -> None:
        self._guard = AddressGuard(allowed)
        self._lent: dict[asyncio.Task[object] | None, asyncio.Transport | None] = {}
        super().__init__(
            resolver=Names(),
            socket_factory=self._make_socket,
            # Names are looked up for each new connection, so that a receiver may move. A cache that forgets at once is
            # not the same as none: with it, attempts that look up the same name at the same time share one look-up.
            ttl_dns_cache=0,
            limit=0,  # a limit for all together would let one receiver keep the others waiting
            keepalive_timeout=KEEP_ALIVE_S,
            ssl=True if tls is None else tls,
        )

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,  # noqa: ASYNC109 - as aiohttp has it
    ) -> Connection:
        """See `TCPConnector`; the transport is remembered for `cut`."""
        connection = await super().connect(req, traces, timeout)
        self._lent[asyncio.current_task()] = connection.transport
        return connection

    def cut(self) -> None:
        """The attempt of the current task is over: if its connection is being closed, end it now.

        A connection with TLS says goodbye, and waits up to half a minute for the other side to do so.
        """
        transport = self._lent.pop(asyncio.current_task(), None)
        if transport is not None and transport.is_closing():
            transport.abort()

    def _make_socket(self, addr_info: AddrInfoType) -> socket.socket:
        made = self._guard.socket_factory(addr_info)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        return made
