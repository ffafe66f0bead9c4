"""Settings: defaults, the file, the environment, and what is said when one of them cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from webmacs.config import Settings, load_settings
from webmacs.errors import ConfigError


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "webmacs.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ)


def test_without_a_file_everything_has_a_default() -> None:
    assert load_settings(None, {}) == Settings()


def test_the_file_overrides_defaults_key_by_key(tmp_path: Path) -> None:
    settings = load(tmp_path, "[server]\nport = 9000\n[stages.broadcast]\ninterval_s = 0.5")
    assert (settings.server.port, settings.server.host) == (9000, "127.0.0.1")
    assert settings.stages == {"broadcast": {"interval_s": 0.5}}


def test_paths_are_relative_to_the_directory_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "").directory == tmp_path.resolve()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().server.port = 1  # type: ignore[misc]


# -- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", "server.prot: unknown key"),
        ("[servers]", "servers: unknown key"),
        ("directory = '/'", "directory: unknown key"),
        ("[server]\nport = 70000", "server.port: Input should be less than or equal to 65535"),
        ("[server]\nport = 'many'", "server.port: Input should be a valid integer"),
        ("[server]\nheartbeat_s = nan", "server.heartbeat_s: Input should be a finite number"),
        ("[server]\nheartbeat_s = 0", "server.heartbeat_s: Input should be greater than 0"),
        ("[pipeline]\nqueue_rows = 0", "pipeline.queue_rows: Input should be greater than or equal to 1"),
        (
            "[pipeline]\ncommit_interval_ms = 2501",
            "pipeline: commit_interval_ms (2501) is more than half of overload_timeout_s (5 s)",
        ),
        ("[server]\ntls_key = 'k.pem'", "server: tls_cert and tls_key belong together: give both or neither"),
        ("[auth]\nsecret_key = 'short'", "auth: secret_key is shorter than 32 bytes"),
        (
            "[server]\ntrusted_proxies = ['nginx']",
            """server.trusted_proxies.0: 'nginx' is no address and no network; write "10.0.0.1" or "10.0.0.0/8\"""",
        ),
        (
            "[server]\ntrusted_proxies = ['::1', '10.0.0.7/8']",
            'server.trusted_proxies.1: \'10.0.0.7/8\' is an address within a network; write "10.0.0.7" or "10.0.0.0/8"',
        ),
        ("server = 1", "server: Input should be a valid dictionary or instance of ServerSettings"),
    ],
)
def test_an_impossible_value_is_named_with_its_key_and_its_mend(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'webmacs.toml'}: {said}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.prot: unknown key; pipeline\.queue_rows: Input should be"):
        load(tmp_path, "[server]\nprot = 1\n[pipeline]\nqueue_rows = 0")


def test_a_refused_secret_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, "[auth]\nsecret_key = 'hush'\ntoken_lifetime_s = 'hush'")
    assert "hush" not in str(error.value)


def test_a_secret_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    assert "0123456789" not in repr(load(tmp_path, f"[auth]\nsecret_key = '{'0123456789' * 4}'"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.toml: No such file or directory"):
        load_settings(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize("contents", [b"[server", b"[server]\nhost = '\xff'"], ids=["no TOML", "no UTF-8"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "webmacs.toml"
    path.write_bytes(contents)
    with pytest.raises(ConfigError, match=r"webmacs\.toml is not valid TOML"):
        load_settings(path, {})


# -- the environment -------------------------------------------------------------------------------------------------


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, "[server]\nport = 9000\nhost = 'a'", WEBMACS_SERVER__PORT="9001")
    assert (settings.server.port, settings.server.host) == (9001, "a")


def test_the_environment_reaches_the_settings_of_a_stage(tmp_path: Path) -> None:
    settings = load(tmp_path, "[stages.broadcast]\nother = 1", WEBMACS_STAGES__BROADCAST__INTERVAL_S="0.5")
    assert settings.stages == {"broadcast": {"other": 1, "interval_s": "0.5"}}


def test_a_list_in_the_environment_is_written_as_in_toml() -> None:
    settings = load_settings(None, {"WEBMACS_SERVER__ALLOWED_ORIGINS": '["https://a", "https://b"]'})
    assert settings.server.allowed_origins == ("https://a", "https://b")


@pytest.mark.parametrize(("text", "migrate"), [("true", True), ("false", False)])
def test_a_switch_in_the_environment_is_written_as_in_toml(text: str, migrate: bool) -> None:
    assert load_settings(None, {"WEBMACS_STORAGE__MIGRATE": text}).storage.migrate is migrate


@pytest.mark.parametrize(
    "secret", ["1" * 32, "0x" + "1" * 32, "true" * 8, "2026-01-01T00:00:00" + "0" * 20, "1" * 5000]
)
def test_a_secret_that_looks_like_something_else_is_taken_as_it_is(secret: str) -> None:
    key = load_settings(None, {"WEBMACS_AUTH__SECRET_KEY": secret}).auth.secret_key
    assert key is not None
    assert key.get_secret_value() == secret


def test_quotes_in_the_environment_are_those_of_toml() -> None:
    assert load_settings(None, {"WEBMACS_SERVER__HOST": '"0.0.0.0"'}).server.host == "0.0.0.0"


@pytest.mark.parametrize("name", ["WEBMACS_API_TOKEN", "WEBMACS_SERVER_PORT", "OTHER_SERVER__PORT", "SERVER__PORT"])
def test_variables_of_others_are_left_alone(name: str) -> None:
    assert load_settings(None, {name: "1"}) == Settings()


def test_an_unknown_key_in_the_environment_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"configuration: server\.prot: unknown key"):
        load_settings(None, {"WEBMACS_SERVER__PROT": "1"})


def test_what_is_no_table_has_no_keys_to_override(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="WEBMACS_SERVER__PORT: server is not a table"):
        load(tmp_path, "server = 1", WEBMACS_SERVER__PORT="1")


@given(
    st.sampled_from(
        ["SERVER__PORT", "SERVER__HOST", "STORAGE__MIGRATE", "STAGES__X__Y", "PIPELINE__STAGES", "__", "A__"]
    ),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)
def test_whatever_the_environment_holds_it_is_settings_or_an_error_of_ours(name: str, text: str) -> None:
    try:
        settings = load_settings(None, {f"WEBMACS_{name}": text})
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - either end is right
    else:
        assert isinstance(settings, Settings)
