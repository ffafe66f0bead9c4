"""One device at work: opened, read, written, asked how it is, closed.

The controller calls one method at a time, each with a deadline of its own after which it cancels the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from webmacs.config import explain
from webmacs.errors import ConfigError, DeviceError
from webmacs.plugins.description import ChannelDescription, PluginDescription, check_channels


class DeviceConfig(BaseModel):
    """The configuration of an instance, its `config_json`; derive from it. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sample(NamedTuple):
    """One value of one channel.

    `time_ns` is `time.time_ns()` of the measurement, where the device knows it better than the one who asked.
    """

    channel_id: str
    value: float
    time_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How a device is doing; `message` is one line for a person."""

    ok: bool
    message: str = ""


class Device:
    """One instance of a plugin at work. Derive from it and override what the device can do.

    A server needs `description`, `Config` and `channels_of` alone, and has none of what a device is talked to with:
    import that in `open`.
    """

    description: ClassVar[PluginDescription]
    Config: ClassVar[type[DeviceConfig]] = DeviceConfig
    pushes: ClassVar[bool] = False  # it says by itself when there is something new: `samples` instead of `read`

    def __init__(self, config: Any, *, demo: bool = False) -> None:
        """`config` is a `Config`. With `demo` nothing is touched, and values are made up that might be true."""
        self.config = config
        self.demo = demo
        self.channels = {channel.channel_id: channel for channel in self.channels_of(config)}

    @classmethod
    def configured(cls, config_json: str | None) -> DeviceConfig:
        """What an instance's `config_json` says; nothing is an empty object.

        Raises:
            ConfigError: it is not for this plugin, or its channels are impossible. Names the key, not the value.

        """
        try:
            config = cls.Config.model_validate_json(config_json or "{}")
        except ValidationError as error:
            raise ConfigError(explain(error)) from None  # which would show the value
        try:
            check_channels(cls.description.id, cls.channels_of(config))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        except Exception as error:  # whatever the plugin's author has overlooked
            raise ConfigError(f"the plugin {cls.description.id!r} fails on it: {type(error).__name__}") from error
        return config

    @classmethod
    def channels_of(cls, config: Any) -> Sequence[ChannelDescription]:  # noqa: ARG003 - it is for those who override it
        """The channels of an instance with that `Config`."""
        return cls.description.channels

    async def open(self) -> None:
        """Connect. What is lost later, the device mends by itself: until then its calls raise.

        Raises:
            DeviceError: it cannot be reached. Then, and when cancelled, it can be opened again.

        """

    async def close(self) -> None:
        """Let go of everything. Harmless when repeated, when it was never opened and after any failure."""

    async def read(self, channel_ids: Sequence[str]) -> Iterable[Sample]:  # noqa: ARG002 - as above
        """Measure. What cannot be read just now is left out.

        Raises:
            DeviceError: nothing of it can be read.

        """
        raise DeviceError(f"the plugin {self.description.id!r} cannot read its device")

    def samples(self) -> AsyncIterator[Sample]:
        """Where `pushes`: what the device says, as it comes, from `open` on until it is closed."""
        raise DeviceError(f"the plugin {self.description.id!r} does not say by itself what its device measures")

    async def write(self, channel_id: str, value: float) -> float | None:  # noqa: ARG002 - as above
        """Set an output. Returns what the device has there now, or None where it cannot tell.

        Raises:
            DeviceError: it is not set, or nobody knows whether it is.

        """
        raise DeviceError(f"the plugin {self.description.id!r} cannot set anything; it was to set {channel_id!r}")

    async def health(self) -> Health:
        """How it is, answered within a second."""
        return Health(ok=True)

    # -- for those who derive from it ---------------------------------------------------------------------------------

    def known(self, channel_ids: Iterable[str]) -> list[ChannelDescription]:
        """Those of the channels that there are. Raises `DeviceError` when there is none of them."""
        asked = list(channel_ids)
        found = [self.channels[channel_id] for channel_id in asked if channel_id in self.channels]
        if asked and not found:
            raise DeviceError(self._missing(asked[0]))
        return found

    def settable(self, channel_id: str, value: float) -> ChannelDescription:
        """The channel, if that can be written to it. Raises `DeviceError`."""
        channel = self.channels.get(channel_id)
        if channel is None:
            raise DeviceError(self._missing(channel_id))
        if not channel.settable:
            raise DeviceError(f"channel {channel_id!r} is an input and cannot be set")
        if not channel.min_value <= value <= channel.max_value:  # nor what is no number
            raise DeviceError(
                f"channel {channel_id!r} cannot be set to {value}: it goes from {channel.min_value} to"
                f" {channel.max_value}"
            )
        return channel

    def _missing(self, channel_id: str) -> str:
        some = ", ".join(list(self.channels)[:8]) or "none"
        more = f" and {len(self.channels) - 8} more" if len(self.channels) > 8 else ""  # noqa: PLR2004 - a line's length
        return f"the device has no channel {channel_id!r}; there are {some}{more}"
