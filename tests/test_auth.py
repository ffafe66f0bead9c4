"""Tokens, roles, passwords and origins: everything that is judged without a server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from hypothesis import given
from hypothesis import strategies as st

from tests.plant import SECRET
from tests.wire import GONE
from webmacs.auth import (
    API_TOKEN_PREFIX,
    AUTHENTICATION_REQUIRED,
    HASHING_NICENESS,
    INSUFFICIENT,
    INVALID_OR_EXPIRED,
    MAX_TIME_S,
    MAX_TOKEN_LENGTH,
    REVOKED,
    USER_NOT_FOUND,
    Authenticator,
    Passwords,
    api_token_digest,
    new_api_token,
    same_origin,
)
from webmacs.catalog import Catalog, Snapshot
from webmacs.errors import AuthError, Overloaded
from webmacs.model import ApiToken, Identity, Role, Scope, User
from webmacs.testing import START_US, ManualClock

NOW_S = START_US // 1_000_000
API_TOKEN = "wm_" + "a" * 64
LIFETIME_S = 600.0


def user(number: int, role: Role, session_version: int = 1) -> User:
    return User(number, f"user-{number}", f"{role}@example.org", role.value, role, session_version, START_US)


USERS = {user.public_id: user for user in (user(number, role) for number, role in enumerate(Role, 1))}
VIEWER, OPERATOR, ADMIN = USERS.values()


def api_token(number: int, text: str, owner: User, expires_us: int | None = None) -> ApiToken:
    return ApiToken(number, f"token-{number}", "test", api_token_digest(text), owner.id, expires_us, START_US)


TOKEN = api_token(1, API_TOKEN, OPERATOR)


class Office:
    """An authenticator with everything it judges by."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.catalog = Catalog(self._nothing)
        self.catalog.current = Snapshot(users=USERS, tokens={TOKEN.digest: TOKEN}, revoked={"revoked-jti"})
        self.auth = Authenticator(self.catalog, SECRET, self.clock, LIFETIME_S)

    def know(self, **parts: Any) -> None:
        """Change what is known."""
        before = self.catalog.current
        known = {"users": before.users, "tokens": before.tokens, "revoked": before.revoked} | parts
        self.catalog.current = Snapshot(**known)

    def reason(self, token: str | None, needs: Role = Role.VIEWER) -> str:
        """Why a token is refused."""
        with pytest.raises(AuthError) as refused:
            self.auth.authenticate(token, needs)
        return refused.value.reason

    async def _nothing(self) -> Snapshot:
        return self.catalog.current


@pytest.fixture
def office() -> Office:
    return Office()


def claims(**changes: object) -> dict[str, Any]:
    good = {"sub": OPERATOR.public_id, "jti": "some-jti", "sv": 1, "iat": NOW_S, "exp": NOW_S + 60, **changes}
    return {name: value for name, value in good.items() if value is not GONE}


def signed(key: str = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm)


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


# -- JWTs ------------------------------------------------------------------------------------------------------


def test_an_issued_token_names_its_user(office: Office) -> None:
    identity = office.auth.authenticate(office.auth.issue(OPERATOR).token)
    assert identity.user == OPERATOR
    assert identity.token_id is None


def test_an_issued_token_is_hs256_with_all_five_claims(office: Office) -> None:
    session = office.auth.issue(OPERATOR)
    assert jwt.get_unverified_header(session.token) == {"alg": "HS256", "typ": "JWT"}
    assert jwt.decode(session.token, options={"verify_signature": False}) == {
        "sub": OPERATOR.public_id,
        "jti": session.jti,
        "sv": OPERATOR.session_version,
        "iat": NOW_S,
        "exp": NOW_S + LIFETIME_S,
    }


def test_the_times_of_a_token_are_whole_seconds_and_it_lives_no_shorter_than_promised(office: Office) -> None:
    office.clock.advance(0.25)
    times = jwt.decode(office.auth.issue(OPERATOR).token, options={"verify_signature": False})
    assert [repr(times[name]) for name in ("iat", "exp")] == [str(NOW_S), str(NOW_S + int(LIFETIME_S) + 1)]


def test_two_sessions_of_one_second_are_two(office: Office) -> None:
    assert office.auth.issue(OPERATOR).jti != office.auth.issue(OPERATOR).jti


def test_a_lifetime_of_its_own_can_be_given(office: Office) -> None:
    assert office.auth.issue(OPERATOR, lifetime_s=5).expires_us == START_US + 5_000_000


def test_a_token_lives_until_its_last_microsecond(office: Office) -> None:
    token = office.auth.issue(OPERATOR).token
    office.clock.advance(LIFETIME_S - 1e-6)
    assert office.auth.authenticate(token).expires_us == START_US + LIFETIME_S * 1e6
    office.clock.advance(1e-6)
    assert office.reason(token) == INVALID_OR_EXPIRED


@pytest.mark.parametrize("token", [None, ""])
def test_no_token(office: Office, token: str | None) -> None:
    assert office.reason(token) == AUTHENTICATION_REQUIRED


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "..",
        "eyJ",
        " ",
        "Bearer x",
        "\x00",
        "ÿ" * 100,
        "\ud800" * 100,
        "x" * 9_000,
        "🌡" * 3_000,
        f"{encoded({'alg': 'HS256'})}.{encoded([])}.c2ln",
        f"{encoded({'alg': 'HS256'})}.!.c2ln",
        f"{encoded({'alg': []})}.{encoded({})}.c2ln",
        f"{encoded([])}.{encoded({})}.c2ln",
        base64.urlsafe_b64encode(b'{"alg":"HS256","a":' + b"[" * 4_000).decode() + ".e30.c2ln",
        base64.urlsafe_b64encode(b'{"alg":"HS256","a":' + b"9" * 5_000 + b"}").decode() + ".e30.c2ln",
    ],
)
def test_what_is_no_token_of_ours(office: Office, token: str) -> None:
    assert office.reason(token) == INVALID_OR_EXPIRED


def test_a_good_token_that_is_too_long(office: Office) -> None:
    token = signed(more="x" * 9_000)
    assert len(token) > MAX_TOKEN_LENGTH
    assert office.reason(token) == INVALID_OR_EXPIRED


def test_a_token_may_be_just_as_long_as_allowed(office: Office) -> None:
    longest = API_TOKEN_PREFIX.ljust(MAX_TOKEN_LENGTH, "a")
    known = [api_token(number, text, OPERATOR) for number, text in enumerate((longest, longest + "a"))]
    office.know(tokens={token.digest: token for token in known})
    assert office.auth.authenticate(longest).user == OPERATOR
    assert office.reason(longest + "a") == INVALID_OR_EXPIRED


@pytest.mark.promise("S2")
def test_a_token_of_another_key(office: Office) -> None:
    assert office.reason(signed(key="another-key-that-is-long-enough-too")) == INVALID_OR_EXPIRED


@pytest.mark.promise("S2")
@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_our_key_with_another_algorithm(office: Office, algorithm: str) -> None:
    key = SECRET * 2  # long enough for all three
    office.auth = Authenticator(office.catalog, key, office.clock, LIFETIME_S)
    assert office.auth.authenticate(signed(key)).user == OPERATOR
    assert office.reason(signed(key, algorithm)) == INVALID_OR_EXPIRED


@pytest.mark.promise("S2")
@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
def test_no_signature_at_all(office: Office, algorithm: str) -> None:
    assert office.reason(f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}.") == INVALID_OR_EXPIRED


def test_a_changed_claim_breaks_the_signature(office: Office) -> None:
    head, _, signature = signed().split(".")
    assert office.reason(f"{head}.{encoded(claims(sub=ADMIN.public_id))}.{signature}") == INVALID_OR_EXPIRED


@pytest.mark.promise("S2")
@pytest.mark.parametrize("claim", ["sub", "jti", "sv", "iat", "exp"])
def test_a_missing_claim(office: Office, claim: str) -> None:
    assert office.auth.authenticate(signed()).user == OPERATOR
    without: dict[str, Any] = {claim: GONE}
    assert office.reason(signed(**without)) == INVALID_OR_EXPIRED


@pytest.mark.parametrize("claim", ["sub", "jti", "sv", "iat", "exp"])
@pytest.mark.parametrize("value", [None, True, [], {}, [1], {"a": 1}])
def test_a_claim_of_the_wrong_kind(office: Office, claim: str, value: object) -> None:
    head = {"alg": "HS256", "typ": "JWT"}
    token = jwt.api_jws.encode(json.dumps(claims(**{claim: value})).encode(), SECRET, "HS256", head)
    assert office.reason(token) == INVALID_OR_EXPIRED


@pytest.mark.parametrize("sub", [1, 2.0])
def test_a_number_is_no_user(office: Office, sub: float) -> None:
    token = jwt.api_jws.encode(json.dumps(claims(sub=sub)).encode(), SECRET, "HS256")
    assert office.reason(token) == INVALID_OR_EXPIRED


@pytest.mark.parametrize(
    "exp",
    ["1e308", "1e400", "NaN", "Infinity", "-Infinity", "-1", "0", "253402300800", "1" + "0" * 400, '"9999999999"'],
)
def test_an_expiry_that_no_clock_can_show(office: Office, exp: str) -> None:
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {exp}')
    assert exp in payload
    assert office.reason(jwt.api_jws.encode(payload.encode(), SECRET, "HS256")) == INVALID_OR_EXPIRED


def test_the_last_expiry_that_a_clock_can_show(office: Office) -> None:
    assert office.auth.authenticate(signed(exp=MAX_TIME_S)).expires_us == MAX_TIME_S * 1_000_000


@pytest.mark.parametrize("more", [{"iat": MAX_TIME_S}, {"nbf": MAX_TIME_S}, {"aud": "others"}, {"iss": "others"}])
def test_of_the_times_only_the_expiry_counts_and_what_is_no_claim_of_ours_counts_nothing(
    office: Office, more: dict[str, Any]
) -> None:
    assert office.auth.authenticate(signed(**more)).user == OPERATOR


def test_five_thousand_digits_of_expiry(office: Office) -> None:
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {"9" * 5000}')
    assert office.reason(jwt.api_jws.encode(payload.encode(), SECRET, "HS256")) == INVALID_OR_EXPIRED


def test_an_expiry_with_a_fraction(office: Office) -> None:
    assert office.auth.authenticate(signed(exp=NOW_S + 0.5)).expires_us == START_US + 500_000


def test_a_logged_out_token(office: Office) -> None:
    assert office.reason(signed(jti="revoked-jti")) == REVOKED


def test_a_token_of_before_the_password_was_changed(office: Office) -> None:
    office.know(users=USERS | {OPERATOR.public_id: user(OPERATOR.id, Role.OPERATOR, session_version=2)})
    assert office.reason(signed()) == REVOKED
    assert office.auth.authenticate(signed(sv=2)).user.session_version == 2


def test_a_token_of_a_user_who_was_removed(office: Office) -> None:
    assert office.reason(signed(sub="user-99")) == USER_NOT_FOUND


def test_the_reasons_have_an_order(office: Office) -> None:
    everything_wrong: dict[str, Any] = {"exp": NOW_S, "jti": "revoked-jti", "sub": "user-99"}
    assert office.reason("", Role.ADMIN) == AUTHENTICATION_REQUIRED
    assert office.reason(signed(**everything_wrong), Role.ADMIN) == INVALID_OR_EXPIRED
    assert office.reason(signed(**everything_wrong | {"exp": NOW_S + 1}), Role.ADMIN) == REVOKED
    assert office.reason(signed(sub="user-99"), Role.ADMIN) == USER_NOT_FOUND
    assert office.reason(signed(), Role.ADMIN) == INSUFFICIENT


# -- API tokens ------------------------------------------------------------------------------------------------


def test_an_api_token_names_its_user(office: Office) -> None:
    identity = office.auth.authenticate(API_TOKEN)
    assert (identity.user, identity.token_id, identity.jti, identity.expires_us) == (OPERATOR, TOKEN.id, None, None)


def test_a_new_api_token_looks_as_installed_clients_know_it() -> None:
    text = new_api_token()
    assert text.startswith(API_TOKEN_PREFIX)
    assert len(text) == 67
    assert text != new_api_token()


@pytest.mark.promise("S2")
def test_only_the_sha256_of_an_api_token_is_kept() -> None:
    assert api_token_digest("wm_abc") == "24045f1191e083b0a2744cb051888cd41e994e6d99aaabce06066a07403baeb3"


@pytest.mark.parametrize("text", ["wm_", "wm_unknown", "wm_\ud800", "wm_" + "a" * 65, API_TOKEN.upper(), "wm_ü"])
def test_an_unknown_api_token(office: Office, text: str) -> None:
    assert office.reason(text) == INVALID_OR_EXPIRED


def test_an_api_token_that_has_expired(office: Office) -> None:
    office.know(tokens={TOKEN.digest: api_token(1, API_TOKEN, OPERATOR, expires_us=START_US + 1)})
    assert office.auth.authenticate(API_TOKEN).expires_us == START_US + 1
    office.clock.advance(1e-6)
    assert office.reason(API_TOKEN) == INVALID_OR_EXPIRED


def test_an_api_token_whose_user_was_removed(office: Office) -> None:
    office.know(users={})
    assert office.reason(API_TOKEN) == USER_NOT_FOUND


# -- roles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needs", Role)
def test_each_role_may_do_what_those_below_it_may(office: Office, has: Role, needs: Role) -> None:
    token = signed(sub=next(user.public_id for user in USERS.values() if user.role is has))
    if list(Role).index(has) >= list(Role).index(needs):
        assert office.auth.authenticate(token, needs).user.role is has
    else:
        assert office.reason(token, needs) == INSUFFICIENT


# -- scopes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has", Scope)
@pytest.mark.parametrize("needs", Scope)
def test_a_scope_is_good_for_itself_and_full_for_all(office: Office, has: Scope, needs: Scope) -> None:
    office.know(tokens={TOKEN.digest: replace(TOKEN, scope=has, plugin_id=7)})
    if has in {needs, Scope.FULL}:
        identity = office.auth.authenticate(API_TOKEN, scope=needs)
        assert (identity.scope, identity.plugin_id) == (has, 7)
    else:
        with pytest.raises(AuthError, match=INSUFFICIENT):
            office.auth.authenticate(API_TOKEN, scope=needs)


@pytest.mark.parametrize("needs", Scope)
def test_a_session_is_good_for_every_scope(office: Office, needs: Scope) -> None:
    assert office.auth.authenticate(signed(), scope=needs).scope is Scope.FULL


# -- those who are connected -----------------------------------------------------------------------------------


def still(office: Office, identity: Identity, needs: Role = Role.OPERATOR) -> str | None:
    """Why someone has to leave; None: may stay."""
    try:
        office.auth.recheck(identity, needs)
    except AuthError as error:
        return error.reason
    return None


@pytest.mark.parametrize("token", [signed(), API_TOKEN])
def test_who_was_let_in_may_stay(office: Office, token: str) -> None:
    assert still(office, office.auth.authenticate(token)) is None


def test_a_session_that_logs_out_has_to_leave(office: Office) -> None:
    identity = office.auth.authenticate(signed())
    office.know(revoked={"some-jti"})
    assert still(office, identity) == REVOKED


def test_the_sessions_of_a_changed_password_have_to_leave_and_its_api_tokens_may_stay(office: Office) -> None:
    session, device = office.auth.authenticate(signed()), office.auth.authenticate(API_TOKEN)
    office.know(users=USERS | {OPERATOR.public_id: user(OPERATOR.id, Role.OPERATOR, session_version=2)})
    assert (still(office, session), still(office, device)) == (REVOKED, None)


def test_a_deleted_api_token_has_to_leave(office: Office) -> None:
    identity = office.auth.authenticate(API_TOKEN)
    office.know(tokens={})
    assert still(office, identity) == REVOKED


def test_who_has_a_token_that_lost_the_scope_has_to_leave(office: Office) -> None:
    identity = office.auth.authenticate(API_TOKEN)
    office.know(tokens={TOKEN.digest: replace(TOKEN, scope=Scope.INGEST)})
    office.auth.recheck(identity, Role.OPERATOR, Scope.INGEST)
    with pytest.raises(AuthError, match=INSUFFICIENT):
        office.auth.recheck(identity, Role.OPERATOR, Scope.READ)


def test_who_has_a_token_that_is_bound_to_something_else_has_to_leave(office: Office) -> None:
    identity = office.auth.authenticate(API_TOKEN)
    office.know(tokens={TOKEN.digest: replace(TOKEN, plugin_id=7)})
    assert still(office, identity) == REVOKED


@pytest.mark.parametrize("token", [signed(), API_TOKEN])
def test_a_removed_user_has_to_leave(office: Office, token: str) -> None:
    identity = office.auth.authenticate(token)
    office.know(users={}, tokens={})
    assert still(office, identity) == USER_NOT_FOUND


def test_an_expired_session_has_to_leave(office: Office) -> None:
    identity = office.auth.authenticate(signed(exp=NOW_S + 1))
    office.clock.advance(0.999_999)
    assert still(office, identity) is None
    office.clock.advance(0.000_001)
    assert still(office, identity) == INVALID_OR_EXPIRED


@pytest.mark.parametrize("token", [signed(), API_TOKEN])
def test_who_lost_the_role_has_to_leave(office: Office, token: str) -> None:
    identity = office.auth.authenticate(token)
    office.know(users=USERS | {OPERATOR.public_id: user(OPERATOR.id, Role.VIEWER)})
    assert still(office, identity, Role.OPERATOR) == INSUFFICIENT
    assert still(office, identity, Role.VIEWER) is None


# -- whatever is sent ------------------------------------------------------------------------------------------

OFFICE = Office()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def judge(token: str) -> None:
    """Nothing but an `AuthError` ever comes out."""
    with contextlib.suppress(AuthError):
        OFFICE.auth.authenticate(token)


@given(st.text() | st.text().map(API_TOKEN_PREFIX.__add__) | st.text(alphabet="eyJ.-_09aA="))
def test_any_text_is_judged(token: str) -> None:
    judge(token)


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "zip", "jwk", "x5c"]), json_values),
    json_values,
)
def test_any_header_and_payload_are_judged(header: dict[str, Any], payload: object) -> None:
    judge(f"{encoded(header)}.{encoded(payload)}.{encoded('signature')}")


@pytest.mark.promise("S2")
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("sub", "jti", "sv", "iat", "exp", "nbf", "aud", "iss"), json_values)
    )
)
def test_any_claims_that_we_signed_are_judged(changes: dict[str, Any]) -> None:
    judge(jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), SECRET, "HS256"))


# -- passwords -------------------------------------------------------------------------------------------------


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(threads=1, max_pending=2)
    yield made
    made.close()


async def test_the_password_that_was_hashed_matches(passwords: Passwords) -> None:
    assert await passwords.verify(passwords.hash("correct"), "correct")


async def test_another_password_does_not_match(passwords: Passwords) -> None:
    assert not await passwords.verify(passwords.hash("correct"), "Correct")


@pytest.mark.promise("S5")
def test_hashes_are_argon2id_with_19_mib_and_two_passes(passwords: Passwords) -> None:
    found = extract_parameters(passwords.hash("correct"))
    assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 19 * 1024, 2, 1)


def test_the_same_password_has_another_hash_each_time(passwords: Passwords) -> None:
    assert passwords.hash("correct") != passwords.hash("correct")


@pytest.mark.parametrize("password", ["", "\x00", "\ud800", "ü" * 1024])
async def test_any_text_can_be_tried_as_a_password(passwords: Passwords, password: str) -> None:
    assert not await passwords.verify(passwords.hash("correct"), password)


@pytest.mark.parametrize("broken", ["nonsense", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_a_hash_that_is_none_matches_nothing(passwords: Passwords, broken: str) -> None:
    assert not await passwords.verify(broken, "correct")


class Counted:
    """Stands in the hasher's place and counts how often it is asked."""

    def __init__(self, passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashes: list[str] = []
        self.began = threading.Event()
        self._hasher = passwords._hasher
        self.held = threading.Event()
        self.held.set()
        monkeypatch.setattr(passwords, "_hasher", self)

    def verify(self, password_hash: str, password: str) -> bool:
        self.hashes.append(password_hash)
        self.began.set()
        assert self.held.wait(5)
        return self._hasher.verify(password_hash, password)


@pytest.mark.promise("S5")
async def test_for_nobody_a_hash_is_computed_too(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = passwords.hash("correct")
    counted = Counted(passwords, monkeypatch)
    assert not await passwords.verify(None, "correct")
    assert not await passwords.verify(somebody, "wrong")
    nobody, known = counted.hashes
    assert known == somebody
    assert extract_parameters(nobody) == extract_parameters(somebody)


async def test_so_many_may_wait_and_no_more(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(passwords, monkeypatch)
    for _ in range(2):  # those who were answered have made room, for just as many
        counted.held.clear()
        waiting = [asyncio.create_task(passwords.verify(None, "any")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"^Too many logins at once"):
            await passwords.verify(None, "any")
        counted.held.set()
        assert await asyncio.gather(*waiting) == [False, False]


async def test_hashing_takes_the_threads_it_was_given_and_no_more(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(passwords, monkeypatch)
    counted.held.clear()
    before = set(threading.enumerate())
    waiting = [asyncio.create_task(passwords.verify(None, "any")) for _ in range(2)]
    await asyncio.sleep(0)
    assert [thread.name for thread in threading.enumerate() if thread not in before] == ["passwords_0"]
    counted.held.set()
    await asyncio.gather(*waiting)


@pytest.mark.promise("S5")
async def test_hashing_gives_way_to_the_loop(passwords: Passwords) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    given_way = HASHING_NICENESS if sys.platform == "linux" else 0  # elsewhere a thread has no priority of its own
    assert await passwords._in_turn(niceness) == niceness() + given_way


async def test_closing_waits_for_nobody_and_those_whose_turn_has_not_come_are_not_hashed_any_more(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(passwords, monkeypatch)
    counted.held.clear()
    waiting = [asyncio.create_task(passwords.verify(None, "any")) for _ in range(2)]
    assert await asyncio.to_thread(counted.began.wait, 5)
    passwords.close()  # if it waited, whoever hashes would fail for being held too long
    counted.held.set()
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, type(second), len(counted.hashes)) == (False, asyncio.CancelledError, 1)


# -- origins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://lab.example.org", "lab.example.org"),
        ("https://lab.example.org", "lab.example.org"),
        ("http://lab.example.org:8080", "lab.example.org"),
        ("http://lab.example.org", "lab.example.org:8000"),
        ("http://LAB.example.ORG", "lab.example.org"),
        ("http://lab.example.org.", "lab.example.org"),
        ("http://127.0.0.1:3000", "127.0.0.1:8000"),
        ("http://[::1]:3000", "[::1]:8000"),
        ("http://[::1]", "[::1]"),
    ],
)
def test_pages_of_our_own_host(origin: str, host: str) -> None:
    assert same_origin(origin, host, ())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example.org", "lab.example.org"),
        ("http://lab.example.org.evil.org", "lab.example.org"),
        ("http://evil.org/lab.example.org", "lab.example.org"),
        ("http://lab.example.org@evil.org", "lab.example.org"),
        ("http://lab.example.org:x@evil.org", "lab.example.org"),
        ("http://example.org", "lab.example.org"),
        ("http://[::2]", "[::1]"),
        ("null", "null"),
        ("null", ""),
        ("", ""),
        ("http://", ""),
        ("file://", ""),
        ("http://\udcff", "lab.example.org"),
        ("lab.example.org", "lab.example.org"),
    ],
)
def test_foreign_pages(origin: str, host: str) -> None:
    assert not same_origin(origin, host, ())


ALLOWED = ["dash.example.org", "https://dash.example.org", "https://DASH.example.org:3000", "https://dash.example.org/"]


@pytest.mark.parametrize("allowed", ALLOWED)
@pytest.mark.parametrize("origin", ["https://dash.example.org", "http://dash.example.org:3000"])
def test_pages_of_a_host_that_is_allowed(origin: str, allowed: str) -> None:
    assert same_origin(origin, "lab.example.org", ("other.example.org", allowed))
    assert not same_origin("http://evil.example.org", "lab.example.org", (allowed,))
