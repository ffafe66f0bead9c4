"""Finding stages, storages and plugins by name: installed entry points, or `package.module:Class`."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from webmacs.config import Settings, explain
from webmacs.errors import ConfigError
from webmacs.pipeline.base import Gate, Observer, Recorder, Stage
from webmacs.pipeline.persist import Persist
from webmacs.plugins.base import Device, PluginDescription
from webmacs.plugins.installed import Installed, Package
from webmacs.storage.base import Storage

_log = logging.getLogger(__name__)
T = TypeVar("T")

STAGES: Final = "webmacs.stages"
STORAGES: Final = "webmacs.storages"
PLUGINS: Final = "webmacs.plugins"
OWN: Final = "webmacs"
NEEDED: Final = ("validate", "filter", "persist")


def load_class(group: str, name: str, base: type[T], key: str) -> type[T]:
    """The class of that name, checked to derive from `base`. `key` is the setting to blame.

    Raises:
        ConfigError: there is none, it cannot be imported, or it is something else.

    """
    known = entry_points(group=group)
    if ":" not in name and name not in known.names:
        raise ConfigError(f"{key}: no {name!r} is installed; there are {', '.join(sorted(known.names))}")
    try:
        if ":" in name:
            module, _, attribute = name.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
        else:
            found = known[name].load()
    except (Exception, SystemExit) as error:  # importing it runs whatever its author wrote
        raise ConfigError(f"{key}: {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{key}: {name!r} is not a subclass of {base.__name__}")
    missing: frozenset[str] = getattr(found, "__abstractmethods__", frozenset())
    if missing:
        raise ConfigError(f"{key}: {name!r} does not define {', '.join(sorted(missing))}")
    return found


def load_storage(settings: Settings) -> Storage:
    """The storage that the scheme of `storage.url` chooses; a relative SQLite path is relative to the configuration."""
    url = settings.storage.url
    scheme, separator, path = url.partition("://")
    if not separator:
        raise ConfigError("storage.url: there is no scheme in it; write sqlite:///file.db or postgresql://…")
    if scheme == "sqlite" and path.startswith("/") and path != "/" and not path.startswith("//"):
        url = f"sqlite:///{(settings.directory / path[1:]).absolute()}"
    scheme = {"postgres": "postgresql"}.get(scheme, scheme)
    found = load_class(STORAGES, scheme, Storage, "storage.url")  # type: ignore[type-abstract]
    return found(settings.storage, url)


def load_stages(settings: Settings) -> list[Stage]:
    """The stages of `pipeline.stages` in order, each with its settings.

    Raises:
        ConfigError: a stage is missing, unknown, given twice or out of place, or its settings are not possible.

    """
    stages = [_load_stage(name, settings) for name in settings.pipeline.stages]
    names = [stage.name for stage in stages]
    for name in NEEDED:
        if names.count(name) != 1:
            raise ConfigError(f"pipeline.stages: {name!r} must be there once, as readings pass through it")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"pipeline.stages: {name!r} is given more than once")
    kinds = [(Gate, Recorder, Observer).index(_kind(stage)) for stage in stages]
    if kinds != sorted(kinds):
        raise ConfigError("pipeline.stages: gates come first, then recorders, then observers")
    gates = [name for name, kind in zip(names, kinds, strict=True) if kind == 0]
    if gates[:1] != ["validate"]:
        raise ConfigError("pipeline.stages: 'validate' comes first, as the others work on what it has parsed")
    recorders = [stage for stage in stages if isinstance(stage, Recorder)]
    if not recorders or not isinstance(recorders[0], Persist):
        raise ConfigError("pipeline.stages: 'persist' is the first recorder, as the others build on what it stores")
    for name in settings.stages.keys() - set(names):
        raise ConfigError(f"stages.{name}: there is no such stage in pipeline.stages")
    return stages


def find_plugins() -> Installed:
    """The plugins that are installed. One that is broken is logged and left out.

    Of two that go by one id, it is the one that comes with WebMACS, or else that of the package whose name is first.
    """
    points = sorted(entry_points(group=PLUGINS), key=_rank)
    found: dict[str, type[Device]] = {}
    for point in points:
        try:
            found[point.name] = _device(point, found)
        except ConfigError as error:
            _log.warning("a plugin of package %s cannot be used: %s", _package(point) or "(unknown)", error)
    return Installed(found, tuple(_packages(points)))


def _device(point: EntryPoint, found: Mapping[str, type[Device]]) -> type[Device]:
    key = f"{PLUGINS}: {point.name}"
    if point.name in found:
        raise ConfigError(f"{key}: another package has a plugin of that id; rename one of them")
    device = load_class(PLUGINS, f"{point.module}:{point.attr or ''}", Device, key)
    description = getattr(device, "description", None)
    if not isinstance(description, PluginDescription):
        raise ConfigError(f"{key}: {device.__name__} has no description; give it a {PluginDescription.__name__}")
    if description.id != point.name:
        raise ConfigError(f"{key}: its description has the id {description.id!r}; they must be the same")
    return device


def _packages(points: Sequence[EntryPoint]) -> list[Package]:
    versions = {name: point.dist.version or "" for point in points if (name := _package(point)) and point.dist}
    return [
        Package(name, version, tuple(point.name for point in points if _package(point) == name))
        for name, version in versions.items()
    ]


def _rank(point: EntryPoint) -> tuple[bool, bool, str, str]:
    """What comes with WebMACS is first; what is left of a package that was not installed to its end is last."""
    package = _package(point)
    return (package != OWN, not package, package, point.name)


def _package(point: EntryPoint) -> str:
    """Its name, if it has one."""
    return (point.dist and point.dist.name) or ""


def _load_stage(name: str, settings: Settings) -> Stage:
    found = load_class(STAGES, name, Stage, "pipeline.stages")
    own_name = (found.name or found.__name__.lower()) if ":" in name else name
    try:
        stage = found(found.Settings.model_validate(settings.stages.get(own_name, {})))
    except ValidationError as error:
        raise ConfigError(f"stages.{own_name}: {explain(error)}") from error
    stage.name = own_name
    return stage


def _kind(stage: Stage) -> type[Stage]:
    for kind in (Gate, Recorder, Observer):
        if isinstance(stage, kind):
            return kind
    raise ConfigError(f"pipeline.stages: {stage.name!r} is neither a gate nor a recorder nor an observer")
