"""The only place that builds concrete things and wires them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, web

from webmacs.auth import Authenticator, Passwords
from webmacs.bundle import DIRECTORY, Bundle
from webmacs.catalog import Catalog
from webmacs.clock import Clock, SystemClock
from webmacs.config import Settings
from webmacs.errors import Conflict, StorageError, StorageUnavailable
from webmacs.extensions import find_plugins, load_stages, load_storage
from webmacs.given import Given, NewestGiven
from webmacs.handlers.adoption import AdoptionRoutes
from webmacs.handlers.agents import Agents
from webmacs.handlers.apidocs import DocumentRoutes
from webmacs.handlers.audit import AuditRoutes
from webmacs.handlers.auth import AuthRoutes
from webmacs.handlers.channels import ChannelRoutes
from webmacs.handlers.dashboards import DashboardRoutes
from webmacs.handlers.datapoints import DatapointRoutes
from webmacs.handlers.events import EventRoutes
from webmacs.handlers.experiments import ExperimentRoutes
from webmacs.handlers.health import HealthRoutes
from webmacs.handlers.history import HistoryRoutes
from webmacs.handlers.http import Resource, Routes, errors_as_json, mark
from webmacs.handlers.limits import RequestLimit
from webmacs.handlers.logging import LogRoutes
from webmacs.handlers.lookbacks import lookbacks
from webmacs.handlers.notes import NoteRoutes
from webmacs.handlers.pages import PageRoutes
from webmacs.handlers.plugins import PluginRoutes
from webmacs.handlers.proxies import Proxies
from webmacs.handlers.rules import RuleRoutes
from webmacs.handlers.sockets import Doorkeeper
from webmacs.handlers.statuses import StatusRoutes
from webmacs.handlers.stream import Stream
from webmacs.handlers.telemetry import Telemetry
from webmacs.handlers.tokens import TokenRoutes
from webmacs.handlers.unoffered import UnofferedRoutes
from webmacs.handlers.users import UserRoutes
from webmacs.handlers.webhooks import WebhookRoutes
from webmacs.health import Health
from webmacs.hub import Hub
from webmacs.lag import LoopLag
from webmacs.latest import LatestValues
from webmacs.logins import Logins
from webmacs.metrics import Metrics
from webmacs.model import Write
from webmacs.pipeline.base import Recorder, Stage, StageContext
from webmacs.pipeline.runner import Pipeline
from webmacs.pipeline.setpoints import Setpoints
from webmacs.secret import secret_key
from webmacs.sessions import SessionGuard
from webmacs.statuses import Statuses
from webmacs.storage import audit, copying, records
from webmacs.storage.base import Storage
from webmacs.storage.deliveries import prune
from webmacs.storage.rollups import Rollups
from webmacs.storage.upkeep import DAY_US, keep_house
from webmacs.tasks import end
from webmacs.uses import Uses
from webmacs.webhooks.attempt import Courier
from webmacs.webhooks.dispatcher import Dispatcher
from webmacs.webhooks.outbox import Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server consists of, for those who run it and for tests."""

    settings: Settings
    clock: Clock
    storage: Storage
    catalog: Catalog
    latest: LatestValues
    given: NewestGiven
    statuses: Statuses
    hub: Hub
    agents: Agents
    metrics: Metrics
    auth: Authenticator
    uses: Uses
    passwords: Passwords
    stages: list[Stage]
    pipeline: Pipeline
    dispatcher: Dispatcher
    health: Health


PARTS: Final = web.AppKey("parts", Parts)


def build_app(
    settings: Settings, *, clock: Clock | None = None, storage: Storage | None = None, bundle: Bundle | None = None
) -> web.Application:
    """Wire a server together. Nothing is opened before the application starts.

    Raises:
        ConfigError: the settings name something that is not there.

    """
    clock = clock or SystemClock()
    storage = storage or load_storage(settings)
    metrics = Metrics()
    catalog = Catalog(lambda: records.snapshot(storage, clock.now_us()), settings.pipeline.unlinked_ids)
    latest = LatestValues()
    given = NewestGiven()
    statuses = Statuses(catalog, clock, settings.plugins.quiet_s, metrics)
    hub = Hub(settings.server.client_deadline_s, metrics)
    agents = Agents(hub, catalog, given, clock, settings)
    given.watch(agents.tell)
    uses = Uses(storage)
    auth = Authenticator(catalog, secret_key(settings), clock, settings.auth.token_lifetime_s, uses.used)
    passwords = Passwords(settings.auth.hashing_threads, settings.auth.max_pending_logins)
    stages = _with_setpoints(load_stages(settings), given)
    outbox = Outbox()
    logger = logging.getLogger("webmacs.stages")
    context = StageContext(clock, catalog, latest, hub, metrics, outbox, settings.pipeline, logger)
    pipeline = Pipeline(stages, storage, context)
    courier = Courier(settings.webhooks, clock)
    dispatcher = Dispatcher(storage, catalog, outbox, courier, clock, settings.webhooks, metrics)
    health = Health(storage, pipeline, catalog, outbox, clock)
    parts = Parts(
        settings,
        clock,
        storage,
        catalog,
        latest,
        given,
        statuses,
        hub,
        agents,
        metrics,
        auth,
        uses,
        passwords,
        stages,
        pipeline,
        dispatcher,
        health,
    )

    app = web.Application(middlewares=[errors_as_json], client_max_size=settings.server.max_body_bytes)
    app.on_response_prepare.append(mark)
    app[PARTS] = parts
    proxies = Proxies(settings.server.trusted_proxies)
    routes = Routes(app.router, auth, RequestLimit(settings.server, proxies, clock, metrics), catalog.changed)
    doorkeeper = Doorkeeper(auth, hub, proxies, settings.server)
    telemetry = Telemetry(doorkeeper, pipeline, agents, statuses, clock, settings.server)
    stream = Stream(doorkeeper, hub, catalog, latest)
    routes.add_socket("/ws/controller/telemetry", telemetry.handle)
    routes.add_socket("/ws/datapoints/stream", stream.handle)
    logins = Logins(settings.auth, clock, metrics)
    bundle = bundle or Bundle(DIRECTORY)
    turns = lookbacks(settings.storage)
    resources: tuple[Resource, ...] = (
        AuthRoutes(auth, passwords, logins, proxies, storage, catalog, clock),
        DatapointRoutes(pipeline, catalog, latest, clock, settings.pipeline),
        HistoryRoutes(storage, catalog, latest, clock, turns),
        EventRoutes(storage, catalog, clock),
        AdoptionRoutes(storage, catalog, clock),
        ExperimentRoutes(storage, catalog, outbox, clock),
        NoteRoutes(storage, catalog, clock),
        StatusRoutes(statuses),
        PluginRoutes(storage, catalog, latest, statuses, find_plugins(), clock, settings.plugins.quiet_s),
        ChannelRoutes(storage, catalog, clock),
        RuleRoutes(storage, catalog, clock, turns),
        WebhookRoutes(storage, catalog, outbox, clock),
        DashboardRoutes(storage, catalog, clock),
        UserRoutes(storage, catalog, passwords, logins, proxies, clock),
        TokenRoutes(storage, catalog, uses, clock),
        LogRoutes(storage, catalog, clock),
        AuditRoutes(storage),
        UnofferedRoutes(),
        HealthRoutes(health, latest, metrics),
        DocumentRoutes(),
        PageRoutes(bundle),
    )
    for resource in resources:
        resource.register(routes)

    app.on_startup.append(lambda _app: asyncio.to_thread(bundle.load))
    app.cleanup_ctx.append(_storage)
    app.cleanup_ctx.append(_pipeline)
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_say_goodbye)
    return app


def _with_setpoints(stages: list[Stage], given: NewestGiven) -> list[Stage]:
    """The stages, and what nobody may leave out: who gave an actuator which value, right after the readings."""
    behind = next(place for place, stage in enumerate(stages, 1) if isinstance(stage, Recorder))
    return [*stages[:behind], Setpoints(given), *stages[behind:]]


async def _storage(app: web.Application) -> AsyncIterator[None]:
    parts = app[PARTS]
    try:
        await _open(parts)
        for stage in parts.stages:
            if isinstance(stage, Recorder) and stage.schema:
                await parts.storage.write(*(Write(statement) for statement in stage.schema))
        await parts.storage.make_room(parts.clock.now_us())
        await parts.catalog.reload()
        await Rollups(parts.storage).load()
        parts.latest.load(await parts.storage.latest(parts.catalog.current))
        since_us = parts.clock.now_us() - int(parts.settings.plugins.setpoint_memory_s * 1e6)
        parts.given.load(Given(*row) for row in await audit.newest_setpoints(parts.storage, since_us))
        parts.given.retain(parts.catalog.current.events)
        parts.catalog.watch(lambda snapshot: parts.latest.retain(snapshot.events_by_id, snapshot.experiments_by_id))
        parts.catalog.watch(lambda snapshot: parts.given.retain(snapshot.events))
        parts.catalog.watch(lambda snapshot: parts.statuses.retain({plugin.id for plugin in snapshot.plugins}))
        parts.storage.watch(parts.catalog.changed)
        yield
    finally:
        parts.passwords.close()
        await parts.storage.close()


async def _open(parts: Parts) -> None:
    """Open the storage, waiting for a database that is still starting."""
    give_up = parts.clock.monotonic() + parts.settings.storage.startup_timeout_s
    while True:
        try:
            await parts.storage.open(serving=True)
            begun = await copying.unfinished(parts.storage)
        except StorageUnavailable as error:
            if parts.clock.monotonic() >= give_up:
                raise
            _log.warning("waiting for the storage: %s", error)
            await asyncio.sleep(1.0)
        else:
            if begun is not None:
                raise Conflict(
                    f"this storage is a copy of {begun} that broke off: run `webmacs copy` again, or drop it"
                )
            return


async def _pipeline(app: web.Application) -> AsyncIterator[None]:
    parts = app[PARTS]
    try:
        await parts.pipeline.start()
        yield
    finally:
        await parts.pipeline.close(parts.settings.server.shutdown_timeout_s / 2)


async def _background(app: web.Application) -> AsyncIterator[None]:
    """What runs beside the requests: following changes, ending sessions, keeping house."""
    parts = app[PARTS]
    guard = SessionGuard(parts.hub, parts.auth, parts.settings.auth.recheck_interval_s)
    parts.catalog.watch(lambda _snapshot: guard.sweep())
    parts.agents.follow(parts.catalog.current)
    parts.catalog.watch(parts.agents.follow)  # those who are left by the guard
    rollups = Rollups(parts.storage)
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in (
            ("catalog", parts.catalog.follow()),
            ("sessions", guard.run()),
            ("upkeep", _upkeep(parts)),
            ("rollups", rollups.follow(parts.clock.now_us, parts.settings.storage.rollup_interval_s)),
            ("health", parts.health.follow()),
            ("uses", parts.uses.run()),
            ("lag", LoopLag(parts.metrics, parts.settings.server.lag_warning_s).run()),
        )
    ]
    await parts.dispatcher.start()
    yield
    await end(*tasks)


async def _upkeep(parts: Parts) -> None:
    kept_us = int(parts.settings.pipeline.batch_id_retention_s * 1e6)
    webhooks = parts.settings.webhooks
    while True:
        now_us = parts.clock.now_us()
        before_us = now_us - webhooks.retention_days * DAY_US if webhooks.retention_days else None
        try:
            await keep_house(parts.storage, parts.settings.storage, now_us, kept_us)
            await prune(parts.storage, max_pending=webhooks.max_pending, before_us=before_us)
        except StorageError as error:
            _log.warning("house-keeping has to wait: %s", error)
        except Exception:  # noqa: BLE001 - the one task that keeps house must not end
            _log.exception("house-keeping failed; it goes on the next time")
        await asyncio.sleep(parts.settings.storage.upkeep_interval_s)


async def _say_goodbye(app: web.Application) -> None:
    """Stopping: commit what waits, show it, then tell everyone at once. New connections are not accepted any more.

    While those that do not listen are waited for, deliveries come to their end, and what is noted of tokens is stored.
    """
    parts = app[PARTS]
    half_s = parts.settings.server.shutdown_timeout_s / 2
    await parts.pipeline.close(half_s)
    parts.hub.close_all(WSCloseCode.GOING_AWAY, "Server is stopping")
    await asyncio.gather(_seen_off(parts.hub), parts.dispatcher.close(half_s / 2), _store_uses(parts.uses, half_s))


async def _seen_off(hub: Hub) -> None:
    while any(hub.clients()):  # noqa: ASYNC110 - who leaves says nothing; each socket has its own deadline
        await asyncio.sleep(0.01)


async def _store_uses(uses: Uses, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):  # it is no loss, and a storage that is away must not hold up a stop
        async with asyncio.timeout(timeout_s):
            await uses.store()
