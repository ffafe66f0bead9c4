"""Users, API tokens and revoked sessions: the statements, once for every backend."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from webmacs.errors import NotFound
from webmacs.model import ApiToken, Role, Scalar, Scope, User, Write
from webmacs.storage.base import Tables

_USER: Final = "id, public_id, email, username, role, session_version, created_us"
_TOKEN: Final = "id, public_id, name, digest, user_id, expires_us, created_us, scope, plugin_id"  # noqa: S105 - column names


async def users(storage: Tables) -> list[User]:
    """All users, the oldest first."""
    return [_user(row) for row in await storage.fetch(f"SELECT {_USER} FROM users ORDER BY id")]


async def user_by_email(storage: Tables, email: str) -> tuple[User, str]:
    """A user and the hash of the password; addresses are compared without case. Raises `NotFound`."""
    rows = await storage.fetch(
        f"SELECT {_USER}, password_hash FROM users WHERE email = :email", email=normal_email(email)
    )
    if not rows:
        raise NotFound(f"there is no user {email}")
    return _user(rows[0]), rows[0][-1]


def make_user(public_id: str, *, email: str, username: str, password_hash: str, role: Role, now_us: int) -> Write:
    """Add a user. Raises `Conflict`, when written, if the address or the name is taken."""
    row: dict[str, Scalar] = {
        "public_id": public_id,
        "email": normal_email(email),
        "username": username,
        "password_hash": password_hash,
        "role": role.value,
        "now_us": now_us,
    }
    return Write(
        "INSERT INTO users (public_id, email, username, password_hash, role, created_us)"
        " VALUES (:public_id, :email, :username, :password_hash, :role, :now_us)",
        (row,),
    )


async def add_user(storage: Tables, *, email: str, username: str, password_hash: str, role: Role, now_us: int) -> str:
    """Add a user; returns the public id. Raises `Conflict` when the address or the name is taken."""
    public_id = str(uuid.uuid4())
    await storage.write(
        make_user(public_id, email=email, username=username, password_hash=password_hash, role=role, now_us=now_us)
    )
    return public_id


async def set_password(storage: Tables, user_id: int, password_hash: str) -> None:
    """Change a password, which ends all sessions of that user. Raises `NotFound`."""
    changed = await storage.write(
        Write(
            "UPDATE users SET password_hash = :password_hash, session_version = session_version + 1 WHERE id = :id",
            ({"password_hash": password_hash, "id": user_id},),
        )
    )
    if not changed:
        raise NotFound(f"there is no user {user_id}")


async def change_user(
    storage: Tables,
    user_id: int,
    *,
    email: str | None,
    username: str | None,
    role: Role | None,
    password_hash: str | None,
) -> bool:
    """Change what is not None; a new password ends all sessions. False: the last administrator stays one.

    Raises `Conflict` when the address or the name is taken.
    """
    row: dict[str, Scalar] = {
        "id": user_id,
        "email": None if email is None else normal_email(email),
        "username": username,
        "role": None if role is None else role.value,
        "password_hash": password_hash,
        "sessions": int(password_hash is not None),
    }
    changed = await storage.write(
        hold_administrators(),
        Write(
            "UPDATE users SET email = coalesce(:email, email), username = coalesce(:username, username),"
            " role = coalesce(:role, role), password_hash = coalesce(:password_hash, password_hash),"
            " session_version = session_version + :sessions WHERE id = :id AND (role <> 'admin'"
            " OR coalesce(:role, role) = 'admin' OR (SELECT count(*) FROM users WHERE role = 'admin') > 1)",
            (row,),
        ),
    )
    return changed > 0


def hold_administrators() -> Write:
    """Nothing changes; but of two who remove each other at the same moment, the second waits here for the first."""
    return Write("UPDATE users SET role = role WHERE role = 'admin'")


def keep_an_administrator() -> Write:
    """Raises `Conflict`, when written, if there is no administrator; at the end of what began with holding them."""
    return Write("UPDATE users SET role = role WHERE id = (SELECT min(id) FROM users WHERE role = 'admin')", changes=1)


async def remove_user(storage: Tables, user_id: int) -> bool:
    """Remove a user with all API tokens, and with the dashboards that nobody else could see; what else the user made,
    and what was measured, stays. False: the last administrator stays.
    """
    removable = "id = :id AND (role <> 'admin' OR (SELECT count(*) FROM users WHERE role = 'admin') > 1)"
    row = {"id": user_id}
    removed = await storage.write(
        hold_administrators(),
        Write(
            f"DELETE FROM dashboards WHERE is_global = 0 AND user_id IN (SELECT id FROM users WHERE {removable})",
            (row,),
        ),
        Write(f"DELETE FROM users WHERE {removable}", (row,)),
    )
    return removed > 0


async def tokens(storage: Tables) -> list[ApiToken]:
    """All API tokens, the oldest first."""
    return [_token(row) for row in await storage.fetch(f"SELECT {_TOKEN} FROM api_tokens ORDER BY id")]


async def add_token(
    storage: Tables,
    *,
    user_id: int,
    name: str,
    digest: str,
    expires_us: int | None,
    now_us: int,
    scope: Scope = Scope.FULL,
    plugin_id: int | None = None,
) -> str:
    """Add an API token by the digest of its text; returns the public id. `plugin_id` is the surrogate one."""
    public_id = str(uuid.uuid4())
    await storage.write(
        Write(
            "INSERT INTO api_tokens (public_id, name, digest, user_id, expires_us, created_us, scope, plugin_id)"
            " VALUES (:public_id, :name, :digest, :user_id, :expires_us, :now_us, :scope, :plugin_id)",
            (
                {
                    "public_id": public_id,
                    "name": name,
                    "digest": digest,
                    "user_id": user_id,
                    "expires_us": expires_us,
                    "now_us": now_us,
                    "scope": scope.value,
                    "plugin_id": plugin_id,
                },
            ),
        )
    )
    return public_id


async def last_used(storage: Tables) -> dict[int, int]:
    """When API tokens were last used, by their id; those that were."""
    return dict(await storage.fetch("SELECT id, last_used_us FROM api_tokens WHERE last_used_us IS NOT NULL"))


def used(last_used_us: Mapping[int, int]) -> Write:
    """Remember when API tokens were last used, by their id. No change of configuration: nobody reads it again for it.

    Several servers may say so of one token; the last time counts.
    """
    return Write(
        "UPDATE api_tokens SET last_used_us = :time_us WHERE id = :id AND coalesce(last_used_us, 0) < :time_us",
        tuple({"id": token_id, "time_us": time_us} for token_id, time_us in sorted(last_used_us.items())),
    )


async def remove_token(storage: Tables, public_id: str) -> None:
    """Remove an API token. Raises `NotFound`."""
    if not await storage.write(
        Write("DELETE FROM api_tokens WHERE public_id = :public_id", ({"public_id": public_id},))
    ):
        raise NotFound(f"there is no API token {public_id}")


async def revoked(storage: Tables, now_us: int) -> frozenset[str]:
    """The `jti` of JWTs that were logged out and have not expired yet."""
    rows = await storage.fetch("SELECT jti FROM revoked_tokens WHERE expires_us > :now_us", now_us=now_us)
    return frozenset(jti for (jti,) in rows)


async def revoke(storage: Tables, jti: str, expires_us: int, now_us: int) -> None:
    """Remember a logged-out JWT until it expires, and forget those that have."""
    await storage.write(
        Write("DELETE FROM revoked_tokens WHERE expires_us <= :now_us", ({"now_us": now_us},)),
        Write(
            "INSERT INTO revoked_tokens (jti, expires_us) VALUES (:jti, :expires_us) ON CONFLICT (jti) DO NOTHING",
            ({"jti": jti, "expires_us": expires_us},),
        ),
    )


def normal_email(email: str) -> str:
    """The form in which an address is stored and looked up."""
    return email.strip().lower()


def _user(row: tuple[Any, ...]) -> User:
    return User(row[0], row[1], row[2], row[3], Role(row[4]), row[5], row[6])


def _token(row: tuple[Any, ...]) -> ApiToken:
    number, public_id, name, digest, user_id, expires_us, created_us, scope, plugin_id = row
    return ApiToken(number, public_id, name, digest, user_id, expires_us, created_us, Scope(scope), plugin_id)
