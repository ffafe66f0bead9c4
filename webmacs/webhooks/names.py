"""From the name of a receiver to its addresses: by the system's own resolver, and at nobody else's expense."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_ADDRESSES: Final = 8
MAX_LOOKUPS: Final = 64
_NUMERIC: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Names(AbstractResolver):
    """Looks up each name in a thread of its own.

    A look-up whose name server is silent takes half a minute and cannot be cancelled. The loops' own ways run it in
    threads that are shared with all else (of which uvloop has four), so a few such receivers would hold up every other
    one, and a stop would wait for them. These threads are for this alone, bounded in number, and a stop leaves them
    behind. Of many addresses the first few count: the connector tries them in quadratic time.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, the best one first.

        Raises:
            OSError: there are none.
            ValueError: this can be no name.

        """
        await self._places.acquire()
        found: asyncio.Future[list[ResolveResult]] = asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=self._look_up, args=(found, host, port, family), name="webhooks", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._places.release()
            raise
        return await found

    async def close(self) -> None:
        """See `AbstractResolver`: there is nothing to let go of."""

    def _look_up(
        self, found: asyncio.Future[list[ResolveResult]], host: str, port: int, family: socket.AddressFamily
    ) -> None:
        result: list[ResolveResult] | Exception
        try:
            result = _addresses(host, port, family)
        except Exception as error:  # noqa: BLE001 - somebody waits for whatever comes
            result = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed since: nobody waits any more
            found.get_loop().call_soon_threadsafe(self._settle, found, result)

    def _settle(self, found: asyncio.Future[list[ResolveResult]], result: list[ResolveResult] | Exception) -> None:
        self._places.release()
        if found.done():  # cancelled
            return
        if isinstance(result, Exception):
            found.set_exception(result)
        else:
            found.set_result(result)


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    # As bytes, for of a text Python makes an IDNA name once more, and raises what is no OSError of one like "a..b".
    infos = socket.getaddrinfo(host.encode(), port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, _NUMERIC)[0],  # with the zone of a link-local address
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST,
        )
        for kind, _type, protocol, _name, address in infos[:MAX_ADDRESSES]
    ]
