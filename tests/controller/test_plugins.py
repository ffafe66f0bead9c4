"""Devices are found by the entry points of packages that are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from webmacs.controller.plugins import device_class
from webmacs.errors import DeviceError
from webmacs.plugins.base import Device

MODULE = """
from webmacs.plugins.base import Device

class Mine(Device):
    pass

class Other:
    pass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that declares some plugins, of which one is a device."""
    (tmp_path / "devices_of_a_test.py").write_text(MODULE)
    about = tmp_path / "devices_of_a_test-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: devices-of-a-test\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[webmacs.plugins]\nmine = devices_of_a_test:Mine\nother = devices_of_a_test:Other\n"
        "broken = devices_of_a_test:Missing\nsystem = devices_of_a_test:Mine\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_a_device_of_another_package_is_found() -> None:
    assert issubclass(device_class("mine"), Device)


@pytest.mark.usefixtures("package")
def test_of_two_it_is_the_one_that_comes_with_webmacs() -> None:
    assert device_class("system").__module__ == "webmacs.plugins.system"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("plugin_id", "said"),
    [
        ("nothing", "the plugin 'nothing' is not installed here; install its package beside the controller"),
        ("other", "the plugin 'other' is no device; its package is at fault"),
        ("broken", "the plugin 'broken' cannot be imported: AttributeError: "),
    ],
)
def test_what_is_no_device_is_named(plugin_id: str, said: str) -> None:
    with pytest.raises(DeviceError) as error:
        device_class(plugin_id)
    assert str(error.value).startswith(said)
