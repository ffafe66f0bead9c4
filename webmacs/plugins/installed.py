"""Which plugins are installed here, and the packages they came with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webmacs.plugins.device import Device


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution that declares plugins; of one that is broken, the id is here and nowhere else."""

    name: str
    version: str
    plugin_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installed:
    """What `webmacs.extensions.find_plugins` has found: plugins by id, those of WebMACS first, and their packages."""

    plugins: Mapping[str, type[Device]]
    packages: tuple[Package, ...]
