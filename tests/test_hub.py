"""The connection manager: frames, groups, and what a slow client gets, costs and loses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.virtual_time import SkippingLoop, virtual_time
from webmacs.frames import Round, Update, encode, text_frame
from webmacs.hub import (
    CONTROLLER,
    FRONTEND,
    HELD_BYTES,
    LONG_S,
    SWEEP_S,
    TOO_SLOW,
    TRY_AGAIN_LATER,
    Client,
    Hub,
)
from webmacs.metrics import Metrics
from webmacs.model import Identity, Role, User

MARK = 1000
DEADLINE_S = 5.0
NOBODY = Identity(User(1, "u", "u@example.org", "u", Role.VIEWER, 1, 0), None, token_id=1)


def frames(data: bytes) -> Iterator[bytes]:
    """The payloads of unmasked, final text frames, parsed as RFC 6455, section 5.2, has them."""
    while data:
        assert data[0] == 0x81, "FIN and opcode 1, no reserved bits"
        assert not data[1] & 0x80, "a server does not mask"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
            assert size > 125, "the shortest form that holds the length"
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
            assert 0xFFFF < size < 2**63, "the shortest form that holds the length"
        payload = data[start : start + size]
        assert len(payload) == size, "a whole frame"
        yield payload
        data = data[start + size :]


class Peer:
    """A transport whose other end reads when told to."""

    def __init__(self, hub: Hub, *, wanted: frozenset[str] | None = None, group: str = FRONTEND) -> None:
        self.written = b""
        self.unread = 0
        self.closed: list[tuple[int, str]] = []
        self.client = Client(self, self._close, identity=NOBODY, buffer_bytes=MARK, wanted=wanted)
        hub.join(group, self.client)

    def write(self, data: bytes) -> None:
        assert not self.closed, "nothing may follow a close frame"
        self.written += data
        self.unread += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return bool(self.closed)

    def read(self, size: int = 10**9) -> None:
        self.unread = max(0, self.unread - size)

    @property
    def messages(self) -> list[Any]:
        return [json.loads(payload) for payload in frames(self.written)]

    @property
    def shown(self) -> dict[str, int]:
        """The last value of each key."""
        return {key: value for message in self.messages for key, value in message.items()}

    def _close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def update(**values: int) -> Update:
    """An update whose message is an object with these members."""
    return Update(b"{", {key: f'"{key}":{value}'.encode() for key, value in values.items()}, b"}")


def large(value: int, size: int = MARK + 1) -> Update:
    """An update of one key, `k`, whose message is longer than the mark."""
    return Update(b"{", {"k": f'"k":{value}{" " * size}'.encode()}, b"}")


def new_hub(deadline_s: float = DEADLINE_S, metrics: Metrics | None = None) -> Hub:
    """One for which writing takes no time, however busy the machine is."""
    return Hub(deadline_s, metrics or Metrics(), now=lambda: 0.0)


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 0xFFFF, 0x10000, 200_000])
def test_a_frame_holds_its_payload_whatever_its_length(size: int) -> None:
    payload = b"x" * size
    assert list(frames(text_frame(payload))) == [payload]


@pytest.mark.parametrize(("size", "header"), [(125, 2), (126, 4), (0xFFFF, 4), (0x10000, 10)])
def test_a_length_is_written_in_the_shortest_form(size: int, header: int) -> None:
    assert len(text_frame(b"x" * size)) == header + size


@given(st.lists(st.binary(max_size=300)))
def test_frames_in_a_row_parse_back(payloads: list[bytes]) -> None:
    assert list(frames(b"".join(map(text_frame, payloads)))) == payloads


def test_a_message_is_compact_json_in_utf_8() -> None:
    assert encode({"a": [1, "ü"], "b": None}) == '{"a":[1,"ü"],"b":null}'.encode()


def payload(of: Update, wanted: frozenset[str] | None = None) -> Any:
    frame = of.frame(wanted)
    return json.loads(next(frames(frame))) if frame else None


def test_an_update_has_all_keys_for_who_wants_all_and_some_for_who_wants_some() -> None:
    both = update(a=1, b=2)
    assert [payload(both, wanted) for wanted in (None, frozenset("a"), frozenset("bz"), frozenset("z"))] == [
        {"a": 1, "b": 2},
        {"a": 1},
        {"b": 2},
        None,
    ]


def test_an_update_without_fragments_has_no_frame() -> None:
    assert payload(update()) is None


def test_the_frames_of_a_round_are_made_once_for_all_who_want_the_same() -> None:
    both = Round(update(a=1, b=2), update(b=3))
    assert len(both.updates) == 2
    for wanted in (None, frozenset("a"), frozenset("z")):
        made = both.frames(wanted)
        assert made is both.frames(None if wanted is None else frozenset(wanted))
        assert made == both.updates[0].frame(wanted) + both.updates[1].frame(wanted)


KEYS = st.sampled_from("abcd")
VALUES = st.dictionaries(KEYS, st.integers(0, 99))
WANTED = st.none() | st.frozensets(KEYS)


@given(st.lists(VALUES, min_size=1), WANTED)
def test_updates_coalesce_to_the_newest_of_each_wanted_key(
    sent: list[dict[str, int]], wanted: frozenset[str] | None
) -> None:
    waiting: Update | None = None
    newest: dict[str, int] = {}
    for values in sent:
        waiting = update(**values).onto(waiting, wanted)
        newest |= {key: value for key, value in values.items() if wanted is None or key in wanted}
    assert waiting is not None
    assert (payload(waiting, wanted) or {}) == newest
    assert waiting.fragments.keys() == newest.keys()


# -- groups ----------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_broadcast_reaches_every_member_of_its_group_and_nobody_else() -> None:
    hub = new_hub()
    browsers, controller = [Peer(hub) for _ in range(3)], Peer(hub, group=CONTROLLER)
    hub.broadcast(FRONTEND, {"n": 1})
    hub.broadcast(FRONTEND, update(a=2))
    assert [peer.messages for peer in browsers] == [[{"n": 1}, {"a": 2}]] * 3
    assert controller.messages == []


@virtual_time
async def test_who_left_gets_nothing_any_more() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.leave(peer.client)
    hub.broadcast(FRONTEND, update(a=1))
    assert (peer.messages, hub.size(FRONTEND)) == ([], 0)


@virtual_time
async def test_who_does_not_listen_gets_nothing_that_is_broadcast() -> None:
    hub = new_hub()
    deaf, peer = [Peer(hub, group=CONTROLLER) for _ in range(2)]
    deaf.client.listening = False
    hub.broadcast(CONTROLLER, {"n": 1})
    hub.broadcast(CONTROLLER, update(a=2))
    assert (peer.messages, deaf.messages) == ([{"n": 1}, {"a": 2}], [])
    assert hub.listeners(CONTROLLER) == [peer.client]
    deaf.client.send({"type": "ack"})
    assert deaf.messages == [{"type": "ack"}]


@virtual_time
async def test_leaving_twice_is_harmless() -> None:
    hub = new_hub()
    peer, other = Peer(hub), Peer(hub)
    hub.leave(peer.client)
    hub.leave(peer.client)
    assert list(hub.clients()) == [other.client]


@virtual_time
async def test_members_may_leave_while_they_are_told() -> None:
    hub = new_hub()
    for _ in range(3):
        Peer(hub)
    for client in hub.clients():
        hub.leave(client)
    assert hub.size(FRONTEND) == 0


@virtual_time
async def test_everyone_can_be_judged_again() -> None:
    hub = new_hub()
    Peer(hub)
    assert [(client.identity, client.needs) for client in hub.clients()] == [(NOBODY, Role.VIEWER)]


@virtual_time
async def test_everyone_of_every_group_is_told_that_it_is_over() -> None:
    hub = new_hub()
    peers = [Peer(hub), Peer(hub, group=CONTROLLER)]
    hub.close_all(1001, "Server is stopping")
    assert [peer.closed for peer in peers] == [[(1001, "Server is stopping")]] * 2


@virtual_time
async def test_the_sizes_of_the_groups_are_gauges() -> None:
    metrics = Metrics()
    Peer(Hub(DEADLINE_S, metrics), group=CONTROLLER)
    lines = metrics.text().splitlines()
    assert b"webmacs_controller_connections 1.0" in lines
    assert b"webmacs_frontend_connections 0.0" in lines


# -- slow clients ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_slow_client_gets_the_newest_of_each_key_when_it_has_read() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    for number in range(1, 10):
        hub.broadcast(FRONTEND, update(a=number))
    hub.broadcast(FRONTEND, update(b=-1))
    assert peer.messages == [{"k": 0}]
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}, {"a": 9, "b": -1}]


@virtual_time
async def test_a_slow_client_gets_only_the_keys_it_wants() -> None:
    hub = new_hub()
    peer = Peer(hub, wanted=frozenset("ka"))
    for one in (large(0), update(a=1, b=2), update(b=3)):
        hub.broadcast(FRONTEND, one)
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}, {"a": 1}]


@virtual_time
async def test_of_what_a_client_does_not_want_nothing_is_kept_for_it() -> None:
    hub = new_hub()
    peer = Peer(hub, wanted=frozenset("ka"))
    for one in (large(0), update(a=1, b=2), update(b=3)):
        hub.broadcast(FRONTEND, one)
    assert peer.client.waiting is not None
    assert peer.client.waiting.fragments.keys() == {"a"}


@pytest.mark.parametrize(("unread", "at_once"), [(MARK, True), (MARK + 1, False)])
@virtual_time
async def test_an_update_is_sent_at_once_up_to_the_mark(unread: int, at_once: bool) -> None:
    hub = new_hub()
    peer = Peer(hub)
    peer.unread = unread
    hub.broadcast(FRONTEND, update(a=1))
    assert peer.messages == [{"a": 1}] * at_once


@virtual_time
async def test_it_is_sent_more_only_when_half_of_the_mark_is_free() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    peer.read(peer.unread - MARK // 2 - 1)
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}]
    peer.read(1)
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}, {"a": 1}]


@virtual_time
async def test_a_client_that_has_caught_up_gets_everything_again() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    hub.broadcast(FRONTEND, update(a=2))
    assert peer.messages[1:] == [{"a": 1}, {"a": 2}]


@virtual_time
async def test_a_client_that_takes_nothing_within_the_deadline_is_cut_with_a_reason() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    await asyncio.sleep(DEADLINE_S - 2 * SWEEP_S)
    assert peer.closed == []
    await asyncio.sleep(4 * SWEEP_S)
    assert peer.closed == [(TRY_AGAIN_LATER, TOO_SLOW)]


@virtual_time
async def test_a_client_that_takes_a_little_now_and_then_is_not_cut() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0, size=100 * MARK))
    for number in range(20):
        hub.broadcast(FRONTEND, update(a=number))
        await asyncio.sleep(DEADLINE_S - 2 * SWEEP_S)
        peer.read(1)
    assert peer.closed == []


@virtual_time
async def test_a_stuck_client_disturbs_nobody() -> None:
    hub = new_hub()
    stuck, healthy = Peer(hub), Peer(hub)
    for number in range(100):
        hub.broadcast(FRONTEND, large(number))
        healthy.read()
        await asyncio.sleep(0.1)
    assert [message["k"] for message in healthy.messages] == list(range(100))
    assert (len(stuck.closed), healthy.closed) == (1, [])


@virtual_time
async def test_what_a_stuck_client_costs_is_bounded() -> None:
    hub = new_hub(3600.0)
    stuck = Peer(hub)
    for number in range(10_000):
        hub.broadcast(FRONTEND, update(**{f"event{number % 50}": number}))
    assert stuck.unread <= MARK + 100  # the mark and one message
    assert stuck.client.waiting is not None
    assert len(stuck.client.waiting.fragments) == 50


@virtual_time
async def test_updates_that_have_to_wait_are_counted() -> None:
    metrics = Metrics()
    hub = new_hub(metrics=metrics)
    Peer(hub)
    for one in (large(0), update(a=1), update(a=2)):
        hub.broadcast(FRONTEND, one)
    assert metrics.counter("stream_coalesced", "").value == 2


# -- pauses between rounds -------------------------------------------------------------------------------------------


class Crowd:
    """A hub for which writing takes time: so many seconds for each frame."""

    def __init__(self, cost_s: float, peers: int = 2) -> None:
        self._spent_s, self._cost_s = 0.0, cost_s
        self.hub = Hub(DEADLINE_S, Metrics(), now=lambda: asyncio.get_running_loop().time() + self._spent_s)
        self.peers = [Peer(self.hub) for _ in range(peers)]
        for peer in self.peers:
            peer.client.transport = self
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self._spent_s += self._cost_s
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def taken(self) -> list[Any]:
        """The messages that came since this was asked."""
        messages = [json.loads(payload) for payload in frames(bytes(self.written))]
        self.written.clear()
        return messages


@virtual_time
async def test_after_a_round_that_took_long_what_comes_goes_out_together_after_a_pause_as_long() -> None:
    crowd = Crowd(cost_s=0.005)
    crowd.hub.broadcast(FRONTEND, update(a=1))
    assert crowd.taken() == [{"a": 1}] * 2
    crowd.hub.broadcast(FRONTEND, update(a=2))
    crowd.hub.broadcast(FRONTEND, update(b=3))
    await asyncio.sleep(0.009)
    assert crowd.taken() == []
    await asyncio.sleep(0.002)
    assert crowd.taken() == [{"a": 2, "b": 3}] * 2
    await asyncio.sleep(0.011)
    crowd.hub.broadcast(FRONTEND, update(a=4))
    assert crowd.taken() == [{"a": 4}] * 2


@virtual_time
async def test_a_round_that_took_little_is_followed_by_no_pause() -> None:
    crowd = Crowd(cost_s=LONG_S / 3)
    for number in range(5):
        crowd.hub.broadcast(FRONTEND, update(a=number))
    assert crowd.taken() == [{"a": number} for number in range(5) for _ in range(2)]


@virtual_time
async def test_a_pause_ends_early_when_much_is_held() -> None:
    crowd = Crowd(cost_s=1.0)
    crowd.hub.broadcast(FRONTEND, update(a=1))
    crowd.hub.broadcast(FRONTEND, large(2, HELD_BYTES // 2))
    assert crowd.taken() == [{"a": 1}] * 2
    crowd.hub.broadcast(FRONTEND, large(3, HELD_BYTES // 2))
    assert crowd.taken() == [{"k": 2}, {"k": 3}] * 2


@virtual_time
async def test_of_a_round_a_client_gets_what_it_wants_and_nothing_if_that_is_none_of_it() -> None:
    crowd = Crowd(cost_s=0.005, peers=1)
    some, none = Peer(crowd.hub, wanted=frozenset("b")), Peer(crowd.hub, wanted=frozenset("z"))
    for one in (update(a=1), update(a=2, b=3), update(a=4), update(b=5)):
        crowd.hub.broadcast(FRONTEND, one)
    crowd.hub.flush()
    assert (some.messages, none.messages) == ([{"b": 3}, {"b": 5}], [])


@virtual_time
async def test_what_goes_out_together_is_one_message_unless_a_key_would_be_in_it_twice() -> None:
    crowd = Crowd(cost_s=0.005, peers=1)
    for one in (update(), update(a=1), update(b=2), update(c=3, b=4), update(a=5)):
        crowd.hub.broadcast(FRONTEND, one)
    crowd.hub.flush()
    assert crowd.taken() == [{"a": 1}, {"b": 2}, {"a": 5, "b": 4, "c": 3}]


@virtual_time
async def test_nothing_overtakes_what_is_held_and_it_is_not_lost_at_the_end() -> None:
    crowd = Crowd(cost_s=1.0, peers=1)
    crowd.hub.broadcast(FRONTEND, update(a=1))
    crowd.hub.broadcast(FRONTEND, update(a=2))
    crowd.hub.broadcast(FRONTEND, {"n": 3})
    crowd.hub.broadcast(FRONTEND, update(a=4))
    crowd.hub.close_all(1001, "Server is stopping")
    assert crowd.taken() == [{"a": 1}, {"a": 2}, {"n": 3}, {"a": 4}]
    await asyncio.sleep(3)
    assert crowd.taken() == []


@virtual_time
async def test_nobody_is_looked_at_while_everyone_keeps_up() -> None:
    hub = new_hub()
    Peer(hub)
    hub.broadcast(FRONTEND, update(a=1))
    assert hub._timer is None


@virtual_time
async def test_nobody_is_looked_at_any_more_when_the_slow_one_has_left() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    assert hub._timer is not None
    hub.leave(peer.client)
    await asyncio.sleep(2 * SWEEP_S)
    assert hub._timer is None


@virtual_time
async def test_a_client_may_leave_in_the_moment_it_is_cut() -> None:
    hub = new_hub()
    leaving, other = Peer(hub), Peer(hub)
    leaving.client.close = lambda _code, _reason: hub.leave(leaving.client)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    await asyncio.sleep(DEADLINE_S + 2 * SWEEP_S)
    assert (list(hub.clients()), other.closed) == ([other.client], [(TRY_AGAIN_LATER, TOO_SLOW)])


# -- what one wants may change ---------------------------------------------------------------------------------------


@virtual_time
async def test_from_now_on_a_client_gets_what_it_wants_now() -> None:
    hub = new_hub()
    peer = Peer(hub, wanted=frozenset("ab"))
    peer.client.want(frozenset("bc"))
    hub.broadcast(FRONTEND, update(a=1, b=2, c=3))
    assert peer.shown == {"b": 2, "c": 3}


@virtual_time
async def test_what_waits_and_is_not_wanted_any_more_is_not_sent() -> None:
    hub = new_hub()
    peer = Peer(hub, wanted=frozenset("kab"))
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1, b=2))
    peer.client.want(frozenset("b"))
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}, {"b": 2}]


@virtual_time
async def test_who_wants_nothing_of_what_waits_is_sent_nothing_and_is_slow_no_more() -> None:
    hub = new_hub()
    peer = Peer(hub, wanted=frozenset("ka"))
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    peer.client.want(frozenset("c"))
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    hub.broadcast(FRONTEND, update(c=3))
    assert peer.messages == [{"k": 0}, {"c": 3}]
    await asyncio.sleep(2 * SWEEP_S)
    assert hub._timer is None


@virtual_time
async def test_what_is_offered_to_one_waits_as_what_is_broadcast_does() -> None:
    hub = new_hub()
    peer, other = Peer(hub), Peer(hub)
    for one in (large(0), update(a=1), update(a=2)):
        hub.offer(peer.client, one)
    assert (peer.messages, other.messages) == ([{"k": 0}], [])
    await asyncio.sleep(DEADLINE_S / 2)
    peer.read()
    await asyncio.sleep(2 * SWEEP_S)
    assert peer.messages == [{"k": 0}, {"a": 2}]
    hub.offer(peer.client, large(1))
    hub.offer(peer.client, update(a=3))
    await asyncio.sleep(DEADLINE_S + 2 * SWEEP_S)
    assert (peer.closed, other.closed) == ([(TRY_AGAIN_LATER, TOO_SLOW)], [])


# -- messages to one -------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_slow_client_is_answered_at_once() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    peer.client.send({"type": "pong"})
    assert peer.messages == [{"k": 0}, {"type": "pong"}]


@virtual_time
async def test_a_client_that_lets_its_answers_pile_up_is_cut() -> None:
    peer = Peer(new_hub())
    for _ in range(1000):
        peer.client.send({"type": "pong"})
    assert peer.closed[0] == (TRY_AGAIN_LATER, TOO_SLOW)
    assert peer.unread <= 2 * MARK + 100


@virtual_time
async def test_a_client_that_reads_its_answers_may_ask_as_often_as_it_likes() -> None:
    peer = Peer(new_hub())
    for _ in range(1000):
        peer.client.send({"type": "pong"})
        peer.read()
    assert peer.closed == []


@pytest.mark.parametrize("answered_before", [False, True])
@virtual_time
async def test_answers_may_pile_up_to_the_mark_beyond_what_waits_already(answered_before: bool) -> None:
    peer = Peer(new_hub())
    if answered_before:
        peer.client.send({"type": "pong"})
        peer.unread = MARK
        peer.client.send({"type": "pong"})
    else:
        peer.unread = MARK + 1
    peer.client.send({"type": "x" * (MARK - len(text_frame(encode({"type": "x" * 200}))) + 200)})
    assert peer.closed == []
    peer.client.send({"type": "pong"})
    assert peer.closed == [(TRY_AGAIN_LATER, TOO_SLOW)]


# -- closing ---------------------------------------------------------------------------------------------------------


@virtual_time
async def test_nothing_is_written_once_closing_has_begun() -> None:
    hub = new_hub()
    quick, slow = Peer(hub), Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    quick.read()
    hub.broadcast(FRONTEND, update(a=1))
    hub.close_all(1001, "Server is stopping")
    written = quick.written, slow.written
    slow.read()
    for peer in (quick, slow):
        peer.client.send({"type": "pong"})
        peer.client.write(text_frame(b"{}"))
    hub.broadcast(FRONTEND, update(a=2))
    hub.broadcast(FRONTEND, {"n": 1})
    await asyncio.sleep(2 * DEADLINE_S)
    assert (quick.written, slow.written) == written


@virtual_time
async def test_a_client_that_is_closing_is_not_watched_any_more() -> None:
    hub = new_hub()
    peer = Peer(hub)
    hub.broadcast(FRONTEND, large(0))
    hub.broadcast(FRONTEND, update(a=1))
    hub.close_all(1001, "Server is stopping")
    hub.broadcast(FRONTEND, update(a=2))
    await asyncio.sleep(2 * DEADLINE_S)
    assert (len(peer.closed), hub._timer) == (1, None)


@virtual_time
async def test_an_update_for_a_client_that_is_closing_does_not_count_as_waiting() -> None:
    metrics = Metrics()
    hub = new_hub(metrics=metrics)
    Peer(hub).client.close(1000, "")
    hub.broadcast(FRONTEND, update(a=1))
    assert (metrics.counter("stream_coalesced", "").value, hub._timer) == (0, None)


# -- whatever happens ------------------------------------------------------------------------------------------------


class HubMachine(RuleBasedStateMachine):
    """Clients with filters that read as they like, come and go, while updates are broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = SkippingLoop()
        self.hub = new_hub()
        self.peers: list[Peer] = []
        self.due: dict[Peer, dict[str, int]] = {}
        self.number = 0

    def teardown(self) -> None:
        """When everyone has read, everyone who was not cut has the newest of each key it wants."""
        try:
            for _ in range(4):
                for peer in self.peers:
                    peer.read()
                self.wait(SWEEP_S)
            for peer in self.peers:
                if not peer.closed:
                    assert peer.shown == self.due[peer]
                for key in "abcd":
                    seen = [message[key] for message in peer.messages if key in message]
                    assert seen == sorted(set(seen)), "in order, nothing twice"
            assert self.hub._timer is None
        finally:
            self.loop.close()

    @initialize(wanted=st.lists(WANTED, min_size=1, max_size=3))
    def begin(self, wanted: list[frozenset[str] | None]) -> None:
        for one in wanted:
            self.join(one)

    @rule(wanted=WANTED)
    def join(self, wanted: frozenset[str] | None) -> None:
        if len(self.peers) < 6:
            peer = Peer(self.hub, wanted=wanted)
            self.peers.append(peer)
            self.due[peer] = {}

    @rule(keys=st.sets(KEYS), size=st.sampled_from([0, 0, MARK // 2, 2 * MARK]))
    def broadcast(self, keys: set[str], size: int) -> None:
        self.number += 1
        one = Update(b"{", {key: f'"{key}":{self.number}{" " * size}'.encode() for key in keys}, b"}")
        self.loop.call_soon(self.hub.broadcast, FRONTEND, one)
        self.wait(0.0)
        for peer in self.peers:
            if not peer.closed:
                wanted = peer.client.wanted
                self.due[peer] |= dict.fromkeys(keys if wanted is None else keys & wanted, self.number)

    @rule(data=st.data(), size=st.integers(1, 3 * MARK))
    def read(self, data: st.DataObject, size: int) -> None:
        data.draw(st.sampled_from(self.peers)).read(size)

    @rule(seconds=st.sampled_from([0.0, SWEEP_S, 1.0, DEADLINE_S + 1]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @invariant()
    def what_waits_is_bounded(self) -> None:
        for peer in self.peers:
            assert peer.unread <= MARK + 4 * (2 * MARK + 20)
            assert peer.client.waiting is None or len(peer.client.waiting.fragments) <= 4

    @invariant()
    def only_who_takes_nothing_is_cut(self) -> None:
        for peer in self.peers:
            assert peer.closed in ([], [(TRY_AGAIN_LATER, TOO_SLOW)])


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
