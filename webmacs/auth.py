"""From the text of a token to who it is: passwords, JWTs, API tokens, roles.

JWTs follow RFC 8725: one algorithm, required claims, a key of at least 32 bytes. Everything is judged against the
catalog in memory, so a live socket can be judged again at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import sys
import threading
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from webmacs.catalog import Catalog
from webmacs.clock import Clock
from webmacs.errors import AuthError, Overloaded
from webmacs.model import Identity, Role, Scope, User

P = ParamSpec("P")
T = TypeVar("T")

AUTHENTICATION_REQUIRED: Final = "Authentication required"
INVALID_OR_EXPIRED: Final = "Invalid or expired token"
REVOKED: Final = "Token has been revoked"
USER_NOT_FOUND: Final = "User not found"
INSUFFICIENT: Final = "Insufficient permissions"

ALGORITHM: Final = "HS256"
API_TOKEN_PREFIX: Final = "wm_"  # noqa: S105 - a prefix
API_TOKEN_BYTES: Final = 48
MAX_TOKEN_LENGTH: Final = 8192
MAX_TIME_S: Final = 253_402_300_799  # the end of the year 9999
MIN_PASSWORD_LENGTH: Final = 8
MAX_PASSWORD_LENGTH: Final = 1024
# The hash of a password that nobody knows: judging it takes as long as judging that of a user.
NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$jpfIK13enF/XpBXlQ6MOqg$22gnwRj/TB0uiLIqHvUSPh1+0kIplYUyIOg5oOlNxow"
HASHING_NICENESS: Final = 5  # a third of the loop's share of a processor that both want


@dataclass(frozen=True, slots=True)
class Session:
    """A JWT that was just made."""

    token: str
    jti: str
    expires_us: int


class Authenticator:
    """Judges tokens and makes new ones."""

    def __init__(
        self,
        catalog: Catalog,
        secret: str,
        clock: Clock,
        token_lifetime_s: float,
        used: Callable[[int, int], None] = lambda _token_id, _time_us: None,
    ) -> None:
        """`used` hears of each use of an API token: its id and the time."""
        self._catalog = catalog
        self._used = used
        self._secret = secret
        self._clock = clock
        self._lifetime_us = int(token_lifetime_s * 1e6)

    def authenticate(
        self, token: str | None, needs: Role = Role.VIEWER, scope: Scope = Scope.FULL, *, own: bool = False
    ) -> Identity:
        """Who bears this token. Its owner's role has to cover `needs`, and its own scope `scope`; with `own`, one that
        is bound to a plugin instance will do, whatever its scope.

        Raises:
            AuthError: with the first reason that applies, in the order of the protocol.

        """
        if not token:
            raise AuthError(AUTHENTICATION_REQUIRED)
        try:
            token.encode()
        except UnicodeEncodeError:
            raise AuthError(INVALID_OR_EXPIRED) from None
        if len(token) > MAX_TOKEN_LENGTH:
            raise AuthError(INVALID_OR_EXPIRED)
        identity = self._api_token(token) if token.startswith(API_TOKEN_PREFIX) else self._jwt(token)
        good_for_it = identity.scope.covers(scope) or (own and identity.plugin_id is not None)
        if not (identity.user.role.covers(needs) and good_for_it):
            raise AuthError(INSUFFICIENT)
        return identity

    def recheck(self, identity: Identity, needs: Role, scope: Scope = Scope.FULL) -> None:
        """Whether someone who was let in may stay. Raises `AuthError` with the reason to give."""
        catalog = self._catalog.current
        user = catalog.users.get(identity.user.public_id)
        if user is None:
            raise AuthError(USER_NOT_FOUND)
        token = catalog.tokens_by_id.get(identity.token_id or 0)
        if identity.jti is not None:
            gone = identity.jti in catalog.revoked or user.session_version != identity.user.session_version
        else:  # what a socket sends is judged by what its token was bound to when it was opened
            gone = token is None or token.plugin_id != identity.plugin_id
        if gone:
            raise AuthError(REVOKED)
        if identity.expires_us is not None and identity.expires_us <= self._clock.now_us():
            raise AuthError(INVALID_OR_EXPIRED)
        if not (user.role.covers(needs) and (token is None or token.scope.covers(scope))):
            raise AuthError(INSUFFICIENT)

    def issue(self, user: User, lifetime_s: float | None = None) -> Session:
        """A new JWT for a user."""
        now_us = self._clock.now_us()
        expires_us = now_us + (self._lifetime_us if lifetime_s is None else int(lifetime_s * 1e6))
        jti = str(uuid.uuid4())
        expires_s = -(-expires_us // 1_000_000)
        claims: dict[str, Any] = {
            "sub": user.public_id,
            "jti": jti,
            "sv": user.session_version,
            "iat": now_us // 1_000_000,
            "exp": expires_s,
        }
        return Session(jwt.encode(claims, self._secret, ALGORITHM), jti, expires_s * 1_000_000)

    def _jwt(self, token: str) -> Identity:
        claims = self._claims(token)
        catalog = self._catalog.current
        if claims["jti"] in catalog.revoked:
            raise AuthError(REVOKED)
        user = catalog.users.get(claims["sub"])
        if user is None:
            raise AuthError(USER_NOT_FOUND)
        if claims["sv"] != user.session_version:
            raise AuthError(REVOKED)
        return Identity(user, int(claims["exp"] * 1_000_000), jti=claims["jti"])

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                # The times are checked below, against our clock and for values that no clock can show.
                options={
                    "require": ["sub", "jti", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError):  # ValueError escapes PyJWT for some malformed tokens
            raise AuthError(INVALID_OR_EXPIRED) from None
        typed = (
            isinstance(claims["sub"], str)
            and isinstance(claims["jti"], str)
            and type(claims.get("sv")) is int
            and all(type(claims[name]) in {int, float} for name in ("iat", "exp"))
        )
        if not typed or not self._clock.now_us() / 1e6 < claims["exp"] <= MAX_TIME_S:
            raise AuthError(INVALID_OR_EXPIRED)
        return claims

    def _api_token(self, text: str) -> Identity:
        catalog = self._catalog.current
        token, now_us = catalog.tokens.get(api_token_digest(text)), self._clock.now_us()
        if token is None or (token.expires_us is not None and token.expires_us <= now_us):
            raise AuthError(INVALID_OR_EXPIRED)
        user = catalog.users_by_id.get(token.user_id)
        if user is None:
            raise AuthError(USER_NOT_FOUND)
        self._used(token.id, now_us)
        return Identity(
            user,
            token.expires_us,
            token_id=token.id,
            scope=token.scope,
            plugin_id=token.plugin_id,
            token_name=token.name,
        )


def new_api_token() -> str:
    """The text of a new API token: shown once, kept only as a digest."""
    return API_TOKEN_PREFIX + secrets.token_urlsafe(API_TOKEN_BYTES)


def api_token_digest(text: str) -> str:
    """The lowercase hex SHA-256 of the whole text, prefix included."""
    return hashlib.sha256(text.encode()).hexdigest()


class Passwords:
    """Hashes and checks passwords with argon2id, in a few threads of their own.

    19 MiB and two passes (OWASP's second profile), so that a small machine can. Hashing lets go of the interpreter, so
    a flood of logins does not hold up the loop; how many may wait is bounded.
    """

    def __init__(self, threads: int, max_pending: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._executor = ThreadPoolExecutor(threads, "passwords", _give_way)
        self._max_pending = max_pending
        self._pending = 0

    def hash(self, password: str) -> str:
        """A new hash, with its salt and parameters. Blocking: tens of milliseconds."""
        return self._hasher.hash(password)

    async def hashed(self, password: str) -> str:
        """The same in a thread. Raises `Overloaded` as `verify` does."""
        return await self._in_turn(self.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed.

        With None, for a user that does not exist, it takes the same time and is False.

        Raises:
            Overloaded: too many are waiting.

        """
        matches = await self._in_turn(self._verify, password_hash or NOBODY, password)
        return matches and password_hash is not None

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._pending >= self._max_pending:
            raise Overloaded("Too many logins at once, try again in a moment")
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, partial(work, *args, **kwargs))
        finally:
            self._pending -= 1

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def _give_way() -> None:
    """Let this thread compute when no other wants to: for the loop's, everybody waits. Where that can be said."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        with contextlib.suppress(OSError):
            this = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, this, os.getpriority(os.PRIO_PROCESS, this) + HASHING_NICENESS)


def same_origin(origin: str, host: str, allowed: Collection[str]) -> bool:
    """Whether a page of that `Origin` may open a socket on that `Host`: its host name is the same, or is allowed.

    Host names are compared, without scheme and port: a proxy may drop the port from `Host`. `allowed` has host names
    or whole origins.
    """
    name = _host_name(origin) if "://" in origin else ""  # a sandboxed page says "null"
    return bool(name) and (name == _host_name(host) or any(name == _host_name(other) for other in allowed))


def _host_name(origin: str) -> str:
    """The host of an origin or of an authority (RFC 3986, section 3.2), in lower case; empty when there is none."""
    scheme, separator, rest = origin.partition("://")
    authority = (rest if separator else scheme).partition("/")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority.partition("]")[0].lower()
    return authority.partition(":")[0].lower().rstrip(".")
