"""A private address is not reached, however it is spelled and whoever names it: zero hits at receivers on loopback."""

# ruff: noqa: RUF001 - characters that look like others are what this is about

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.webhooks.receivers import OK, courier, listening, reply, saying, saying_last
from webmacs.webhooks.attempt import Answer

SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "4294967295",
    "0",
    "0.0.0.0",
    "00.0x0.0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "loc%61lhost",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "ｌocalhost",
    "ip6-localhost",
    "１２７.0.0.1",
    "１２７．０．０．１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::1%lo]",
    "[::1%25lo]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1%lo]",
    "[fe80::1]",
    "8.8.8.8@127.0.0.1",
    "user:password@localhost",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
]
HOSTS = {name: ["127.0.0.1", "::1"] for name in ("localhost", "localhost.", "127.0.0.1.nip.example")} | {
    "ip6-localhost": ["::1"]
}


class System:
    """The system's resolver: of its names, and of numbers, which it takes in any spelling."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names
        self.asked: list[str] = []
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(host, bytes):  # somebody else
            return self._real(host, port, *arguments, **options)
        name = host.decode()
        self.asked.append(name)
        addresses = self.names.get(name.lower(), [name])
        found = []
        for address in addresses:
            found += self._real(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return found


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made = System(dict(HOSTS))
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made


def refused_at_once(answer: Answer) -> bool:
    """Not by the other side, but before anything was sent."""
    assert answer.error is not None
    words = ("webhooks.allowed_networks", "is not an IP address", "cannot be called", "cannot be resolved")
    return answer.status is None and any(word in answer.error for word in words)


@pytest.mark.promise("S4")
@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("spelling", [*SPELLINGS, *HOSTS])
async def test_no_spelling_of_a_private_address_is_connected_to(spelling: str) -> None:
    async with (
        listening(OK) as four,
        listening(OK, host="::1", port=four.port) as six,
        courier("203.0.113.0/24") as sender,
    ):
        answer = await sender.send(f"http://{spelling}:{four.port}/hook", "id", b"{}", [])
        assert await four.hits() == 0
        assert await six.hits() == 0
    assert refused_at_once(answer), answer


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "①②⑦.⓪.⓪.①", "0x7f000001"])
async def test_the_same_receivers_are_reached_when_their_networks_are_allowed(host: str) -> None:
    async with listening(OK) as four, listening(OK, host="::1", port=four.port) as six, courier() as sender:
        answer = await sender.send(f"http://{host}:{four.port}/hook", "id", b"{}", [])
        assert answer.delivered, answer
        assert await four.hits() + await six.hits() == 1


@pytest.mark.promise("S4")
@pytest.mark.parametrize("addresses", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.2"]])
async def test_of_the_addresses_of_a_name_only_those_that_may_be_are_connected_to(
    addresses: list[str], system: System
) -> None:
    system.names["receiver.example"] = addresses
    async with (
        listening(OK) as private,
        listening(OK, host="::1", port=private.port) as private_too,
        listening(OK, host="127.0.0.2", port=private.port) as permitted,
        courier("127.0.0.2/32") as sender,
    ):
        answer = await sender.send(private.url(host="receiver.example"), "id", b"{}", [])
        assert answer.delivered, answer
        assert (await permitted.hits(), await private.hits(), await private_too.hits()) == (1, 0, 0)


async def test_that_the_permitted_address_is_dead_makes_no_other_one_permitted(system: System) -> None:
    system.names["receiver.example"] = ["127.0.0.2", "127.0.0.1"]
    async with listening(OK) as private, courier("127.0.0.2/32") as sender:
        answer = await sender.send(private.url(host="receiver.example"), "id", b"{}", [])
        assert not answer.delivered
        assert await private.hits() == 0


@pytest.mark.promise("S4")
async def test_a_name_that_changes_its_mind_is_judged_by_what_it_says_now(system: System) -> None:
    """DNS rebinding: first an address that may be, and a private one as soon as anybody asks again."""
    async with (
        listening(OK) as private,
        listening(saying_last(reply(200, "Connection: close")), host="127.0.0.2", port=private.port) as permitted,
        courier("127.0.0.2/32") as sender,
    ):
        answers = []
        for address in ("127.0.0.2", "127.0.0.1", "127.0.0.2"):
            system.names["receiver.example"] = [address]
            answers.append(await sender.send(private.url(host="receiver.example"), "id", b"{}", []))
        assert (await permitted.hits(), await private.hits()) == (2, 0)
    assert [answer.delivered for answer in answers] == [True, False, True]
    assert refused_at_once(answers[1])


async def test_a_name_is_asked_once_for_each_connection_so_nothing_can_change_in_between(system: System) -> None:
    async with listening(OK) as receiver, courier() as sender:
        assert (await sender.send(receiver.url(host="localhost"), "id", b"{}", [])).delivered
    assert system.asked == ["localhost"]


@pytest.mark.promise("S4")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["http://127.0.0.1:{}/", "//127.0.0.1:{}/", "http://127.0.0.2:{}/"])
async def test_a_redirect_is_a_failure_and_leads_nowhere(status: int, where: str) -> None:
    async with (
        listening(OK) as private,
        listening(saying(reply(status, f"Location: {where.format(private.port)}")), host="127.0.0.2") as permitted,
        courier("127.0.0.2/32") as sender,
    ):
        answer = await sender.send(permitted.url(host="127.0.0.2"), "id", b"{}", [])
        assert (await permitted.hits(), await private.hits()) == (1, 0)
    assert (answer.status, answer.error) == (status, f"HTTP {status}")


@pytest.mark.promise("S4")
async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(OK) as proxy, listening(OK, host="127.0.0.2") as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("no_proxy", raising=False)
        async with courier() as sender:
            assert (await sender.send(receiver.url(host="127.0.0.2"), "id", b"{}", [])).delivered
        assert (await receiver.hits(), await proxy.hits()) == (1, 0)
