"""One history on a site: who came, what they did and were told, and the comparison of all of it with the model."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.guest import Guest
from tests.faults.model import NOT_STORED, NOTHING_VALID, Credential, Entrance, Item, Model, Sequel
from tests.faults.site import DEADLINE_S, WINDOW_S, Site
from tests.plant import PASSWORD, now_us
from webmacs.model import Role, Scope, to_datetime
from webmacs.storage import accounts, plugins, records

USERS: Final = (Role.OPERATOR, Role.OPERATOR, Role.VIEWER)
EVENTS: Final = 3
MINUTE_US: Final = 60_000_000
STOPPING: Final = 1001, "Server is stopping"


@dataclass
class Sums:
    """What all histories of a test came to."""

    histories: int = 0
    steps: int = 0
    sent: int = 0
    again: int = 0
    acknowledged: int = 0
    stored: int = 0
    alarms: int = 0
    looked: int = 0
    first_failure: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    thrown_out_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """What a controller keeps in order to send it again."""

    owner: str
    batch_id: str
    contents: tuple[Item, ...]


class Play:
    """A history, with users and events of its own, on a site that others have used before it."""

    def __init__(self, site: Site, sums: Sums) -> None:
        self.site, self.sums = site, sums
        self.model = Model()
        self.events: list[str] = []
        self.credentials: list[Credential] = []
        self.guests: list[Guest] = []
        self.batches: list[Batch] = []
        self.troubled = False
        """Whether there is, or was just now, a fault from which the server has not been seen to recover."""
        self._gone: list[Guest] = []
        self._channels: dict[str, tuple[str, str]] = {}  # by event: plugin instance, channel
        self._rules: dict[str, str] = {}
        self._texts: dict[Credential, tuple[str, str]] = {}  # text and, of a token, its id
        self._values = itertools.count(1)
        self._last_delivery = 0
        self._alarms = 0
        self._counted = 0.0  # readings stored, as the server says
        self._found = 0  # the same, as there are

    @property
    def controllers(self) -> list[Guest]:
        """Those who may send."""
        return [guest for guest in self.guests if guest.entrance is Entrance.CONTROLLER]

    async def begin(self) -> None:
        storage, name = self.site.server.parts.storage, uuid.uuid4().hex
        self._last_delivery = self.site.last_delivery()
        for number, role in enumerate(USERS):
            address = f"{number}-{name}@example.org"
            owner = await accounts.add_user(
                storage, email=address, username=address, password_hash="none", role=role, now_us=now_us()
            )
            self.model.roles[owner] = role
        for number in range(EVENTS):
            plugin = await plugins.add_plugin(
                storage, plugin_id="test", instance_name=f"{number} {name}", now_us=now_us()
            )
            event = await records.add_event(storage, name=f"{number} {name}", unit="V", now_us=now_us())
            channel = await plugins.add_channel(
                storage, plugin=plugin, channel_id="in", channel_name="In", unit="V", event=event, now_us=now_us()
            )
            self.events.append(event)
            self._channels[event] = plugin, channel
        await self.site.server.parts.catalog.reload()
        self.model.events |= set(self.events)
        self.model.linked |= set(self.events)
        self._counted = (await self._metrics())["readings_stored_total"]
        for event in self.events[:2]:
            await self.change(event, "watch")
        owners = list(self.model.roles)
        for owner, scope in ((owners[0], None), (owners[0], Scope.INGEST), (owners[1], None)):
            await self.arrive(await self.credential(owner, scope), Entrance.CONTROLLER, "")
        await self.arrive(await self.credential(owners[2], None), Entrance.BROWSER, "")

    async def end(self) -> None:
        """Leave nothing behind that would make the next history slower."""
        for guest in (*self.guests, *self._gone):
            await guest.leave(politely=False)
            self.sums.looked += guest.looked
        left = [f"/api/v1/events/{event}" for event in self.events]
        left += [f"/api/v1/users/{owner}" for owner in self.model.roles]
        await asyncio.gather(*(self.site.ask("DELETE", path) for path in left))
        left = [f"/api/v1/plugins/{plugin}" for plugin, _ in self._channels.values()]
        await asyncio.gather(*(self.site.ask("DELETE", path) for path in left))

    async def credential(self, owner: str, scope: Scope | None) -> Credential:
        """A new session of theirs; or, with a scope, a new API token."""
        who = Credential(owner, scope)
        parts = self.site.server.parts
        session = parts.auth.issue(parts.catalog.current.users[owner]).token
        self._texts[who] = session, ""
        if scope is not None:
            made = await self.site.ask("POST", "/api/v1/tokens", session, name=str(uuid.uuid4()), scope=scope)
            self._texts[who] = made["token"], made["public_id"]
        self.credentials.append(who)
        return who

    async def arrive(self, who: Credential, entrance: Entrance, query: str) -> None:
        """Connect. Who has the right is let in, who has not is told why."""
        asked = {"snapshot": {"snapshot": "1"}, "events": {"events": ",".join(self.events[:2])}}.get(query, {})
        text, _ = self._texts[who]
        server = self.site.server
        guest = await Guest.arrive(self.site.client, server.address, text, who, entrance, self.site.has, **asked)
        guest.query, guest.disturbed = query, self.troubled
        refusal = self.model.refusal(who, entrance, arriving=True)
        if refusal is None:
            assert guest.is_in, f"{who} at {entrance} was refused: {guest.ended}"
            self.guests.append(guest)
            if entrance is Entrance.BROWSER and not self.troubled:
                shown = (await self._settle()).shown
                guest.attended = {event: len(shown[event]) for event in self.events}
        else:
            said = await guest.farewell()
            assert said == (1008, refusal), said
            self._gone.append(guest)

    async def leave(self, guest: Guest, *, politely: bool) -> None:
        """Disconnect, with or without a word."""
        self.guests.remove(guest)
        self._gone.append(guest)
        await guest.leave(politely=politely)

    async def send(self, made: Sequence[tuple[Guest, Batch, bool]]) -> None:
        """Send batches: who, what, and whether with its `batch_id`. While all is well, wait for the answers."""
        for guest, batch, asks in made:
            identity = (batch.owner, batch.batch_id) if asks else batch.batch_id
            sending = self.model.sent(identity, batch.contents)
            self.sums.sent += len(batch.contents)
            message = {"datapoints": [_as_sent(item) for item in batch.contents]}
            await guest.send(sending, json.dumps(message | ({"batch_id": batch.batch_id} if asks else {})))
        for guest in {id(guest): guest for guest, _, _ in made}.values():
            await guest.roll_call()
            if not self.troubled:
                await guest.answered()

    async def revoke(self, who: Credential, how: str) -> None:
        """Take a right away, and see those out who had lived by it."""
        model, site = self.model, self.site
        text, token_id = self._texts[who]
        if who.owner not in model.roles or who in model.logged_out | model.outdated:
            return
        await self._settle()
        began = time.monotonic()
        if how == "end the credential":
            if who.scope is None:
                await site.ask("POST", "/api/v1/auth/logout", text)
                model.logged_out.add(who)
            else:
                await site.ask("DELETE", f"/api/v1/tokens/{token_id}")
                model.outdated.add(who)
        elif how == "change the password":
            await site.ask("PUT", f"/api/v1/users/{who.owner}", password=f"another {PASSWORD}")
            model.outdated |= {one for one in self.credentials if (one.owner, one.scope) == (who.owner, None)}
        elif how == "demote":
            await site.ask("PUT", f"/api/v1/users/{who.owner}", role=Role.VIEWER)
            model.roles[who.owner] = Role.VIEWER
        elif how == "delete":
            await site.ask("DELETE", f"/api/v1/users/{who.owner}")
            del model.roles[who.owner]
        await self._see_out(began)

    async def _see_out(self, began: float) -> None:
        """Everyone without a right to be there is out, and was told why."""
        for guest in self.guests:
            refusal = self.model.refusal(guest.who, guest.entrance)
            if refusal is not None:
                said = await guest.farewell()
                assert said == (1008, refusal), said
                self.sums.thrown_out_s.append(time.monotonic() - began)
                self._gone.append(guest)
        self.guests = [guest for guest in self.guests if guest not in self._gone]

    async def change(self, event: str, how: str) -> None:
        """Change the configuration."""
        model, site = self.model, self.site
        plugin, channel = self._channels[event]
        await self._settle()  # what was sent before was judged by what was so before
        if how in {"link", "unlink"}:
            linked = event if how == "link" else None
            await site.ask("PUT", f"/api/v1/plugins/{plugin}/channels/{channel}", event_public_id=linked)
            model.linked = model.linked | {event} if linked else model.linked - {event}
        elif how in {"enable", "disable"}:
            await site.ask("PUT", f"/api/v1/plugins/{plugin}", enabled=how == "enable")
            model.disabled = model.disabled - {event} if how == "enable" else model.disabled | {event}
        elif how == "watch" and event not in self._rules:
            name = f"rule {uuid.uuid4()}"
            condition: dict[str, Any] = {
                "operator": "gt",
                "threshold": 0,
                "action_type": "webhook",
                "cooldown_seconds": 0,
            }
            await site.ask("POST", "/api/v1/rules", name=name, event_public_id=event, **condition)
            (self._rules[event],) = [
                one.public_id for one in site.server.parts.catalog.current.rules if one.name == name
            ]
            model.watched.add(event)
        elif how == "ignore" and event in self._rules:
            await site.ask("DELETE", f"/api/v1/rules/{self._rules.pop(event)}")
            model.watched.discard(event)
        elif how == "delete":
            await self.rest()
            await site.ask("DELETE", f"/api/v1/events/{event}")
            self.events.remove(event)
            self._rules.pop(event, None)
            for places in (model.events, model.linked, model.watched):
                places.discard(event)
            self._found = len(self.site.rows(self.events))

    async def fault(self, fault: str) -> None:
        """Let something happen to the storage."""
        self.sums.faults[fault.replace("_", " ")] += 1
        for guest in self.guests:
            guest.disturbed = True
        self.troubled = True
        await self.site.break_(fault)

    async def recover(self) -> None:
        """Without help: what waited is stored, who asked is answered."""
        await self.site.repair()
        await self.site.recovered()
        for guest in self.controllers:
            await guest.roll_call()
            await guest.answered()
        self.troubled = False

    async def restart(self) -> None:
        """Stop and start the server, to which everyone comes back; a fault of the storage is over in between."""
        self.sums.faults["server stopped and started"] += 1
        for guest in self.guests:
            guest.disturbed = guest.disturbed or self.troubled
        await self.site.stop()
        for guest in self.guests:
            said = await guest.farewell()
            assert said == STOPPING, said
        came_back, self.guests = self.guests, []
        self._gone += came_back
        await self.site.repair()
        await self.site.start()
        await self.site.recovered()
        self.troubled = False
        self._counted, self._found = 0.0, len(self.site.rows(self.events))
        for guest in came_back:
            await self.arrive(guest.who, guest.entrance, guest.query)

    async def _quiet(self) -> dict[str, float]:
        """Wait until nothing is queued and everyone who has gone has given back their place; returns the metrics."""
        groups = Counter(guest.entrance for guest in self.guests)
        due = {"queue_rows": 0, "controller_connections": groups[Entrance.CONTROLLER]}
        due["frontend_connections"] = groups[Entrance.BROWSER]
        began = time.monotonic()
        while True:
            metrics = await self._metrics()
            found = {name: metrics[name] for name in due}
            if found == due:
                return metrics
            assert time.monotonic() - began < DEADLINE_S, f"at rest there should be {due}, there is {found}"
            await asyncio.sleep(0.005)

    async def _metrics(self) -> dict[str, float]:
        text = await self.site.ask("GET", "/metrics")
        lines = (line.removeprefix("webmacs_").rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        return {name: float(value) for name, value in lines}

    async def _settle(self) -> Sequel:
        """Compare what was said, and what is stored, with what was sent; returns what follows from it."""
        for guest in self.guests:
            await guest.roll_call()
        metrics = await self._quiet()
        for guest in (*self.guests, *self._gone):
            assert not guest.wrong, guest.wrong
            for sending, answer in guest.answers:
                self.model.answered(sending, answer)
                self.sums.acknowledged += answer.get("accepted", 0)
            guest.answers.clear()
            self._hold_silent(guest)
        rows = self.site.rows(self.events)
        stored = self.model.stored(rows)
        counted = metrics["readings_stored_total"]
        assert counted - self._counted == len(rows) - self._found, "readings counted as stored, and found"
        self.sums.stored += len(rows) - self._found
        self._counted, self._found = counted, len(rows)
        return self.model.sequel(stored)

    def _hold_silent(self, guest: Guest) -> None:
        """What was sent without a `batch_id` is stored if nothing came in its way; what was refused was said."""
        nothing = sum(not any(item.valid for item in sending.contents) for sending in guest.silent)
        if guest.is_in and not guest.disturbed:
            for sending in guest.silent:
                if any(item.valid for item in sending.contents):
                    self.model.undisturbed(sending)
            assert guest.complaints == [NOTHING_VALID] * nothing, guest.complaints
        assert set(guest.complaints) <= {NOTHING_VALID, NOT_STORED}, guest.complaints
        guest.silent.clear()
        guest.complaints.clear()
        guest.disturbed = self.troubled

    async def rest(self) -> None:
        """The comparison."""
        sequel = await self._settle()
        await asyncio.sleep(2 * WINDOW_S)
        latest = await self.site.ask("GET", "/api/v1/datapoints/latest")
        living = self.model.events
        shown = {point["event_public_id"]: point["value"] for point in latest if point["event_public_id"] in living}
        assert shown == {event: item.value for event, item in sequel.newest.items() if event in living}, "latest values"
        alarms = Counter(alarm for alarm in self.site.alarms(self._last_delivery) if alarm[0] in living)
        assert alarms == Counter({alarm: 1 for alarm in sequel.alarms if alarm[0] in living}), "alarms"
        self.sums.alarms += max(0, alarms.total() - self._alarms)
        self._alarms = alarms.total()
        for guest in (*self.guests, *self._gone):
            assert guest.is_in is (guest in self.guests), f"{guest.who} at {guest.entrance}: {guest.ended}"
            if guest.entrance is Entrance.BROWSER:
                self._hold_seen(guest, sequel.shown)

    def _hold_seen(self, guest: Guest, shown: Mapping[str, Sequence[float]]) -> None:
        """A browser saw what it wants, in order, and of each event at last the newest."""
        seen: dict[str, list[float]] = {}
        for event, value in guest.seen:
            assert guest.only is None or event in guest.only, f"{event} was not asked for"
            seen.setdefault(event, []).append(value)
        for event in self.model.events & (guest.only or self.model.events):
            of_event = seen.get(event, [])
            places = [shown[event].index(value) for value in of_event]
            assert places == sorted(places), f"{event}: {of_event} is not in the order of {shown[event]}"
            assert len(places) - len(set(places)) <= guest.snapshot, f"{event}: {of_event} has something twice"
            if guest.is_in and len(shown[event]) > guest.attended.get(event, sys.maxsize):
                assert of_event[-1:] == shown[event][-1:], f"{event}: {of_event} does not end with {shown[event]}"
            guest.attended[event] = len(shown[event])

    def item(self, number: int, kind: str) -> Item:
        """A reading that is like no other one."""
        value, event = next(self._values) * (1.0 if "alarm" in kind else -1.0), list(self._channels)[number]
        match kind:
            case "late" | "late alarm":
                return Item(event, value, now_us() - len(kind) * MINUTE_US)
            case "wrong clock":
                return Item(event, value, wrong_clock=True)
            case "no number":
                return Item(event, value, valid=False)
            case "unknown event":
                return Item("nobody knows this event", value)
        return Item(event, value)


def _as_sent(item: Item) -> dict[str, object]:
    """As a controller writes it."""
    sent: dict[str, object] = {"event_public_id": item.event, "value": item.value if item.valid else str(item.value)}
    if item.taken_us is not None:
        sent["timestamp"] = to_datetime(item.taken_us).isoformat()
    elif item.wrong_clock:
        sent["timestamp"] = "2001-01-01T00:00:00+00:00"
    return sent
