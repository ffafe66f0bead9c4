"""Users of a file: what becomes of them, and who is an administrator then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from webmacs.config import explain
from webmacs.declaration.draft import Draft, merged
from webmacs.declaration.file import UserEntry
from webmacs.declaration.problem import shown
from webmacs.declaration.sources import Secrets
from webmacs.declaration.state import UserState
from webmacs.handlers.users import Username
from webmacs.model import Role

_USERNAME: Final[TypeAdapter[str]] = TypeAdapter(Username)


def plan_users(draft: Draft, entries: Iterable[UserEntry], secrets: Secrets) -> dict[str, str]:
    """Users, of which at least one stays an administrator; returns the passwords of new ones, by e-mail address."""
    owners = {thing.state.username: email for email, thing in draft.there.users.items()}
    passwords, demoted = {}, []
    for where, entry in draft.numbered("users", entries, "email"):
        thing = draft.there.users.get(entry.email)
        if draft.left(entry.email, thing):
            continue
        if thing is None:
            now = merged(UserState(entry.email, entry.email.partition("@")[0], Role.VIEWER), entry)
            _check_new(draft, where, entry, now)
            if where in secrets.texts:
                passwords[entry.email] = secrets.texts[where]
        else:
            now = merged(thing.state, entry)
            if thing.state.role is Role.ADMIN and now.role is not Role.ADMIN:
                demoted.append((where, now))
        owner = owners.setdefault(now.username, now.email)
        if owner != now.email:
            draft.problem(f"{where}.username", f"{shown(now.username)} is the name of {owner}; choose another one")
        draft.step(now.email, thing, now)
    if demoted and first_administrator(draft) is None:
        for where, now in demoted:
            draft.problem(f"{where}.role", f"{now.email} would be {now.role}, and no administrator would be left")
    return passwords


def first_administrator(draft: Draft) -> str | None:
    """The public id of the first administrator that there will be; to that one new things belong."""
    roles = {thing.public_id: thing.state.role for thing in draft.there.users.values()}
    roles |= {step.public_id: step.now.role for step in draft.steps if isinstance(step.now, UserState)}
    return next((public_id for public_id, role in roles.items() if role is Role.ADMIN), None)


def _check_new(draft: Draft, where: str, entry: UserEntry, now: UserState) -> None:
    if entry.password_file is None and entry.password_env is None:
        draft.problem(
            f"{where}.password_file", f"is missing (or password_env): {entry.email} is new and needs a password"
        )
    try:
        _USERNAME.validate_python(now.username)
    except ValidationError as error:
        draft.problem(f"{where}.username", f"is missing: {shown(now.username)} will not do for one; {explain(error)}")
