"""What an instance of `mqtt` is told: which broker, and which topic each of its channels is."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from webmacs.model import Direction
from webmacs.plugins.base import MAX_CHANNELS, ChannelDescription, DeviceConfig

MAX_TOPIC_BYTES: Final = 65_535
PASSWORDS: Final = "WEBMACS_DEVICE_"
VALUE: Final = "{value}"

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _topic(text: str) -> str:
    if not 1 <= len(text.encode()) <= MAX_TOPIC_BYTES or "\0" in text:
        raise ValueError(f"is no topic: 1 to {MAX_TOPIC_BYTES:,} bytes")
    if "+" in text or "#" in text:
        raise ValueError("has a wildcard; a channel is one topic")
    return text


def _pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError('is no JSON pointer: "/temperature", or "/sensors/0/value"')
    return text


def _variable(text: str) -> str:
    if not text.startswith(PASSWORDS):
        raise ValueError(f"begins with {PASSWORDS}, so that no other secret of the controller can be asked for")
    return text


Topic = Annotated[str, AfterValidator(_topic)]
Pointer = Annotated[str, AfterValidator(_pointer)]  # RFC 6901


class MqttChannel(DeviceConfig):
    """One channel. What it measures comes on `topic`, what it is set to goes to `command_topic`.

    `pointer`: where in a payload of JSON the value is; without it, the payload is the value. `words`: what words mean,
    in both directions. `time_pointer`: where the payload says when it was measured, as a number of `time_unit` since
    1970 or a text in ISO 8601. `retained`: take what the broker has kept, however old it is, as measured now.
    `template`: what is sent, with the value in place of `{value}`.
    """

    channel_id: str
    name: str | None = None
    unit: str = ""
    direction: Direction | None = None
    min_value: Finite | None = None
    max_value: Finite | None = None
    safe_value: Finite | None = None
    topic: Topic | None = None
    command_topic: Topic | None = None
    pointer: Pointer = ""
    time_pointer: Pointer | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    words: dict[str, Finite] = Field(default_factory=dict)
    retained: bool = False
    template: Annotated[str, Field(max_length=4096)] = VALUE
    retain: bool = False

    @property
    def heading(self) -> Direction:
        """The direction; where it is not said, that of its topics."""
        if self.direction is not None:
            return self.direction
        return Direction.INPUT if self.command_topic is None else Direction.OUTPUT

    @property
    def description(self) -> ChannelDescription:
        """The channel as everybody else knows it."""
        least, most = self.min_value, self.max_value
        if self.words:
            least = min(self.words.values()) if least is None else least
            most = max(self.words.values()) if most is None else most
        if least is None or most is None:
            raise ValueError("min_value and max_value: give both, or words")
        name = self.channel_id if self.name is None else self.name
        return ChannelDescription(self.channel_id, name, self.heading, self.unit, least, most, self.safe_value)

    @model_validator(mode="after")
    def _can_be_one(self) -> MqttChannel:
        if self.topic is None and self.heading is not Direction.OUTPUT:
            raise ValueError("topic: is missing; what it measures has to come from somewhere")
        if self.command_topic is None and self.heading is not Direction.INPUT:
            raise ValueError("command_topic: is missing; what it is set to has to go somewhere")
        if VALUE not in self.template:
            raise ValueError(f"template: has no {VALUE} in it")
        _ = self.description  # which raises for what no channel can be
        return self


class Tls(DeviceConfig):
    """Certificates, by the names of files on the controller; without `cafile`, those that the system trusts."""

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


class MqttConfig(DeviceConfig):
    """`password_env` names an environment variable of the controller, so that the password need not be in here.

    `readback_s`: how long a device may take to say on `topic` what it was set to. `retry_s`: how long, at most, until a
    lost connection is tried again. `queue_size`: how many values wait for the controller before the oldest go.
    """

    host: Annotated[str, Field(min_length=1, max_length=255)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_env: Annotated[str, AfterValidator(_variable)] | None = None
    tls: Tls | None = None
    client_id: str | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    retry_s: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    readback_s: Annotated[float, Field(ge=0.05, le=60)] = 2.0
    qos: Literal[0, 1, 2] = 1
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    channels: Annotated[tuple[MqttChannel, ...], Field(min_length=1, max_length=MAX_CHANNELS)]

    @property
    def where(self) -> str:
        """The broker, for people."""
        return f"{self.host}:{self.broker_port}"

    @property
    def broker_port(self) -> int:
        """The one given, or the usual one."""
        return self.port or (1883 if self.tls is None else 8883)

    @model_validator(mode="after")
    def _one_password(self) -> MqttConfig:
        if self.password is not None and self.password_env is not None:
            raise ValueError("password: give it or password_env, not both")
        if self.username is None and (self.password is not None or self.password_env is not None):
            raise ValueError("username: is missing, and there is a password")
        return self
