"""The classes of devices that are installed here, by the id of their plugin; imported when an instance needs one."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from webmacs.errors import DeviceError
from webmacs.plugins.base import Device

GROUP: Final = "webmacs.plugins"
OWN: Final = "webmacs"


def device_class(plugin_id: str) -> type[Device]:
    """The class that the plugin's entry point names; of two, the one that comes with WebMACS, else the first by name.

    Raises:
        DeviceError: there is none, or it cannot be used.

    """
    points = sorted(entry_points(group=GROUP, name=plugin_id), key=_rank)
    if not points:
        raise DeviceError(f"the plugin {plugin_id!r} is not installed here; install its package beside the controller")
    try:
        found = points[0].load()
    except (Exception, SystemExit) as error:  # importing it runs whatever its author wrote
        raise DeviceError(f"the plugin {plugin_id!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Device)):
        raise DeviceError(f"the plugin {plugin_id!r} is no device; its package is at fault")
    return found


def _rank(point: EntryPoint) -> tuple[bool, str]:
    package = (point.dist and point.dist.name) or ""
    return (package != OWN, package)
