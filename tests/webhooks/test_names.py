"""Names of receivers, looked up at nobody else's expense."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.webhooks.receivers import DEADLINE_S, OK, courier, listening
from webmacs.webhooks.names import MAX_ADDRESSES, MAX_LOOKUPS, Names


class SilentServers:
    """The system's resolver, when the name servers of `.silent` do not answer until they are told to."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self._answer = threading.Event()
        self.asked: list[str] = []
        self.waiting = 0

    def getaddrinfo(self, host: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(host, bytes) and host.endswith(b".silent"):
            self.asked.append(host.decode())
            self.waiting += 1
            self._answer.wait(DEADLINE_S)
            self.waiting -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(host, *arguments, **options)

    def answer(self) -> None:
        self._answer.set()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServers]:
    servers = SilentServers(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", servers.getaddrinfo)
    yield servers
    servers.answer()
    for thread in threading.enumerate():
        if thread.name == "webhooks":
            thread.join(DEADLINE_S)


def knows(addresses: list[tuple[Any, ...]]) -> Callable[..., Any]:
    def getaddrinfo(*_arguments: Any, **_options: Any) -> list[tuple[Any, ...]]:
        return addresses

    return getaddrinfo


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():  # noqa: ASYNC110 - in a thread
            await asyncio.sleep(0.001)


async def test_the_addresses_of_a_name_are_those_that_the_system_gives() -> None:
    found = await Names().resolve("localhost", 8000)
    assert {(address["host"], address["port"]) for address in found} <= {("127.0.0.1", 8000), ("::1", 8000)}
    assert found


async def test_a_link_local_address_keeps_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = socket.if_nameindex()[0]
    given = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::1", 80, 0, zone[0]))
    monkeypatch.setattr(socket, "getaddrinfo", knows([given]))
    assert [address["host"] for address in await Names().resolve("neighbour", 80)] == [f"fe80::1%{zone[1]}"]


async def test_of_many_addresses_the_first_few_count(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 80)) for n in range(1, 100)]
    monkeypatch.setattr(socket, "getaddrinfo", knows(given))
    found = await Names().resolve("crowd", 80)
    assert [address["host"] for address in found] == [f"127.0.0.{n}" for n in range(1, MAX_ADDRESSES + 1)]


@pytest.mark.parametrize("name", ["a..b", "a" * 64, "a" * 600, "\ud800"])
async def test_what_can_be_no_name_is_an_error_and_holds_no_place(name: str) -> None:
    names = Names()
    for _ in range(MAX_LOOKUPS + 1):
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises((OSError, ValueError)):
                await names.resolve(name, 80)


async def test_silent_name_servers_hold_up_nobody_else(silent: SilentServers) -> None:
    """Twenty are more threads than either loop has for such things."""
    async with listening(OK) as receiver, courier() as sender:
        waiting = [asyncio.create_task(sender.send(f"http://n{n}.silent/", "id", b"{}", [])) for n in range(20)]
        await until(lambda: silent.waiting == 20)
        assert (await sender.send(receiver.url(host="localhost"), "id", b"{}", [])).delivered
        assert not any(task.done() for task in waiting)
        silent.answer()
        errors = {answer.error for answer in await asyncio.gather(*waiting)}
    assert "the name n0.silent cannot be resolved: Temporary failure in name resolution" in errors
    assert len(errors) == 20


async def test_attempts_that_wait_for_the_same_name_share_one_look_up(silent: SilentServers) -> None:
    async with courier(timeout_s=0.2) as sender:
        answers = await asyncio.gather(*(sender.send("http://name.silent/", "id", b"{}", []) for _ in range(5)))
        answers.append(await sender.send("http://name.silent/", "id", b"{}", []))
    assert silent.asked == ["name.silent"]
    assert {answer.error for answer in answers} == {"Timeout"}


async def test_no_more_names_are_looked_up_at_a_time_than_there_are_places(
    silent: SilentServers, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names()
    tasks = [asyncio.create_task(names.resolve(f"n{n}.silent", 80)) for n in range(MAX_LOOKUPS + 3)]
    await until(lambda: silent.waiting == MAX_LOOKUPS)
    for task in tasks[:MAX_LOOKUPS]:
        task.cancel()
    await asyncio.wait(tasks[:MAX_LOOKUPS])
    assert len(silent.asked) == MAX_LOOKUPS, "a look-up that nobody waits for any more is still under way"
    silent.answer()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError] * MAX_LOOKUPS + [socket.gaierror] * 3
    assert caplog.records == [], "that nobody waited for an answer is no error"


async def test_a_stop_does_not_wait_for_silent_name_servers(silent: SilentServers) -> None:
    async with courier() as sender:
        waiting = asyncio.create_task(sender.send("http://name.silent/", "id", b"{}", []))
        await until(lambda: silent.waiting == 1)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    assert silent.waiting == 1
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "webhooks")


def test_an_answer_after_the_end_of_the_loop_is_dropped(silent: SilentServers) -> None:
    async def ask() -> None:
        waiting = asyncio.create_task(Names().resolve("name.silent", 80))
        await until(lambda: silent.waiting == 1)
        waiting.cancel()

    asyncio.run(ask())
    [thread] = [thread for thread in threading.enumerate() if thread.name == "webhooks"]
    silent.answer()
    thread.join(DEADLINE_S)  # what it raised would be a warning, which is an error
    assert not thread.is_alive()


async def test_a_machine_without_threads_to_spare_is_an_error_and_holds_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = Names()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(MAX_LOOKUPS + 1):
            async with asyncio.timeout(DEADLINE_S):
                with pytest.raises(RuntimeError):
                    await names.resolve("localhost", 80)
    assert await names.resolve("localhost", 80)
