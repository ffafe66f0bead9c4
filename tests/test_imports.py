"""Who may import whom, and what a module may do while it is imported: the rules of the house."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "webmacs"
MODULES = {
    ".".join(("webmacs", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in ROOT.rglob("*.py")
    if "migrations" not in path.parts  # run by alembic, not imported
}
OURS = sorted(MODULES)

# Who must not import what; each name stands for the module and all below it.
MUST_NOT = [
    ("webmacs.pipeline", ["aiohttp", "aiopg", "psycopg2", "sqlite3"]),
    ("webmacs.pipeline", ["webmacs.handlers", "webmacs.app", "webmacs.cli", "webmacs.extensions", "webmacs.auth"]),
    (
        "webmacs.storage",
        ["aiohttp", "webmacs.handlers", "webmacs.pipeline", "webmacs.hub", "webmacs.app", "webmacs.cli"],
    ),
    ("webmacs.storage", ["webmacs.webhooks", "webmacs.experiments", "webmacs.health", "webmacs.plugins"]),
    ("webmacs.plugins", ["aiohttp", "webmacs.handlers", "webmacs.pipeline", "webmacs.app", "webmacs.extensions"]),
    (
        "webmacs.controller",
        ["webmacs.app", "webmacs.handlers", "webmacs.pipeline", "webmacs.storage", "webmacs.webhooks"],
    ),
    ("webmacs.controller", ["webmacs.auth", "webmacs.catalog", "webmacs.cli", "webmacs.extensions", "webmacs.hub"]),
    ("webmacs.webhooks.message", ["asyncio", "webmacs.storage", "webmacs.catalog"]),
    ("webmacs.webhooks.outbox", ["webmacs"]),
    ("webmacs.experiments", ["aiohttp", "webmacs.pipeline", "webmacs.handlers", "webmacs.catalog", "webmacs.clock"]),
    ("webmacs.health", ["aiohttp", "webmacs.handlers", "webmacs.app", "webmacs.cli"]),
    ("webmacs.handlers", ["aiopg", "psycopg2", "sqlite3", "webmacs.app", "webmacs.cli", "webmacs.extensions"]),
    ("webmacs.webhooks", ["webmacs.handlers", "webmacs.app", "webmacs.cli", "webmacs.pipeline"]),
    (
        "webmacs.declaration",
        ["aiohttp", "asyncio", "webmacs.app", "webmacs.cli", "webmacs.extensions", "webmacs.clock"],
    ),
    ("webmacs.hub", ["webmacs.pipeline", "webmacs.storage", "webmacs.handlers", "webmacs.catalog"]),
    ("webmacs.catalog", ["webmacs.pipeline", "webmacs.storage", "webmacs.handlers", "webmacs.hub"]),
    ("webmacs.config", ["webmacs.pipeline", "webmacs.storage", "webmacs.handlers", "webmacs.extensions"]),
]
# What only these may import.
ONLY = [
    (
        "aiohttp",
        ["webmacs.app", "webmacs.handlers", "webmacs.webhooks", "webmacs.cli", "webmacs.logs", "webmacs.controller"],
    ),
    ("webmacs.controller", ["webmacs.controller", "webmacs.cli"]),
    ("aiopg", ["webmacs.storage.connections"]),
    ("psycopg2", ["webmacs.storage.connections", "webmacs.storage.postgresql"]),
    ("sqlite3", ["webmacs.storage.sqlite", "webmacs.storage.workers", "webmacs.storage.migrate"]),
    ("pymodbus", ["webmacs.plugins.modbus"]),
    ("aiomqtt", ["webmacs.plugins.mqtt"]),
    ("pytest", ["webmacs.plugins.conformance"]),
    ("webmacs.plugins.conformance", []),  # for the tests of those who write plugins
    ("webmacs.storage.sqlite", []),  # found by entry point
    ("webmacs.storage.postgresql", []),
    ("webmacs.app", ["webmacs.cli"]),
    ("webmacs.cli", ["webmacs.cli", "webmacs.__main__"]),
    ("webmacs.declaration", ["webmacs.declaration", "webmacs.cli"]),
]
# What these, and no others, may import of a part.
NO_MORE_THAN = [
    ("webmacs.pipeline", "webmacs.webhooks", ["webmacs.webhooks.message", "webmacs.webhooks.outbox"]),
    ("webmacs.experiments", "webmacs.webhooks", ["webmacs.webhooks.message"]),
    ("webmacs.health", "webmacs.webhooks", ["webmacs.webhooks.message", "webmacs.webhooks.outbox"]),
    ("webmacs.plugins.description", "webmacs", ["webmacs.model"]),
    ("webmacs.plugins.device", "webmacs", ["webmacs.config.explain", "webmacs.errors", "webmacs.plugins.description"]),
    ("webmacs.plugins.base", "webmacs", ["webmacs.errors.DeviceError", "webmacs.model.Direction", "webmacs.plugins"]),
    ("webmacs.pipeline.thresholds", "webmacs", ["webmacs.model"]),
    ("webmacs.pipeline.cooldown", "webmacs", []),
    ("webmacs.storage.bulk", "webmacs", ["webmacs.model", "webmacs.errors"]),
    ("webmacs.storage.statements", "webmacs", ["webmacs.errors", "webmacs.model", "webmacs.storage.base"]),
    (  # the limits of what may be said
        "webmacs.declaration",
        "webmacs.handlers",
        [
            *(
                "webmacs.handlers.resource.Number",
                "webmacs.handlers.resource.Text",
                "webmacs.handlers.events.EventType",
            ),
            *("webmacs.handlers.channels.ChannelId", "webmacs.handlers.channels.Unit"),
            *("webmacs.handlers.plugins.MAX_CONFIG_LENGTH", "webmacs.handlers.plugins.PluginId"),
            *("webmacs.handlers.rules.Seconds", "webmacs.handlers.users.Email", "webmacs.handlers.users.Username"),
            *("webmacs.handlers.webhooks.EventType", "webmacs.handlers.webhooks.Url"),
        ],
    ),
    ("webmacs.handlers.resource", "webmacs", ["webmacs.config", "webmacs.errors", "webmacs.model"]),
    ("webmacs.uses", "webmacs", ["webmacs.errors", "webmacs.storage.accounts", "webmacs.storage.base"]),
    (
        "webmacs.pipeline.rules",
        "webmacs.storage",
        ["webmacs.storage.rules", "webmacs.storage.deliveries", "webmacs.storage.logbook"],
    ),
    ("webmacs.pipeline.webhook", "webmacs.storage", ["webmacs.storage.deliveries"]),
]
# Who may name a class that comes by entry point, and which.
MAY_NAME = {
    ("webmacs.extensions", "Persist"),  # checks that it is the first recorder
    ("webmacs.cli.demo", "System"),  # asks what this machine has
    ("webmacs.testing", "Filter"),  # the harness is a small pipeline
    ("webmacs.testing", "Persist"),
}
SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|WITH|EXISTS|NOT EXISTS|WHERE) ")
MUTATORS = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def imports(module: str) -> Iterator[str]:
    """All that a module imports anywhere in it, as `package.module` and `package.module.name`."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, whole: str) -> bool:
    return f"{name}.".startswith(f"{whole}.")


def under(whole: str) -> list[str]:
    found = [module for module in OURS if within(module, whole)]
    assert found, f"there is no {whole}: the rule is out of date"
    return found


# -- imports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        *("webmacs.model", "webmacs.errors", "webmacs.clock", "webmacs.pipeline.throttle", "webmacs.pipeline.cooldown"),
        "webmacs.plugins.reactor",
    ],
)
def test_the_innermost_modules_import_the_standard_library_only(module: str) -> None:
    assert {name.partition(".")[0] for name in imports(module)} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(("who", "what"), MUST_NOT)
def test_a_layer_does_not_reach_for_what_is_not_its_own(who: str, what: list[str]) -> None:
    found = [(module, name) for module in under(who) for name in imports(module) for no in what if within(name, no)]
    assert found == []


@pytest.mark.parametrize(("who", "part", "what"), NO_MORE_THAN)
def test_a_module_takes_of_a_part_no_more_than_it_needs(who: str, part: str, what: list[str]) -> None:
    found = {(module, name) for module in under(who) for name in imports(module) if within(name, part)}
    assert {pair for pair in found if not any(within(pair[1], whole) for whole in what)} == set()
    missing = [whole for whole in what if not any(within(name, whole) for _, name in found)]
    assert missing == [], "the rule is out of date"


@pytest.mark.parametrize(
    "part",
    [
        *("webmacs.pipeline.thresholds", "webmacs.pipeline.cooldown", "webmacs.plugins.reactor"),
        *("webmacs.plugins.modbus.blocks", "webmacs.plugins.modbus.codec"),
    ],
)
def test_what_is_pure_has_no_clock_and_no_loop(part: str) -> None:
    effects = {"asyncio", "time", "datetime", "random", "logging"}
    assert effects.isdisjoint({name.partition(".")[0] for name in imports(part)})
    assert not [node for node in ast.walk(MODULES[part]) if isinstance(node, (ast.AsyncFunctionDef, ast.Await))]


@pytest.mark.parametrize(("what", "who"), ONLY)
def test_a_thing_is_known_to_those_alone_whose_business_it_is(what: str, who: list[str]) -> None:
    allowed = {module for whole in who for module in under(whole)}
    assert {module for module in OURS for name in imports(module) if within(name, what)} <= allowed


def test_what_comes_by_entry_point_is_named_by_nobody() -> None:
    points = [point for kind in ("stages", "storages", "plugins") for point in entry_points(group=f"webmacs.{kind}")]
    classes = {point.value.replace(":", "."): point.attr for point in points if within(point.module, "webmacs")}
    stages = {"Validate", "Filter", "Persist", "Webhook", "Rules", "Broadcast"}
    storages, devices = {"SqliteStorage", "PostgresStorage"}, {"Simulated", "System", "RevPi", "Modbus", "Mqtt"}
    assert stages | storages | devices <= set(classes.values())
    named = {(module, classes[name]) for module in OURS for name in imports(module) if name in classes}
    assert named <= MAY_NAME


def test_the_module_that_runs_the_pipeline_can_be_read_in_one_go() -> None:
    assert len((ROOT / "pipeline" / "runner.py").read_text(encoding="utf-8").splitlines()) < 200


# -- edges -----------------------------------------------------------------------------------------------------------


def test_sql_is_written_in_the_storage_alone() -> None:
    texts = [
        (module, node.value)
        for module in OURS
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert any(within(module, "webmacs.storage") for module, _ in texts)
    permitted = ("webmacs.storage", "webmacs.cli.checks")  # which asks a database for its time
    assert [found for found in texts if not any(within(found[0], whole) for whole in permitted)] == []


def test_the_environment_and_the_command_line_are_read_by_commands_alone() -> None:
    read = {
        (module, f"{node.value.id}.{node.attr}")
        for module in OURS
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    } | {(module, name) for module in OURS for name in imports(module)}
    sources = {"os.environ", "os.environb", "os.getenv", "sys.argv"}
    readers = {module for module, name in read if name in sources}
    assert readers
    permitted = ("webmacs.cli", "webmacs.plugins.mqtt.link")  # whose instances name the variable with their password
    assert [module for module in readers if not any(within(module, whole) for whole in permitted)] == []


# -- state and side effects ------------------------------------------------------------------------------------------


def is_collection(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        maker = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        return maker in {"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "ChainMap", "count"}
    return isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp))


@pytest.mark.parametrize("module", OURS)
def test_no_module_holds_state(module: str) -> None:
    """What is bound in a module is bound for good: no `global`, no collection that is not `Final`, and none changed."""
    tree = MODULES[module]
    assert [node.names for node in ast.walk(tree) if isinstance(node, ast.Global)] == []
    bound = set[str]()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound |= {target.id for target in targets if isinstance(target, ast.Name)}
            final = isinstance(node, ast.AnnAssign) and "Final" in ast.dump(node.annotation)
            assert final or not is_collection(node.value), ast.unparse(node)
    for part in ast.walk(tree):
        changed: ast.expr | None = None
        if isinstance(part, ast.Subscript) and not isinstance(part.ctx, ast.Load):
            changed = part.value
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in MUTATORS:
            changed = part.func.value
        assert not (isinstance(changed, ast.Name) and changed.id in bound), ast.unparse(part)


IMPORT_ALL = """
import importlib, os, sys

FORBIDDEN = {"socket.__new__", "socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.mkdir",
             "os.remove", "os.rename", "sqlite3.connect", "_thread.start_new_thread"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def watch(event, arguments):
    if event in FORBIDDEN or (event == "open" and (arguments[2] or 0) & WRITES):
        raise RuntimeError(f"{event}{arguments} at import")

*names, root = sys.argv[1:]
if root == "webmacs":  # libraries are loaded before anyone watches: what they do is their own business
    for name in names:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == root]:
        del sys.modules[name]
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
"""


def import_watched(*modules: str, root: str, path: Path) -> str:
    """What is said when modules are imported in a new process in which nothing may be written, opened or started."""
    command = [sys.executable, "-B", "-c", IMPORT_ALL, *modules, root]
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("COV")}  # coverage writes at exit
    environment = {**quiet, "PYTHONPATH": str(path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=path, check=False).stderr


def test_importing_does_nothing_to_the_world() -> None:
    importable = [module for module in OURS if module != "webmacs.__main__"]
    assert import_watched(*importable, root="webmacs", path=ROOT.parent) == ""


@pytest.mark.parametrize("deed", ["open('x', 'w')", "import socket; socket.socket()", "import os; os.mkdir('x')"])
def test_a_module_that_did_something_would_be_seen(deed: str, tmp_path: Path) -> None:
    (tmp_path / "doer.py").write_text(deed, encoding="utf-8")
    assert "at import" in import_watched("doer", root="doer", path=tmp_path)
