"""Signatures as receivers check them: by the library of Standard Webhooks, and by what docs/webhooks.md shows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from webmacs import __version__
from webmacs.webhooks.signing import new_secret, sign

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BODY = b'{"type":"sensor.reading","time":"2026-01-01T00:00:00.000000+00:00","value":21.5}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Check = Callable[[Mapping[str, str], bytes, str], bool]

ids = st.uuids().map(str)
bodies = st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
secrets = st.one_of(
    texts,
    st.binary(min_size=1).map(lambda key: "whsec_" + base64.b64encode(key).decode()),
    st.binary(min_size=1).map(lambda key: "whsec_" + base64.b64encode(key).decode().rstrip("=")),
    texts.map("whsec_{}".format),
)


def key_for_the_library(secret: str) -> str:
    """What the documentation tells a receiver to give to a library."""
    if (
        re.fullmatch(r"whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?", secret)
        and secret != "whsec_"
    ):
        return secret
    return base64.b64encode(secret.encode()).decode()


def now_s() -> int:
    return int(time.time())


# -- Standard Webhooks -----------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that the specification's libraries are tested with."""
    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [WHSEC], 1614265330)
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "secret",
    [
        WHSEC,
        pytest.param(new_secret(), id="whsec_ made just now"),
        "a text of one's own",
        "kühl",
        "x",
        "whsec_",
        "whsec_a",
        "whsec_no base64",
    ],
)
def test_the_library_finds_a_delivery_genuine(secret: str) -> None:
    headers = sign("msg_1", BODY, [secret], now_s())
    assert Webhook(key_for_the_library(secret)).verify(BODY, headers)["value"] == 21.5


@given(ids, bodies, st.lists(secrets, min_size=1, max_size=3))
def test_the_library_accepts_each_secret_that_is_good_now(delivery_id: str, body: bytes, good: list[str]) -> None:
    headers = sign(delivery_id, body, good, now_s())
    assert len(headers["webhook-signature"].split(" ")) == len(good)
    for secret in good:
        Webhook(key_for_the_library(secret)).verify(body, headers, json_parse=False)


@given(ids, bodies, secrets, secrets)
def test_the_library_accepts_no_other_secret(delivery_id: str, body: bytes, secret: str, other: str) -> None:
    theirs = Webhook(key_for_the_library(other))
    assume(theirs._whsecret.rstrip(b"\0") != Webhook(key_for_the_library(secret))._whsecret.rstrip(b"\0"))
    with pytest.raises(WebhookVerificationError):
        theirs.verify(body, sign(delivery_id, body, [secret], now_s()), json_parse=False)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_the_library_finds_out_what_was_changed(changed: str) -> None:
    headers, time_s = sign("msg_1", BODY, [WHSEC], now_s()), now_s()
    other = {"webhook-id": "msg_2", "webhook-timestamp": str(time_s - 10)}
    body = BODY.replace(b"21.5", b"21.6") if changed == "body" else BODY
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(WHSEC).verify(body, headers | {name: other[name] for name in other if name == changed})


@given(ids, bodies)
def test_without_a_secret_nothing_is_signed(delivery_id: str, body: bytes) -> None:
    assert sign(delivery_id, body, [], 1767225600) == {
        "webhook-id": delivery_id,
        "webhook-timestamp": "1767225600",
        "X-Webhook-Timestamp": "1767225600",
    }


def test_the_library_takes_a_new_secret_as_it_is() -> None:
    secret = new_secret()
    Webhook(secret).verify(BODY, sign("msg_1", BODY, [secret], now_s()))


def test_a_new_secret_holds_32_random_bytes_for_the_library() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret) for secret in made)


# -- the older header ------------------------------------------------------------------------------------------------


@given(ids, bodies, st.lists(secrets, min_size=1, max_size=2), st.integers(0, 2**40))
def test_the_older_header_is_signed_with_the_text_of_the_newest_secret(
    delivery_id: str, body: bytes, good: list[str], time_s: int
) -> None:
    headers = sign(delivery_id, body, good, time_s)
    signed = str(time_s).encode() + b"." + body
    assert headers["X-Webhook-Timestamp"] == str(time_s)
    assert headers["X-Webhook-Signature"] == hmac.new(good[0].encode(), signed, hashlib.sha256).hexdigest()


# -- what the documentation shows ------------------------------------------------------------------------------------


def shown(block: str) -> Check:
    """The function of a block of the page."""
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    check: Check = namespace["is_genuine"]
    return check


@pytest.fixture(params=BLOCKS, ids=["library", "older header"])
def check(request: pytest.FixtureRequest) -> Check:
    return shown(request.param)


def test_the_page_shows_both_ways_and_the_one_without_a_library_is_ten_lines() -> None:
    assert len(BLOCKS) == 2
    assert "standardwebhooks" in BLOCKS[0]
    assert len([line for line in BLOCKS[1].splitlines() if line]) <= 10


def test_what_the_page_shows_finds_a_delivery_genuine(check: Check) -> None:
    assert check(sign("msg_1", BODY, [WHSEC, "older"], now_s()), BODY, WHSEC)


@pytest.mark.parametrize("secret", ["a text of one's own", "kühl"])
def test_what_the_page_shows_for_the_older_header_takes_any_secret(secret: str) -> None:
    assert shown(BLOCKS[1])(sign("msg_1", BODY, [secret], now_s()), BODY, secret)


def test_what_the_page_shows_for_the_library_takes_the_old_secret_during_a_rotation() -> None:
    assert shown(BLOCKS[0])(sign("msg_1", BODY, [new_secret(), WHSEC], now_s()), BODY, WHSEC)


def test_what_the_page_shows_refuses_what_is_not_genuine(check: Check) -> None:
    headers = sign("msg_1", BODY, [WHSEC], now_s())
    assert not check(headers, BODY + b" ", WHSEC)
    assert not check(headers, BODY, new_secret())
    assert not check(sign("msg_1", BODY, [], now_s()), BODY, WHSEC)
    assert not check({}, BODY, WHSEC)
    for name in ("webhook-signature", "X-Webhook-Signature"):
        headers[name] = "v1,AAAA"
    assert not check(headers, BODY, WHSEC)


@pytest.mark.parametrize("seconds", [-400, 400])
def test_what_the_page_shows_refuses_what_is_old(seconds: int, check: Check) -> None:
    assert not check(sign("msg_1", BODY, [WHSEC], now_s() + seconds), BODY, WHSEC)


def test_the_example_of_the_page_is_what_would_be_sent() -> None:
    [example] = re.findall(r"^```http\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    head, _, body = example.partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    body = body.removesuffix("\n").encode()
    assert sign(headers["webhook-id"], body, [WHSEC], int(headers["webhook-timestamp"])).items() <= headers.items()
    assert headers["User-Agent"] == f"WebMACS/{__version__}"
    assert WHSEC in PAGE
