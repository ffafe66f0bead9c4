"""Finding stages, storages and plugins by name, and what is said when there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from webmacs import __version__
from webmacs.config import Settings
from webmacs.errors import ConfigError
from webmacs.extensions import find_plugins, load_stages, load_storage
from webmacs.plugins.installed import Package
from webmacs.storage.postgresql import PostgresStorage
from webmacs.storage.sqlite import SqliteStorage

OWN = ["validate", "filter", "persist", "broadcast"]

STAGES = """
from webmacs.model import Write
from webmacs.pipeline.base import Contribution, Gate, Observer, Recorder, Stage, StageSettings
from webmacs.pipeline.persist import Persist

class ScaleSettings(StageSettings):
    factor: float = 1.0

class Scale(Gate):
    Settings = ScaleSettings
    def process(self, batch): ...

class Note(Recorder):
    name = "notebook"
    def record(self, batch, catalog): return Contribution()

class Watch(Observer):
    async def observe(self, committed): ...

class ValidateInName(Note):
    name = "validate"

class PersistInName(Scale):
    name = "persist"

class BetterPersist(Persist):
    name = "persist"

class Half(Gate):
    pass

class Bare(Stage):
    pass

nothing = 3
"""


@pytest.fixture
def plant_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with stages, importable by the returned name."""
    (tmp_path / "plant_stages.py").write_text(STAGES)
    (tmp_path / "plant_broken.py").write_text("raise KeyError('at import')")
    monkeypatch.syspath_prepend(tmp_path)
    yield "plant_stages"
    sys.modules.pop("plant_stages", None)
    sys.modules.pop("plant_broken", None)


def settings(*stages: str, **tables: dict[str, Any]) -> Settings:
    return Settings.model_validate({"pipeline": {"stages": stages}, "stages": tables})


def with_stage(*extra: str, before: str, **tables: dict[str, Any]) -> Settings:
    """The usual stages with others put in before one of them; `end` for after all."""
    at = OWN.index(before) if before in OWN else len(OWN)
    return settings(*OWN[:at], *extra, *OWN[at:], **tables)


# -- stages ----------------------------------------------------------------------------------------------------------


def test_the_usual_stages_are_found_by_name_and_in_order() -> None:
    stages = load_stages(Settings())
    assert [(stage.name, type(stage).__name__) for stage in stages] == [
        ("validate", "Validate"),
        ("filter", "Filter"),
        ("persist", "Persist"),
        ("webhook", "Webhook"),
        ("rules", "Rules"),
        ("broadcast", "Broadcast"),
    ]


def test_a_stage_is_found_by_module_and_class_and_named_for_its_class(plant_stages: str) -> None:
    stages = load_stages(with_stage(f"{plant_stages}:Scale", before="persist"))
    assert [stage.name for stage in stages] == ["validate", "filter", "scale", "persist", "broadcast"]


def test_a_stage_may_bring_its_own_name(plant_stages: str) -> None:
    stages = load_stages(with_stage(f"{plant_stages}:Note", before="broadcast"))
    assert stages[3].name == "notebook"


def test_a_stage_gets_the_table_of_its_name(plant_stages: str) -> None:
    stages = load_stages(with_stage(f"{plant_stages}:Scale", before="persist", scale={"factor": "2.5"}))
    assert stages[2].settings.factor == 2.5


def test_a_subclass_may_take_the_place_of_persist(plant_stages: str) -> None:
    stages = load_stages(settings("validate", "filter", f"{plant_stages}:BetterPersist"))
    assert type(stages[2]).__name__ == "BetterPersist"


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (["validate", "filter", "persist", "nope"], "no 'nope' is installed; there are broadcast, filter, persist"),
        (["validate", "filter", "persist", "no.such:Thing"], "'no.such:Thing' cannot be imported: ModuleNotFoundError"),
        (["validate", "filter", "persist", ":Thing"], "':Thing' cannot be imported: ValueError"),
        (["validate", "filter", "persist", "plant_stages:Nope"], "'plant_stages:Nope' cannot be imported: Attribute"),
        (
            ["validate", "filter", "persist", "plant_stages:nothing"],
            "'plant_stages:nothing' is not a subclass of Stage",
        ),
        (["validate", "filter", "persist", "plant_broken:X"], "'plant_broken:X' cannot be imported: KeyError: 'at imp"),
        (["validate", "filter", "plant_stages:Half", "persist"], "'plant_stages:Half' does not define process"),
        (["validate", "filter", "plant_stages:Bare", "persist"], "'bare' is neither a gate nor a recorder nor an obs"),
        (["filter", "persist"], "'validate' must be there once, as readings pass through it"),
        (["validate", "persist"], "'filter' must be there once, as readings pass through it"),
        (["validate", "filter"], "'persist' must be there once, as readings pass through it"),
        (["validate", "filter", "persist", "persist"], "'persist' must be there once, as readings pass through it"),
        (["validate", "filter", "persist", "broadcast", "broadcast"], "'broadcast' is given more than once"),
        (["filter", "validate", "persist"], "'validate' comes first, as the others work on what it has parsed"),
        (["plant_stages:Scale", "validate", "filter", "persist"], "'validate' comes first, as the others work on"),
        (["validate", "filter", "broadcast", "persist"], "gates come first, then recorders, then observers"),
        (["validate", "persist", "filter"], "gates come first, then recorders, then observers"),
        (["validate", "filter", "plant_stages:Note", "persist"], "'persist' is the first recorder, as the others"),
        (["validate", "filter", "plant_stages:PersistInName"], "'persist' is the first recorder, as the others"),
        (["filter", "plant_stages:ValidateInName", "persist"], "'validate' comes first, as the others work on"),
    ],
)
def test_an_impossible_list_of_stages_is_refused_with_its_reason(
    plant_stages: str, stages: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_stages(settings(*stages))
    assert str(error.value).startswith(f"pipeline.stages: {said}")


def test_a_table_of_no_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stages\.brodcast: there is no such stage in pipeline\.stages"):
        load_stages(settings(*OWN, brodcast={}))


def test_impossible_settings_of_a_stage_are_named_with_their_key() -> None:
    with pytest.raises(ConfigError, match=r"stages\.broadcast: interval_s: Input should be greater than or equal to 0"):
        load_stages(settings(*OWN, broadcast={"interval_s": -1}))


# -- storages --------------------------------------------------------------------------------------------------------


def storage_settings(url: str, directory: Path = Path()) -> Settings:
    return Settings.model_validate({"storage": {"url": url}, "directory": directory})


def test_a_relative_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    storage = load_storage(storage_settings("sqlite:///data/plant.db", tmp_path))
    assert isinstance(storage, SqliteStorage)
    assert storage.path == tmp_path / "data/plant.db"


def test_an_absolute_file_stays_where_it_is(tmp_path: Path) -> None:
    storage = load_storage(storage_settings("sqlite:////srv/plant.db", tmp_path))
    assert isinstance(storage, SqliteStorage)
    assert storage.path == Path("/srv/plant.db")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_both_spellings_of_postgresql_are_one_storage(scheme: str) -> None:
    assert isinstance(load_storage(storage_settings(f"{scheme}://user@localhost/plant")), PostgresStorage)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("plant.db", "storage.url: there is no scheme"),
        ("oracle://x", "storage.url: no 'oracle' is installed; there are postgresql, sqlite"),
        ("sqlite://", "storage.url: "),
        ("postgresql://[", "storage.url is not a PostgreSQL connection string"),
    ],
)
async def test_an_impossible_address_is_refused_with_its_reason(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_storage(storage_settings(url))
    assert str(error.value).startswith(said)


# -- plugins ---------------------------------------------------------------------------------------------------------

PLUGIN = """
from webmacs.model import Direction
from webmacs.plugins.base import ChannelDescription, Device, PluginDescription

def described(id):
    return PluginDescription(id, "Tank", "1.0", "ACME", "A tank", None, (LEVEL,))

LEVEL = ChannelDescription("level", "Level", Direction.INPUT, "m", 0.0, 4.0)

class Tank(Device):
    description = described("tank")

class System(Device):
    description = described("system")

class Nameless(Device):
    pass

class Foreign:
    description = described("foreign")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package of that name, which declares plugins by id and class."""
    (tmp_path / "plant_plugins.py").write_text(PLUGIN)
    (tmp_path / "plant_broken.py").write_text("raise KeyError('at import')")
    (tmp_path / "plant_exits.py").write_text("raise SystemExit('no bus here')")
    monkeypatch.syspath_prepend(tmp_path)

    def put(package: str, **plugins: str) -> None:
        information = tmp_path / f"{package}-1.5.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = [f"{plugin_id} = {where}" for plugin_id, where in plugins.items()]
        (information / "entry_points.txt").write_text("\n".join(["[webmacs.plugins]", *lines]))

    yield put
    sys.modules.pop("plant_plugins", None)
    sys.modules.pop("plant_broken", None)


def test_plugins_are_found_with_the_packages_that_brought_them() -> None:
    found = find_plugins()
    assert list(found.plugins) == ["modbus", "mqtt", "revpi", "simulated", "system"]
    assert found.packages == (Package("webmacs", __version__, ("modbus", "mqtt", "revpi", "simulated", "system")),)
    assert found.plugins["system"].description.name == "System Monitor"


def test_plugins_of_others_come_after_our_own(install: Callable[..., None]) -> None:
    install("a-tank", tank="plant_plugins:Tank")
    found = find_plugins()
    assert list(found.plugins) == ["modbus", "mqtt", "revpi", "simulated", "system", "tank"]
    assert found.packages[1:] == (Package("a-tank", "1.5", ("tank",)),)
    assert found.plugins["tank"].description.channels[0].channel_id == "level"


@pytest.mark.parametrize(
    ("plugin_id", "where", "said"),
    [
        ("tank", "plant_plugins:Nope", "'plant_plugins:Nope' cannot be imported: AttributeError"),
        ("tank", "plant_plugins", "'plant_plugins:' cannot be imported"),
        ("tank", "no_such_module:Tank", "'no_such_module:Tank' cannot be imported: ModuleNotFoundError"),
        ("tank", "plant_broken:Tank", "'plant_broken:Tank' cannot be imported: KeyError: 'at import'"),
        ("tank", "plant_exits:Tank", "'plant_exits:Tank' cannot be imported: SystemExit: no bus here"),
        ("foreign", "plant_plugins:Foreign", "'plant_plugins:Foreign' is not a subclass of Device"),
        ("tank", "plant_plugins:Nameless", "Nameless has no description; give it a PluginDescription"),
        ("barrel", "plant_plugins:Tank", "its description has the id 'tank'; they must be the same"),
        ("system", "plant_plugins:System", "another package has a plugin of that id; rename one of them"),
    ],
)
def test_a_plugin_that_is_broken_is_left_out_and_its_package_is_named(
    install: Callable[..., None], caplog: pytest.LogCaptureFixture, plugin_id: str, where: str, said: str
) -> None:
    install("a-broken-one", **{plugin_id: where})
    install("b-tank", drum="plant_plugins:Tank", tank="plant_plugins:Tank")
    found = find_plugins()
    assert set(found.plugins) >= {"modbus", "mqtt", "revpi", "simulated", "system"}
    assert found.plugins["tank"].description.name == "Tank"
    assert found.plugins["system"].description.name == "System Monitor"
    assert Package("a-broken-one", "1.5", (plugin_id,)) in found.packages
    message = f"a plugin of package a-broken-one cannot be used: webmacs.plugins: {plugin_id}: {said}"
    assert [text[: len(message)] for text in caplog.messages][:1] == [message]


def test_of_two_packages_with_a_plugin_of_one_id_the_first_by_name_has_it(install: Callable[..., None]) -> None:
    for package in ("b-tank", "a-tank"):
        install(package, tank="plant_plugins:Tank")
    assert [package.name for package in find_plugins().packages] == ["webmacs", "a-tank", "b-tank"]


def test_packages_that_were_not_installed_to_their_end_do_no_harm(
    install: Callable[..., None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install("a-tank", tank="plant_plugins:Tank")
    for package in ("cut", "short"):
        install(package, tank="plant_plugins:Tank")
    (tmp_path / "cut-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    (tmp_path / "short-1.5.dist-info" / "METADATA").unlink()
    found = find_plugins()
    assert [package.name for package in found.packages] == ["webmacs", "a-tank"]
    assert [text.partition(" cannot")[0] for text in caplog.messages] == ["a plugin of package (unknown)"] * 2
