"""The contract with clients that exist, as a table: what is shown of each thing, and a walk along every route.

Each row of the walk is a request as such a client makes it, with the least role that may, the status, and what comes
back. `<name>` stands for the id of something that is there from the beginning, or that an earlier row of the same walk
has made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.handlers.rest import TIMESTAMP
from tests.plant import PASSWORD
from webmacs.model import Role

P, V, O, A = None, Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741 - as the contract calls them

# -- what is shown ---------------------------------------------------------------------------------------------------

CHOICES: Final = {
    "role": "admin operator viewer",
    "event_type": "sensor actuator range cmd_button cmd_opened cmd_closed",
    "log_type": "error warning info",
    "log_status": "read unread",
    "webhook_event": "sensor.threshold_exceeded sensor.reading experiment.started experiment.stopped"
    " system.health_changed",
    "delivery_status": "pending delivered failed dead_letter",
    "operator": "gt lt eq gte lte between not_between",
    "action": "webhook log",
    "widget_type": "line_chart gauge stat_card actuator_toggle text_note",
    "plugin_status": "inactive connected error demo",
    "direction": "input output bidirectional",
    "source": "bundled uploaded",
    "success": "success",
    "condition": "ok degraded",
    "reachable": "ok error",
    "scope": "ingest read full",
}

THINGS: Final = {  # each with all its fields; a text unless it is said, `?` nullable, `+` ours beside the contract's
    "Status": "status:success message",
    "Error": "detail",
    "Login": "status:success message access_token public_id username",
    "Health": "status:condition version database:reachable last_datapoint:time? uptime_seconds:float?",
    "User": "public_id email username role:role admin:bool registered_on:time sso_provider?",
    "Event": "public_id name min_value:float max_value:float unit type:event_type user_public_id?",
    "Experiment": "public_id name started_on:time? stopped_on:time? user_public_id?",
    "Datapoint": "public_id value:float timestamp:time? event_public_id experiment_public_id?",
    "Log": "public_id content logging_type:log_type? status_type:log_status? created_on:time? user_public_id",
    "Token": "public_id name last_used_at:time? expires_at:time? created_at:time? user_public_id"
    " +scope:scope +plugin_public_id?",
    "TokenCreated": "public_id name token expires_at:time? created_at:time? +scope:scope +plugin_public_id?",
    "Rule": "public_id name event_public_id operator:operator threshold:float threshold_high:float? action_type:action"
    " webhook_event_type:webhook_event? enabled:bool cooldown_seconds:int last_triggered_at:time? created_on:time?"
    " user_public_id",
    "Webhook": "public_id url events:[webhook_event] enabled:bool created_on:time? user_public_id",
    "Delivery": "public_id event_type:webhook_event status:delivery_status attempts:int last_error? response_code:int?"
    " created_on:time? delivered_on:time?",
    "Dashboard": "public_id name is_global:bool created_on:time? user_public_id widgets:[Widget*]",
    "Widget": "public_id widget_type:widget_type title event_public_id? x:int y:int w:int h:int config_json?",
    "PluginMeta": "id name version vendor description url?",
    "Plugin": "public_id plugin_id instance_name demo_mode:bool enabled:bool status:plugin_status config_json?"
    " error_message? created_on:time? updated_on:time? user_public_id channel_mappings:[Channel*]"
    " +last_seen:time?",
    "Channel": "public_id channel_id channel_name direction:direction unit event_public_id? created_on:time?",
    "Package": "public_id package_name version source:source plugin_ids:[text] file_size_bytes:int? installed_on:time?"
    " removable:bool",
    "UpdateCheck": "current_version latest_version? update_available:bool github_latest_version? github_download_url?"
    " github_release_url? github_error?",
    "SignOn": "enabled:bool provider_name authorize_url",
    "Streamed": "value:float event_public_id timestamp:offset experiment_public_id?",
}

PAGE: Final = "Page of "
OFFSET: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"


def _one_of(known: str) -> Callable[[object], bool]:
    return lambda value: value in known.split()


PLAIN: Final[dict[str, Callable[[object], bool]]] = {
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: type(value) is int,
    "float": lambda value: isinstance(value, float),  # written with a decimal point, also 7.0
    "time": lambda value: isinstance(value, str) and re.fullmatch(TIMESTAMP, value) is not None,
    "offset": lambda value: isinstance(value, str) and re.fullmatch(OFFSET, value) is not None,
    **{name: _one_of(known) for name, known in CHOICES.items()},
}


def faults(kind: str, value: object, where: str = "it") -> Iterator[str]:
    """How a value is not of that kind.

    `[X]`: a list of some, `[]`: of none, `[X*]`: of any number; `{X}`: an object of some by id.
    """
    if kind.endswith("?") and value is None:
        return
    kind = kind.removesuffix("?")
    if kind in PLAIN:
        if not PLAIN[kind](value):
            yield f"{where} is {value!r}, no {kind}"
    elif kind[0] in "[{":
        some, of = list(value.values()) if kind[0] == "{" and isinstance(value, dict) else value, kind[1:-1]
        if not isinstance(some, list) or not (of.endswith("*") or bool(some) == bool(of)):
            yield f"{where} is {value!r}, not {kind}"
            return
        for number, item in enumerate(some):
            yield from faults(of.removesuffix("*"), item, f"{where}[{number}]")
    elif not isinstance(value, dict):
        yield f"{where} is {value!r}, no {kind}"
    else:
        fields = dict(_fields(kind))
        if value.keys() != fields.keys():
            yield f"{where} has {', '.join(sorted(value.keys() ^ fields.keys()))} too many or too few"
        for name in value.keys() & fields.keys():
            yield from faults(fields[name], value[name], f"{where}.{name}")


def _fields(kind: str) -> Iterator[tuple[str, str]]:
    if kind.startswith(PAGE):
        yield from {"page": "int", "page_size": "int", "total": "int", "data": kind.removeprefix(PAGE)}.items()
        return
    for field in THINGS[kind].replace(" +", " ").split():
        name, _, of = field.partition(":")
        yield (name, of) if of else (name.removesuffix("?"), "text?" if name.endswith("?") else "text")


# -- the walk --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A request and what comes of it. `needs`: the least role that may, None: open. `body` None: there is none.

    `makes`: the name by which later rows know the id of what it has made. `by`: who asks, if not one of that role.
    """

    method: str
    path: str
    needs: Role | None
    body: object = None
    status: int = 200
    gives: str = "Status"
    makes: str = ""
    by: Role | None = None


def get(path: str, needs: Role | None, gives: str, by: Role | None = None) -> Row:
    return Row("GET", path, needs, None, 200, gives, by=by)


def post(path: str, needs: Role, body: object, gives: str = "Status", makes: str = "", by: Role | None = None) -> Row:
    return Row("POST", path, needs, body, 201, gives, makes, by)


def put(path: str, needs: Role, body: object, by: Role | None = None) -> Row:
    return Row("PUT", path, needs, body, by=by)


def delete(path: str, needs: Role) -> Row:
    return Row("DELETE", path, needs)


def wrong(status: int, method: str, path: str, by: Role | None, body: object = None) -> Row:
    return Row(method, path, None, body, status, "Error", by=by)


EVENT: Final = {"name": "Kühlung", "min_value": 0, "max_value": 7.5, "unit": "°C", "type": "sensor"}
RULE: Final = {"name": "Hot", "event_public_id": "<event>", "operator": "gt", "threshold": 80, "action_type": "webhook"}
RANGE: Final = {"operator": "between", "threshold": 1, "threshold_high": 2}
WEBHOOK: Final = {"url": "http://127.0.0.1:9/hook", "events": ["sensor.reading"], "secret": "s3cret", "enabled": True}
WIDGET: Final = {"widget_type": "gauge", "title": "Gauge"}
PLUGIN: Final = {"plugin_id": "simulated", "instance_name": "Simulated Device", "demo_mode": True, "enabled": True}
CHANNEL: Final = {"channel_id": "in9", "channel_name": "In 9", "direction": "input", "unit": "V"}
READING: Final = {"value": 7, "event_public_id": "<event>"}
NEWCOMER: Final = {"email": "new@example.org", "username": "newcomer", "password": "long enough"}

WALKS: Final[dict[str, tuple[Row, ...]]] = {
    "5.1 auth, health": (
        Row("POST", "/auth/login", P, {"email": "viewer@example.org", "password": PASSWORD}, 200, "Login"),
        wrong(401, "POST", "/auth/login", P, {"email": "nobody@example.org", "password": "x"}),
        wrong(422, "POST", "/auth/login", P, {"email": "viewer@example.org", "password": ""}),
        wrong(422, "POST", "/auth/login", P, {"email": "viewer@example.org"}),
        get("/auth/me", V, "User"),
        Row("POST", "/auth/logout", V),
        get("/health", P, "Health"),
    ),
    "5.2 users": (
        get("/users", A, "Page of [User]"),
        get("/users/", A, "Page of [User]"),
        post("/users", A, {**NEWCOMER, "role": "operator"}, makes="user"),
        post("/users/", A, {**NEWCOMER, "email": "more@example.org", "username": "more"}, makes="more"),
        wrong(409, "POST", "/users", A, {**NEWCOMER, "username": "other"}),
        wrong(422, "POST", "/users", A, {**NEWCOMER, "email": "else@example.org", "password": "short"}),
        get("/users/<user>", V, "User"),
        wrong(404, "GET", "/users/<nobody>", V),
        put("/users/<user>", A, {"email": None, "username": "renamed", "password": None, "role": "viewer"}),
        put("/users/<viewer>", V, {"username": "myself"}),
        wrong(403, "PUT", "/users/<user>", V, {"username": "x"}),
        wrong(403, "PUT", "/users/<viewer>", V, {"role": "viewer"}),
        wrong(422, "PUT", "/users/<user>", A, {"username": "x"}),
        wrong(404, "PUT", "/users/<nobody>", A, {"username": "xx"}),
        delete("/users/<user>", A),
        wrong(404, "DELETE", "/users/<user>", A),
    ),
    "5.3 tokens": (
        post("/tokens", V, {"name": "mine"}, "TokenCreated", "token"),
        post("/tokens", V, {"name": "t", "expires_at": "2999-01-01T00:00:00.000Z"}, "TokenCreated", "foreign", by=A),
        post("/tokens", V, {"name": "t", "expires_at": None}, "TokenCreated"),
        wrong(422, "POST", "/tokens", V, {"name": ""}),
        get("/tokens", V, "Page of [Token]"),
        get("/tokens", V, "Page of [Token]", by=A),
        delete("/tokens/<token>", V),
        wrong(403, "DELETE", "/tokens/<foreign>", V),
        wrong(404, "DELETE", "/tokens/<token>", V),
    ),
    "5.4 events": (
        get("/events", V, "Page of [Event]"),
        get("/events?page=1&page_size=50", V, "Page of [Event]"),
        post("/events", O, EVENT, makes="new"),
        wrong(409, "POST", "/events", O, EVENT),
        wrong(422, "POST", "/events", O, {**EVENT, "unit": ""}),
        get("/events/<new>", V, "Event"),
        wrong(404, "GET", "/events/<nobody>", V),
        put("/events/<new>", O, {"max_value": "2.5"}),
        wrong(409, "PUT", "/events/<event>", O, {"name": EVENT["name"]}),
        wrong(404, "PUT", "/events/<nobody>", O, {}),
        delete("/events/<new>", O),
        wrong(404, "DELETE", "/events/<new>", O),
        wrong(422, "GET", "/events?page=0", V),
        wrong(422, "GET", "/events?page_size=101", V),
    ),
    "5.5 experiments": (
        get("/experiments", V, "Page of [Experiment]"),
        get("/experiments/<experiment>", V, "Experiment"),
        put("/experiments/<experiment>", O, {"name": "Run «1»/a"}),
        post("/datapoints", O, READING),
        get("/experiments/<experiment>/export/csv", V, "CSV"),
        put("/experiments/<experiment>/stop", O, None),
        put("/experiments/<experiment>/stop", O, None),
        post("/experiments", O, {"name": "Run 2"}, makes="second"),
        wrong(409, "POST", "/experiments", O, {"name": "Run 2"}),
        wrong(422, "POST", "/experiments", O, {"name": ""}),
        wrong(409, "PUT", "/experiments/<experiment>", O, {"name": "Run 2"}),
        delete("/experiments/<experiment>", O),
        *(wrong(404, method, "/experiments/<experiment>", O) for method in ("GET", "DELETE")),
        wrong(404, "PUT", "/experiments/<experiment>", O, {"name": "x"}),
        wrong(404, "PUT", "/experiments/<experiment>/stop", O),
        wrong(404, "GET", "/experiments/<experiment>/export/csv", V),
    ),
    "5.6 datapoints": (
        post("/datapoints", O, READING, makes="reading"),
        post("/datapoints", O, {**READING, "value": "2.5"}),
        post("/datapoints", O, {**READING, "value": True}),
        wrong(422, "POST", "/datapoints", O, {**READING, "value": None}),
        wrong(404, "POST", "/datapoints", O, {**READING, "event_public_id": "<nobody>"}),
        wrong(409, "POST", "/datapoints", O, {**READING, "event_public_id": "<spare>"}),
        post("/datapoints/batch", O, {"datapoints": [READING, READING, {**READING, "event_public_id": "<spare>"}]}),
        post("/datapoints/batch", O, {"datapoints": []}),
        post("/datapoints/batch", O, {"datapoints": [{**READING, "event_public_id": "<nobody>"}]}),
        wrong(422, "POST", "/datapoints/batch", O, {"datapoints": [READING] * 501}),
        get("/datapoints", V, "Page of [Datapoint]"),
        get("/datapoints?page=1&page_size=50", V, "Page of [Datapoint]"),
        get("/datapoints/latest", V, "[Datapoint]"),
        Row("POST", "/datapoints/series", V, {"event_public_ids": ["<event>"]}, 200, "{[Datapoint]}"),
        Row("POST", "/datapoints/series", V, {"event_public_ids": ["<nobody>"], "minutes": 14400}, 200, "{[]}"),
        wrong(422, "POST", "/datapoints/series", V, {"event_public_ids": []}),
        wrong(422, "POST", "/datapoints/series", V, {"event_public_ids": ["<event>"], "minutes": 14401}),
        wrong(422, "POST", "/datapoints/series", V, {"event_public_ids": ["<event>"], "max_points": 9}),
        get("/datapoints/<reading>", V, "Datapoint"),
        wrong(404, "GET", "/datapoints/<nobody>", V),
        delete("/datapoints/<reading>", O),
        wrong(404, "DELETE", "/datapoints/<reading>", O),
    ),
    "5.7 plugins": (
        get("/plugins/available", V, "[PluginMeta]"),
        post("/plugins", A, PLUGIN, makes="new"),
        post("/plugins", A, {**PLUGIN, "instance_name": "b", "auto_create_events": False, "config_json": "{}"}),
        wrong(409, "POST", "/plugins", A, PLUGIN),
        wrong(422, "POST", "/plugins", A, {**PLUGIN, "instance_name": "c", "config_json": {}}),
        get("/plugins", V, "Page of [Plugin]"),
        get("/plugins?page=1&page_size=50", V, "Page of [Plugin]"),
        get("/plugins/<new>", V, "Plugin"),
        wrong(404, "GET", "/plugins/<nobody>", V),
        put("/plugins/<new>", A, {"instance_name": "Device", "demo_mode": False, "status": "error"}),
        wrong(409, "PUT", "/plugins/<new>", A, {"instance_name": "b"}),
        wrong(404, "PUT", "/plugins/<nobody>", A, {}),
        get("/plugins/<new>/channels", V, "[Channel]"),
        wrong(404, "GET", "/plugins/<nobody>/channels", V),
        post("/plugins/<new>/channels", A, CHANNEL, makes="channel"),
        post("/plugins/<new>/channels", A, {**CHANNEL, "channel_id": "in10", "event_public_id": "<event>"}),
        wrong(409, "POST", "/plugins/<new>/channels", A, CHANNEL),
        wrong(404, "POST", "/plugins/<new>/channels", A, {**CHANNEL, "event_public_id": "<nobody>"}),
        wrong(404, "POST", "/plugins/<nobody>/channels", A, CHANNEL),
        put("/plugins/<new>/channels/<channel>", A, {"event_public_id": "<spare>"}),
        put("/plugins/<new>/channels/<channel>", A, {"event_public_id": None}),
        wrong(404, "PUT", "/plugins/<new>/channels/<channel>", A, {"event_public_id": "<nobody>"}),
        delete("/plugins/<new>/channels/<channel>", A),
        wrong(404, "DELETE", "/plugins/<new>/channels/<channel>", A),
        delete("/plugins/<new>", A),
        wrong(404, "DELETE", "/plugins/<new>", A),
    ),
    "5.8 rules": (
        post("/rules", O, RULE, makes="rule"),
        post("/rules", O, {**RULE, **RANGE, "name": "Range", "webhook_event_type": None, "cooldown_seconds": 0}),
        get("/rules", O, "Page of [Rule]"),
        get("/rules?page=1&page_size=50", O, "Page of [Rule]"),
        wrong(409, "POST", "/rules", O, RULE),
        wrong(404, "POST", "/rules", O, {**RULE, "name": "x", "event_public_id": "<nobody>"}),
        wrong(422, "POST", "/rules", O, {**RULE, "name": "x", "operator": "between"}),
        wrong(422, "POST", "/rules", O, {**RULE, "name": "x", **RANGE, "threshold_high": 0}),
        wrong(422, "POST", "/rules", O, {**RULE, "name": "x", "webhook_event_type": ""}),
        get("/rules/<rule>", O, "Rule"),
        put("/rules/<rule>", O, {**RULE, "threshold_high": None, "enabled": False, "cooldown_seconds": 5}),
        wrong(422, "PUT", "/rules/<rule>", O, {"operator": "between"}),
        wrong(404, "PUT", "/rules/<nobody>", O, {}),
        delete("/rules/<rule>", O),
        *(wrong(404, method, "/rules/<rule>", O) for method in ("GET", "DELETE")),
    ),
    "5.9 webhooks": (
        post("/webhooks", A, WEBHOOK, makes="webhook"),
        wrong(409, "POST", "/webhooks", A, WEBHOOK),
        wrong(422, "POST", "/webhooks", A, {**WEBHOOK, "url": "ftp://example.org"}),
        wrong(422, "POST", "/webhooks", A, {**WEBHOOK, "url": "http://example.org", "events": []}),
        get("/webhooks", A, "Page of [Webhook]"),
        get("/webhooks/<webhook>", A, "Webhook"),
        put("/webhooks/<webhook>", A, {"events": ["sensor.reading", "experiment.started"], "enabled": True}),
        put("/webhooks/<webhook>", A, {"secret": None}),
        wrong(422, "PUT", "/webhooks/<webhook>", A, {"url": ""}),
        wrong(404, "PUT", "/webhooks/<nobody>", A, {}),
        post("/datapoints", O, READING),
        get("/webhooks/<webhook>/deliveries", A, "Page of [Delivery]"),
        wrong(422, "GET", "/webhooks/<webhook>/deliveries?status=nothing", A),
        wrong(404, "GET", "/webhooks/<nobody>/deliveries", A),
        delete("/webhooks/<webhook>", A),
        *(wrong(404, method, "/webhooks/<webhook>", A) for method in ("GET", "DELETE")),
    ),
    "5.10 dashboards": (
        post("/dashboards", O, {"name": "Mine"}, "Dashboard", "dashboard"),
        post("/dashboards", O, {"name": "Of an administrator"}, "Dashboard", "foreign", by=A),
        wrong(422, "POST", "/dashboards", O, {"name": ""}),
        post("/dashboards/<dashboard>/widgets", O, WIDGET, "Widget", "widget"),
        post(
            "/dashboards/<dashboard>/widgets",
            O,
            {**WIDGET, "event_public_id": "<event>", "x": 1, "y": 2, "w": 12, "h": 1, "config_json": '{"minutes": 60}'},
            "Widget",
        ),
        wrong(404, "POST", "/dashboards/<dashboard>/widgets", O, {**WIDGET, "event_public_id": "<nobody>"}),
        wrong(422, "POST", "/dashboards/<dashboard>/widgets", O, {**WIDGET, "w": 13}),
        wrong(403, "POST", "/dashboards/<foreign>/widgets", O, WIDGET),
        wrong(404, "POST", "/dashboards/<nobody>/widgets", O, WIDGET),
        put("/dashboards/<dashboard>/widgets/<widget>", O, {"event_public_id": None, "x": 3, "widget_type": "gauge"}),
        wrong(404, "PUT", "/dashboards/<dashboard>/widgets/<nobody>", O, {}),
        get("/dashboards?page=1&page_size=50", V, "Page of [Dashboard]", by=O),
        get("/dashboards/<dashboard>", V, "Dashboard", by=O),
        wrong(403, "GET", "/dashboards/<dashboard>", A),  # administrators, too
        put("/dashboards/<dashboard>", O, {"is_global": True}),
        get("/dashboards", V, "Page of [Dashboard]"),
        get("/dashboards/<dashboard>", V, "Dashboard"),
        *(wrong(403, "PUT", "/dashboards/<foreign>", role, {"name": "x"}) for role in (V, O)),
        put("/dashboards/<dashboard>", O, {"name": "x"}, by=A),
        delete("/dashboards/<dashboard>/widgets/<widget>", O),
        wrong(404, "DELETE", "/dashboards/<dashboard>/widgets/<widget>", O),
        wrong(403, "DELETE", "/dashboards/<foreign>", O),
        delete("/dashboards/<dashboard>", O),
        *(wrong(404, method, "/dashboards/<dashboard>", O) for method in ("GET", "DELETE")),
    ),
    "5.11 logging": (
        post("/logging", O, {"content": "Controller «started»", "logging_type": "info"}, makes="entry"),
        post("/logging/", O, {"content": "no type"}),
        wrong(422, "POST", "/logging", O, {"content": ""}),
        wrong(422, "POST", "/logging", O, {"content": "x" * 501}),
        get("/logging?page_size=50", V, "Page of [Log]"),
        get("/logging/?page_size=50", V, "Page of [Log]"),
        get("/logging/<entry>", V, "Log"),
        wrong(404, "GET", "/logging/<nobody>", V),
        put("/logging/<entry>", O, {"status_type": "read"}),
        wrong(422, "PUT", "/logging/<entry>", O, {"content": "x" * 501}),
        wrong(404, "PUT", "/logging/<nobody>", O, {}),
    ),
    "5.12 not offered": (
        get("/auth/sso/config", P, "SignOn"),
        get("/ota", A, "Page of []"),
        get("/ota/check", V, "UpdateCheck"),
        get("/plugins/packages", V, "[Package]"),
    ),
}

OURS: Final = {
    ("GET", "/audit"),
    ("GET", "/experiments/{}/notes"),
    ("POST", "/experiments/{}/notes"),
    ("PUT", "/experiments/{}/notes/{}"),
    ("DELETE", "/experiments/{}/notes/{}"),
    ("POST", "/plugins/status"),
    ("POST", "/webhooks/{}/test"),
    ("POST", "/webhooks/{}/deliveries/{}/redeliver"),
    ("POST", "/rules/preview"),
    ("GET", "/events/unlinked"),
    ("POST", "/events/unlinked/adopt"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
}
"""The routes beyond the contract."""
