"""Settings: one frozen model, read from TOML, each key overridable by `WEBMACS_SECTION__KEY` in the environment.

Every key has a default, every bound is a key, unknown keys are errors. `config.example.toml` shows them all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    model_validator,
)

from webmacs.errors import ConfigError

ENVIRONMENT_PREFIX = "WEBMACS_"
MIN_SECRET_BYTES = 32

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Interval = Annotated[float, Field(ge=0.01, allow_inf_nan=False)]


def _network(given: object) -> object:
    text = str(given)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{text!r} is no address and no network; write "10.0.0.1" or "10.0.0.0/8"') from None
    address = text.partition("/")[0]
    raise ValueError(f'{text!r} is an address within a network; write "{address}" or "{meant}"')


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class Section(BaseModel):
    """A table of the configuration: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """`[server]`: where we listen and what a client may cost."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    idle_timeout_s: Positive = 75.0
    body_timeout_s: Positive = 60.0
    heartbeat_s: Positive = 30.0
    max_message_bytes: Count = 128 * 1024
    max_body_bytes: Count = 1024 * 1024
    max_connections: Count = 2000
    max_connections_per_address: Count = 1500
    max_connections_per_user: Count = 1500
    max_refused: Count = 200
    max_http_connections: Count = 2000
    max_http_connections_per_address: Count = 1500
    requests_per_minute: Annotated[int, Field(ge=0)] = 12_000
    max_tracked_addresses: Count = 10_000
    client_buffer_bytes: Count = 256 * 1024
    client_deadline_s: Positive = 5.0
    close_timeout_s: Positive = 2.0
    shutdown_timeout_s: Positive = 10.0
    lag_warning_s: Positive = 0.5

    @model_validator(mode="after")
    def _tls_is_a_pair(self) -> ServerSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or neither")
        return self


class AuthSettings(Section):
    """`[auth]`: the key that signs tokens, and the cost of passwords."""

    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None
    token_lifetime_s: Positive = 86_400.0
    hashing_threads: Count = 2
    max_pending_logins: Count = 32
    free_failures: Count = 5
    failure_pause_s: Positive = 1.0
    max_failure_pause_s: Positive = 300.0
    max_tracked_logins: Count = 10_000
    recheck_interval_s: Positive = 0.5

    @model_validator(mode="after")
    def _makes_sense(self) -> AuthSettings:
        if self.max_failure_pause_s < self.failure_pause_s:
            raise ValueError("max_failure_pause_s is shorter than failure_pause_s, which is where pauses begin")
        if self.secret_key is not None and len(self.secret_key.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"secret_key is shorter than {MIN_SECRET_BYTES} bytes")
        return self


class StorageSettings(Section):
    """`[storage]`: where readings are kept."""

    url: str = "sqlite:///webmacs.db"
    migrate: bool = True
    pool_size: Count = 4
    connect_timeout_s: Positive = 5.0
    statement_timeout_s: Positive = 5.0
    startup_timeout_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
    poll_interval_s: Positive = 0.2
    wal_limit_mb: Count = 128
    cache_mb: Annotated[int, Field(ge=1, le=4096)] = 8
    retention_days: Annotated[int, Field(ge=0)] = 0
    audit_retention_days: Annotated[int, Field(ge=0)] = 0
    partition_days: Count = 7
    partitions_ahead: Count = 4
    rollup_interval_s: Positive = 10.0
    log_retention_days: Annotated[int, Field(ge=0)] = 0
    max_log_entries: Annotated[int, Field(ge=0)] = 1_000_000
    upkeep_interval_s: Positive = 600.0


class PipelineSettings(Section):
    """`[pipeline]`: the stages in order, and the bounds of what waits between them."""

    stages: tuple[str, ...] = ("validate", "filter", "persist", "webhook", "rules", "broadcast")
    max_batch_size: Count = 500
    queue_rows: Count = 100_000
    commit_rows: Count = 8_000
    commit_interval_ms: Annotated[int, Field(ge=0)] = 0
    overload_timeout_s: Positive = 5.0
    max_retry_delay_s: Positive = 2.0
    max_clock_skew_s: Positive = 300.0
    max_reading_age_s: Positive = 400 * 86_400.0
    batch_id_retention_s: Positive = 7 * 86_400.0
    observer_queue_rows: Count = 50_000
    observer_deadline_s: Positive = 5.0
    unlinked_ids: Count = 1_000

    @model_validator(mode="after")
    def _answers_come_in_time(self) -> PipelineSettings:
        if self.commit_interval_ms / 1000 > self.overload_timeout_s / 2:
            raise ValueError(
                f"commit_interval_ms ({self.commit_interval_ms}) is more than half of overload_timeout_s"
                f" ({self.overload_timeout_s:g} s): HTTP clients would be told that their batch is not stored"
            )
        return self


class WebhookSettings(Section):
    """`[webhooks]`: whom they may reach, and how hard to try."""

    allowed_networks: tuple[IPvAnyNetwork, ...] = ()
    timeout_s: Positive = 10.0
    attempts: Count = 8
    first_retry_s: Positive = 5.0
    max_retry_s: Positive = 6 * 3600.0
    concurrency: Count = 4
    max_pending: Count = 100_000
    max_response_bytes: Count = 64 * 1024
    poll_interval_s: Positive = 2.0
    retention_days: Annotated[int, Field(ge=0)] = 30
    rotation_s: Positive = 86_400.0


class PluginSettings(Section):
    """`[plugins]`: what is said of the instances of plugins."""

    quiet_s: Positive = 60.0
    changed_interval_s: Positive = 0.5
    setpoint_memory_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 86_400.0


class ControllerSettings(Section):
    """`[controller]`: the device side, `webmacs controller`. Paths are relative to the configuration file."""

    server_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] = "http://127.0.0.1:8000"
    token: SecretStr | None = None
    token_file: Path | None = None
    email: str | None = None
    password_file: Path | None = None
    cafile: Path | None = None
    transport: Literal["websocket", "http"] = "websocket"
    poll_interval_s: Interval = 1.0
    intervals: dict[str, Interval] = {}
    gather_s: Positive = 0.02
    dedup: bool = False
    dedup_max_age_s: Positive = 60.0
    max_batch_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_message_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    window: Count = 8
    backlog_rate: Positive = 5_000.0
    spool_directory: Path = Path("spool")
    spool_max_mb: Count = 256
    spool_sync_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    refused_max_mb: Count = 8
    clock_tolerance_s: Positive = 2.0
    setpoint_ttl_s: Positive = 60.0
    setpoint_hold_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    safe_after_s: Positive = 10.0
    read_back_tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    config_interval_s: Positive = 10.0
    status_interval_s: Positive = 10.0
    device_timeout_s: Positive = 10.0
    connect_timeout_s: Positive = 10.0
    hello_timeout_s: Positive = 2.0
    answer_timeout_s: Positive = 15.0
    heartbeat_s: Positive = 20.0
    first_retry_s: Positive = 0.5
    max_retry_s: Positive = 30.0
    shutdown_timeout_s: Positive = 10.0

    @model_validator(mode="after")
    def _makes_sense(self) -> ControllerSettings:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file are both given: give one of them")
        if (self.email is None) != (self.password_file is None):
            raise ValueError("email and password_file belong together: give both or neither")
        if self.max_retry_s < self.first_retry_s:
            raise ValueError("max_retry_s is shorter than first_retry_s, which is where pauses begin")
        return self


class LoggingSettings(Section):
    """`[logging]`: what is said on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(Section):
    """The whole configuration. `directory` is that of the file; relative paths are relative to it."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    storage: StorageSettings = StorageSettings()
    pipeline: PipelineSettings = PipelineSettings()
    stages: dict[str, dict[str, Any]] = {}
    webhooks: WebhookSettings = WebhookSettings()
    plugins: PluginSettings = PluginSettings()
    controller: ControllerSettings = ControllerSettings()
    logging: LoggingSettings = LoggingSettings()
    directory: Path = Field(default=Path(), exclude=True)


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the file (None: defaults alone) and apply the environment.

    Raises:
        ConfigError: the file cannot be read or parsed, a key is unknown, or a value is not possible.

    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
        if "directory" in document:
            raise ConfigError(f"{path}: directory: unknown key")
        document["directory"] = path.resolve().parent
    _override(document, environ)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{path or 'configuration'}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """All that a validation found, as one line; never the refused value, which may be a secret."""
    found = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        found.append(f"{where}: {what}" if where else what)
    return "; ".join(found)


def _override(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, text in environ.items():
        section, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not name.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        table = document.setdefault(section, {})
        *inner, last = key.split("__")
        for part in inner:
            table = table.setdefault(part, {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict):
            raise ConfigError(f"{name}: {section} is not a table")
        table[last] = _parse(text)


def _parse(text: str) -> Any:
    """A list, a table or a quoted string where the text is one in TOML, else the text itself.

    Of the text `9000` the key's own type makes a number, or leaves it as it is where the key is a password.
    """
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # of which TOMLDecodeError is one; another comes from a number of 5,000 digits
        return text
    return value if isinstance(value, (list, dict, str)) else text
