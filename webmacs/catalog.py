"""What is active right now, in memory, so that the way of a reading asks the storage nothing.

A `Snapshot` is immutable and swapped whole; the `Catalog` holds the current one and knows how to fetch the next.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Final

from webmacs.buckets import Ration
from webmacs.errors import StorageError
from webmacs.model import (
    ApiToken,
    Channel,
    Datapoint,
    Direction,
    Event,
    Experiment,
    Plugin,
    Rule,
    User,
    Webhook,
    WebhookEvent,
)

_log = logging.getLogger(__name__)

RETRY_S: Final = 0.5  # no setting: whoever changed something waits for it, and a storage that is away is asked little
SAID_A_MINUTE: Final = 20  # ids that nothing is linked to: more are no help to a reader, and all are in the list


@dataclass(frozen=True)
class Snapshot:
    """The configuration at one moment. Mappings are by the key a reader has at hand."""

    events: Mapping[str, Event] = field(default_factory=dict)  # by public id: every event
    linked: Mapping[str, Event] = field(default_factory=dict)  # by public id: linked to an enabled plugin instance
    experiments: tuple[Experiment, ...] = ()  # by start, ascending
    users: Mapping[str, User] = field(default_factory=dict)  # by public id
    tokens: Mapping[str, ApiToken] = field(default_factory=dict)  # by digest
    revoked: Collection[str] = frozenset()  # the `jti` of JWTs that were logged out
    rules: tuple[Rule, ...] = ()  # by age, those that are switched off, too
    webhooks: tuple[Webhook, ...] = ()  # the same
    plugins: tuple[Plugin, ...] = ()  # the same
    channels: tuple[Channel, ...] = ()  # the same

    @cached_property
    def users_by_id(self) -> Mapping[int, User]:
        """Users by surrogate id."""
        return {user.id: user for user in self.users.values()}

    @cached_property
    def tokens_by_id(self) -> Mapping[int, ApiToken]:
        """API tokens by surrogate id."""
        return {token.id: token for token in self.tokens.values()}

    @cached_property
    def events_by_id(self) -> Mapping[int, Event]:
        """Events by surrogate id."""
        return {event.id: event for event in self.events.values()}

    @cached_property
    def channels_by_plugin(self) -> Mapping[int, Sequence[Channel]]:
        """The channels of each plugin instance that has some, by its surrogate id, the oldest first."""
        found: dict[int, list[Channel]] = {}
        for channel in self.channels:
            found.setdefault(channel.plugin_id, []).append(channel)
        return found

    @cached_property
    def plugins_by_public_id(self) -> Mapping[str, Plugin]:
        """Plugin instances by public id."""
        return {plugin.public_id: plugin for plugin in self.plugins}

    @cached_property
    def events_by_plugin(self) -> Mapping[int, Mapping[str, Event]]:
        """The events that each plugin instance is linked to, by its surrogate id: by public id."""
        return {
            plugin.id: {
                event.public_id: event
                for channel in self.channels_by_plugin.get(plugin.id, ())
                if (event := self.events_by_id.get(channel.event_id or 0)) is not None
            }
            for plugin in self.plugins
        }

    @cached_property
    def linked_by_plugin(self) -> Mapping[int, Mapping[str, Event]]:
        """What `linked` is for each enabled plugin instance alone, by its surrogate id: events by public id."""
        return {plugin.id: self.events_by_plugin[plugin.id] for plugin in self.plugins if plugin.enabled}

    @cached_property
    def outputs_by_plugin(self) -> Mapping[int, frozenset[str]]:
        """The events that the outputs of each enabled plugin instance follow, by its surrogate id: their public ids."""
        return {
            plugin.id: frozenset(
                event.public_id
                for channel in self.channels_by_plugin.get(plugin.id, ())
                if channel.direction is not Direction.INPUT
                and (event := self.events_by_id.get(channel.event_id or 0)) is not None
            )
            for plugin in self.plugins
            if plugin.enabled
        }

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The public ids of all events that an output follows."""
        return frozenset().union(*self.outputs_by_plugin.values())

    @cached_property
    def experiments_by_id(self) -> Mapping[int, Experiment]:
        """Experiments by surrogate id."""
        return {experiment.id: experiment for experiment in self.experiments}

    @cached_property
    def rules_by_event(self) -> Mapping[int, Sequence[Rule]]:
        """The rules that are switched on, by the surrogate id of their event."""
        found: dict[int, list[Rule]] = {}
        for rule in self.rules:
            if rule.enabled:
                found.setdefault(rule.event_id, []).append(rule)
        return found

    @cached_property
    def webhooks_by_id(self) -> Mapping[int, Webhook]:
        """Webhooks by surrogate id."""
        return {webhook.id: webhook for webhook in self.webhooks}

    @cached_property
    def subscribers(self) -> Mapping[WebhookEvent, Sequence[Webhook]]:
        """The webhooks that are switched on and want to hear of an event."""
        return {
            event: [webhook for webhook in self.webhooks if webhook.enabled and webhook.spelling(event)]
            for event in WebhookEvent
        }

    def datapoints(self, rows: Iterable[tuple[int, int, int, float, int | None]]) -> list[Datapoint]:
        """Rows (id, event id, µs, value, experiment id) as datapoints; those whose event is gone are left out."""
        events, experiments = self.events_by_id, self.experiments_by_id
        return [
            Datapoint(row_id, events[event_id], time_us, value, experiments.get(experiment_id or 0))
            for row_id, event_id, time_us, value, experiment_id in rows
            if event_id in events
        ]

    def experiment_at(self, time_us: int) -> Experiment | None:
        """The experiment that ran at that time: the one started last, if it had not been stopped by then."""
        index = bisect_right(self.experiments, time_us, key=attrgetter("started_us"))
        if index == 0:
            return None
        experiment = self.experiments[index - 1]
        if experiment.stopped_us is not None and experiment.stopped_us <= time_us:
            return None
        return experiment


@dataclass(slots=True)
class Unlinked:
    """An event id that arrived in readings but is not linked to an enabled plugin instance."""

    event_public_id: str
    count: int
    last_value: float
    first_seen_us: int
    last_seen_us: int


class UnlinkedIds:
    """The ids seen last that nothing is linked to: the first thing a newcomer stumbles over. Bounded."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, Unlinked] = OrderedDict()
        self._warnings = Ration(SAID_A_MINUTE)

    def saw(self, event_public_id: str, value: float, now_us: int) -> None:
        """Count one reading; a new id is said once in the log, unless there are too many of them."""
        entry = self._seen.get(event_public_id)
        if entry is None:
            self._say(event_public_id, now_us)
            entry = self._seen[event_public_id] = Unlinked(event_public_id, 0, value, now_us, now_us)
            if len(self._seen) > self._limit:
                self._seen.popitem(last=False)
        entry.count += 1
        entry.last_value, entry.last_seen_us = value, now_us
        self._seen.move_to_end(event_public_id)

    def _say(self, event_public_id: str, now_us: int) -> None:
        held_back = self._warnings.held_back
        if not self._warnings.take(now_us / 1e6):
            if not held_back:
                _log.warning("more than %d ids a minute are dropped like that; the others are counted", SAID_A_MINUTE)
            return
        if held_back:
            self._warnings.held_back = 0
            _log.warning("readings of %d more ids were dropped; /api/v1/events/unlinked lists the last", held_back)
        _log.warning(
            "readings of event %r are dropped: it is unknown or not linked to an enabled plugin instance",
            event_public_id,
        )

    def forget(self, event_public_ids: Collection[str]) -> None:
        """Drop ids that have been linked since."""
        for event_public_id in self._seen.keys() & set(event_public_ids):
            del self._seen[event_public_id]

    def listed(self) -> list[Unlinked]:
        """The newest first."""
        return list(reversed(self._seen.values()))


class Catalog:
    """Holds the current snapshot; `reload` swaps it and tells those who watch.

    Reloads that are asked for while one runs share the next one: however many writes arrive, at most one fetch is
    under way and one is waiting, and each caller returns only after a fetch that began after its call.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Snapshot]], unlinked_limit: int = 1000) -> None:
        """`fetch` gets the configuration as it is now from the storage, or raises `StorageError`."""
        self.current = Snapshot()
        self.unlinked = UnlinkedIds(unlinked_limit)
        self._fetch = fetch
        self._watchers: list[Callable[[Snapshot], None]] = []
        self._lock = asyncio.Lock()
        self._asked = self._fetched = 0
        self._stale = False
        self._changed = asyncio.Event()

    @property
    def stale(self) -> bool:
        """Whether the last reload failed, so that a change may not have been seen yet."""
        return self._stale

    def watch(self, watcher: Callable[[Snapshot], None]) -> None:
        """Call `watcher` with each new snapshot."""
        self._watchers.append(watcher)

    def changed(self) -> None:
        """Say that something may have changed elsewhere; `follow` fetches it soon."""
        self._changed.set()

    async def follow(self) -> None:
        """Reload after each `changed`, again and again until the storage answers. Runs until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.reload()
            except Exception as error:  # noqa: BLE001 - the one task that follows must not end
                expected = isinstance(error, StorageError)
                _log.warning("the configuration may be out of date: %s", error, exc_info=not expected)
                self._changed.set()
                await asyncio.sleep(RETRY_S)

    async def reload(self) -> None:
        """Fetch the configuration as it is now and swap it in.

        Raises:
            StorageError: it could not be fetched; the old snapshot stays, marked stale, and `follow` tries again.

        """
        self._asked += 1
        ticket = self._asked
        async with self._lock:
            if self._fetched >= ticket:
                return
            covers = self._asked
            try:
                snapshot = await self._fetch()
            except Exception:
                self._stale = True
                self._changed.set()  # whoever asked may not ask again
                raise
            self._stale = False
            self._fetched = covers
            self.current = snapshot
        self.unlinked.forget(snapshot.linked.keys())
        for watcher in self._watchers:
            watcher(snapshot)
