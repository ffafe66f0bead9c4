"""A token that can be recognised goes every way into a real server, and is looked for in all that comes out.

Protocol decisions: "The token never reaches a log, an error body or a metric, whatever its length."
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.cli.process import Command, started
from tests.plant import PASSWORD, SECRET, Plant, furnish, settings_for
from tests.rawsocket import RawSocket, exchange
from tests.wire import SOCKETS
from webmacs.auth import api_token_digest
from webmacs.extensions import load_storage
from webmacs.logs import JsonFormatter, TextFormatter, scrub
from webmacs.model import Role
from webmacs.storage import accounts

CANARY = "CANARY"
GOOD = f"wm_{CANARY}-0123456789abcdefghijklmnopqrstuvwxyz"
SIZES = {"short": 60, "9 KB": 9_000, "40 KB": 40_000}
BAD = [
    kind + (CANARY + "-_.") * (size // 9) for size in SIZES.values() for kind in ("wm_", "eyJhbGciOiJIUzI1NiJ9.", "")
]


async def prepare(tmp_path: Path, log_format: str) -> tuple[Path, Plant]:
    """A configuration that says as much as can be said, and a storage on which one token is good."""
    config = tmp_path / "webmacs.toml"
    config.write_text(
        "[server]\nport = 0\n"
        f'[auth]\nsecret_key = "{SECRET}"\n'
        f'[logging]\nlevel = "debug"\nformat = "{log_format}"\n'
        f'[storage]\nurl = "sqlite:///{tmp_path / "test.db"}"\n',
        encoding="utf-8",
    )
    storage = load_storage(settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path))
    await storage.open()
    plant = await furnish(storage)
    user, _ = await accounts.user_by_email(storage, plant.emails[Role.OPERATOR])
    await accounts.add_token(
        storage, user_id=user.id, name="canary", digest=api_token_digest(GOOD), expires_us=None, now_us=0
    )
    await storage.close()
    return config, plant


async def heard(address: str, request: str) -> bytes:
    """All that comes back to a request, for a while; a loaded machine may take its time to begin."""
    async with await RawSocket.connect(address) as connection:
        connection.write(request.encode())
        found = b""
        for _ in range(60):
            found += await connection.within(0.3)
            if found:
                break
        return found + await connection.within(0.1)


def ways_in(token: str) -> list[str]:
    """Requests that bear a token in every place there is for one."""
    escaped = quote(token, safe="")
    upgrade = (
        "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n"
    )
    login = json.dumps({"email": f"{token}@example.org", "password": token})
    wrong = json.dumps({"email": [token], "password": {"x": token}, token: token})
    content = "Host: a\r\nContent-Type: application/json\r\nContent-Length: "
    return [
        *(f"GET {path}?token={escaped} HTTP/1.1\r\n{upgrade}\r\n" for path in SOCKETS),
        *(f"GET {path}?%74oken={escaped}&snapshot=1 HTTP/1.1\r\n{upgrade}\r\n" for path in SOCKETS),
        *(f"GET {path} HTTP/1.1\r\n{upgrade}Authorization: Bearer {token}\r\n\r\n" for path in SOCKETS),
        *(f"GET {path}?token={escaped} HTTP/1.1\r\n{upgrade}Origin: http://evil\r\n\r\n" for path in SOCKETS),
        *(f"GET {path}?token={escaped} HTTP/1.1\r\nHost: a\r\n\r\n" for path in SOCKETS),
        *(
            f"GET {path}?token={escaped} HTTP/1.1\r\n{upgrade}Sec-WebSocket-Protocol: {token}\r\n\r\n"
            for path in SOCKETS
        ),
        *(f"GET {path}?token={escaped} NONSENSE\r\n\r\n" for path in SOCKETS),
        f"GET /api/v1/auth/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n",
        f"GET /api/v1/auth/me?token={escaped} HTTP/1.1\r\nHost: a\r\nReferer: http://a/?token={escaped}\r\n\r\n",
        f"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n",
        f"GET /nowhere?token={escaped} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"POST /api/v1/auth/login HTTP/1.1\r\n{content}{len(login)}\r\n\r\n{login}",
        f"POST /api/v1/auth/login HTTP/1.1\r\n{content}{len(wrong)}\r\n\r\n{wrong}",
        f"POST /api/v1/auth/login?token={escaped} HTTP/1.1\r\n{content}1\r\n\r\n{{",
        f"{token} / HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n broken\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {token}\r\n\r\n",
    ]


@pytest.mark.promise("S1")
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_token_comes_out_nowhere(tmp_path: Path, log_format: str) -> None:
    config, plant = await prepare(tmp_path, log_format)
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        collected: list[bytes] = []
        reading = asyncio.create_task(_collect(server, collected))
        address = await _address(collected)
        answers = []
        for token in (GOOD, *BAD):
            answers += await asyncio.gather(*(heard(address, request) for request in ways_in(token)))
        async with aiohttp.ClientSession() as client:
            body = {"email": plant.emails[Role.ADMIN], "password": PASSWORD}
            async with client.post(f"{address}/api/v1/auth/login", json=body) as response:
                jwt = (await response.json())["access_token"]
            async with client.get(
                f"{address}/metrics?token={jwt}", headers={"Authorization": f"Bearer {jwt}"}
            ) as response:
                metrics = await response.text()
        for path in SOCKETS:
            async with await RawSocket.open(address, path, jwt) as socket:
                socket.write(b"\xff" * 100)
                await socket.closing()
        assert (await server.stop(signal.SIGTERM))[0] == 0
        await reading
    log = b"".join(collected).decode()
    assert len(answers) == len(ways_in("")) * 10
    assert all(answers)
    assert b"CANARY" not in b"".join(answers)
    assert CANARY not in metrics
    assert "webmacs_" in metrics
    assert CANARY not in log
    assert jwt not in log
    assert jwt.split(".")[2] not in log
    assert PASSWORD not in log
    assert "Traceback" not in log
    for path in SOCKETS:  # the access log is on
        assert f"GET {path}" in log
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in log.splitlines())


@pytest.mark.promise("S1")
async def test_a_secret_that_is_set_is_shown_in_no_answer_and_on_no_command_line(tmp_path: Path) -> None:
    """Passwords, secrets of webhooks and sessions, asked for everywhere where what was changed is shown."""
    config, plant = await prepare(tmp_path, "json")
    admin = {"Authorization": f"Bearer {plant.tokens[Role.ADMIN]}"}
    async with started("serve", "--config", config, cwd=tmp_path) as server, aiohttp.ClientSession() as client:
        collected: list[bytes] = []
        reading = asyncio.create_task(_collect(server, collected))
        api = f"{await _address(collected)}/api/v1"

        async def ask(method: str, path: str, body: object = None) -> str:
            async with client.request(method, f"{api}{path}", json=body, headers=admin) as response:
                text = await response.text()
                assert response.status < 300, (path, text)
                return text

        said = [
            await ask("POST", "/users", {"email": "a@b.org", "username": "newcomer", "password": f"{CANARY} one"}),
            await ask(
                "POST",
                "/webhooks",
                {"url": "http://127.0.0.1:9/", "events": ["sensor.reading"], "secret": f"{CANARY} two"},
            ),
        ]
        users, hooks = [json.loads(await ask("GET", path))["data"] for path in ("/users", "/webhooks")]
        (newcomer,) = [user["public_id"] for user in users if user["email"] == "a@b.org"]
        said += [
            await ask("PUT", f"/users/{newcomer}", {"password": f"{CANARY} three"}),
            await ask("PUT", f"/webhooks/{hooks[0]['public_id']}", {"secret": f"{CANARY} four"}),
            *[await ask("GET", path) for path in ("/users", "/webhooks", "/tokens", "/logging", "/audit", "/auth/me")],
            await ask("GET", "/../../metrics"),
            await ask("DELETE", f"/users/{newcomer}"),
            await ask("GET", "/audit?page_size=100"),
        ]
        ps = await asyncio.create_subprocess_exec("ps", "-eo", "args", stdout=asyncio.subprocess.PIPE)
        processes = (await ps.communicate())[0].decode()
        assert (await server.stop(signal.SIGABRT))[0] == -signal.SIGABRT  # it dies on the spot, with all that it has
        await reading
    for each in (*said, b"".join(collected).decode()):
        assert CANARY not in each
        assert "$argon2" not in each
        assert SECRET not in each
        assert api_token_digest(GOOD) not in each
    assert "serve --config" in processes
    assert SECRET not in processes
    assert '"password": "changed"' in said[-1].replace('":"', '": "')


STRICT = """
trusted_proxies = ["127.0.0.1"]
requests_per_minute = 60
max_connections_per_user = 1
max_refused = 1
body_timeout_s = 0.2
idle_timeout_s = 0.5
"""


@pytest.mark.promise("S1")
async def test_a_secret_of_one_who_is_held_up_comes_out_nowhere(tmp_path: Path) -> None:
    """Whoever fails, or asks, too often, or too slowly."""
    config, _ = await prepare(tmp_path, "json")
    text = config.read_text(encoding="utf-8").replace("[server]\n", f"[server]\n{STRICT}")
    config.write_text(text.replace("[auth]\n", "[auth]\nfree_failures = 1\n"), encoding="utf-8")
    upgrade = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    socket = f"GET {SOCKETS[0]}?token={GOOD} HTTP/1.1\r\n{upgrade}Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
    body = "Host: a\r\nContent-Type: application/json\r\nContent-Length: "
    wrong = json.dumps({"email": f"{CANARY}@example.org", "password": CANARY})
    old = json.dumps({"password": f"new {CANARY}", "old_password": CANARY})
    bearer = f"Authorization: Bearer {GOOD}\r\nX-Forwarded-For: {CANARY}, 192.0.2.1\r\n"
    login = f"POST /api/v1/auth/login?password={CANARY} HTTP/1.1\r\n{body}{len(wrong)}\r\n\r\n{wrong}"
    slow = f"POST /api/v1/auth/login HTTP/1.1\r\n{body}1000\r\n\r\n{wrong}"
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        collected: list[bytes] = []
        reading = asyncio.create_task(_collect(server, collected))
        address = await _address(collected)
        who = await exchange(address, f"GET /api/v1/auth/me HTTP/1.1\r\nHost: a\r\n{bearer}\r\n".encode())
        me = who.json()["public_id"]
        change = f"PUT /api/v1/users/{me} HTTP/1.1\r\n{bearer}{body}{len(old)}\r\n\r\n{old}"
        answers = [await heard(address, request) for request in (login, change) for _ in range(4)]
        answers += await asyncio.gather(
            *(heard(address, socket) for _ in range(4)),
            *(
                heard(address, f"GET {SOCKETS[1]}?token=wm_{CANARY * 4} HTTP/1.1\r\n{upgrade}{bearer}")
                for _ in range(2)
            ),
            heard(address, slow),
        )
        asked = f"GET /api/v1/events?token={GOOD} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n"
        answers += [await heard(address, asked) for _ in range(2)]
        async with await RawSocket.connect(address) as connection:
            for _ in range(70):
                connection.write(asked.encode())
                answers.append(str(await connection.answer()).encode())
        assert (await server.stop(signal.SIGTERM))[0] == 0
        await reading
    found, log = b"".join(answers), b"".join(collected).decode()
    for said in (b"429", b"408", b"Too many failed logins", b"Too many requests", b"Too many connections of this user"):
        assert said in found
    assert "failed logins from" in log
    assert CANARY.encode() not in found
    assert CANARY not in log
    assert "Traceback" not in log


async def _collect(server: Command, collected: list[bytes]) -> None:
    while line := await server.err.readline():
        collected.append(line)


async def _address(collected: list[bytes]) -> str:
    async with asyncio.timeout(30):
        while True:
            for line in collected:
                if b"listens on " in line:
                    return line.partition(b"listens on ")[2].partition(b",")[0].decode()
            await asyncio.sleep(0.01)


# -- what is left to the log -----------------------------------------------------------------------------------

SECRETS = [
    "token=CANARY",
    "/ws/datapoints/stream?token=CANARY&events=a",
    "GET /?a=b&token=CANARY HTTP/1.1",
    "b'GET /?token=CANARY HTTP/1.1'",
    "http://a/?TOKEN=CANARY",
    "password=CANARY secret=CANARY",
    f"wm_{'CANARY' * 10}",
    f"Authorization: Bearer wm_{'CANARY' * 10}",
    "eyJhbGciOiJIUzI1NiJ9.CANARY.CANARY",
    "Bearer eyJhbGciOiJIUzI1NiJ9.CANARY-_.CANARY-_",
    f"['eyJhbGciOiJIUzI1NiJ9.{'CANARY' * 2000}']",
]


@pytest.mark.promise("S1")
@pytest.mark.parametrize("text", SECRETS, ids=lambda text: text[:30])
@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_looks_like_a_credential_is_scrubbed_from_messages_and_traces(
    text: str, formatter: logging.Formatter
) -> None:
    trace = (ValueError, ValueError(text), None)
    line = formatter.format(logging.LogRecord("webmacs", logging.INFO, "", 0, "said %s", (text,), trace))
    assert "CANARY" not in line
    assert "***" in line


@pytest.mark.parametrize("text", ["a token", "wm_short", "eyJ", "tokens issued: 3", "event 'a' is dropped", ""])
def test_what_only_sounds_like_one_is_left_alone(text: str) -> None:
    assert scrub(text) == text


def test_scrubbing_takes_no_longer_for_text_made_to_take_long() -> None:
    for text in ("eyJ" * 100_000, "wm_" * 100_000, "token=" * 100_000, "eyJaaaaaaaa" + "." * 300_000):
        begin = time.perf_counter()
        scrub(text)
        assert time.perf_counter() - begin < 1.0


@pytest.mark.promise("S10")
async def test_a_line_break_in_a_path_begins_no_line_in_the_log(tmp_path: Path) -> None:
    config, _ = await prepare(tmp_path, "text")
    async with started("serve", "--config", config, cwd=tmp_path) as server:
        collected: list[bytes] = []
        reading = asyncio.create_task(_collect(server, collected))
        address = await _address(collected)
        await heard(address, "GET /a%0aFORGED%0d%0aFORGED HTTP/1.1\r\nHost: a\r\n\r\n")
        await server.stop(signal.SIGTERM)
        await reading
    lines = [line.decode() for line in collected]
    assert not any(line.startswith("FORGED") for line in lines)
    assert any("/a%0aFORGED%0d%0aFORGED" in line.replace("%0A", "%0a").replace("%0D", "%0d") for line in lines)
