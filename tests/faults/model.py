"""What the system must hold, whatever happens and in whatever order: its specification, in plain Python without I/O.

There are three ideas in it:

- Who may be on a socket is a question of the present. A connection lives as long as `refusal` finds nothing against it.
- A batch is a set of worlds: in one of them this sending of it was stored, in another one that sending, or none. Every
  answer, and every look into the storage, leaves those worlds in which it is true. None left is a broken promise.
- All else follows from what is stored, in its order: the latest values, the alarms, what browsers see.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from webmacs.model import Role, Scope

REUSED = "batch_id was used before with other contents"
NOTHING_VALID = "No valid datapoints in batch"
NOT_STORED = "Storage unavailable, batch not stored"


class Entrance(Enum):
    """A socket, by what it asks of those who come in."""

    CONTROLLER = Role.OPERATOR, Scope.INGEST
    BROWSER = Role.VIEWER, Scope.READ


@dataclass(frozen=True, eq=False)
class Credential:
    """What somebody shows at the door: a session of theirs (a JWT), or an API token (which has a scope)."""

    owner: str
    scope: Scope | None = None


@dataclass(frozen=True)
class Item:
    """A reading as it is sent. `taken_us` None: when it arrives, as also when its clock is wrong. No two values are the
    same, so a value tells which item it was; the rules of this model's world fire above zero.
    """

    event: str
    value: float
    taken_us: int | None = None
    wrong_clock: bool = False
    valid: bool = True


@dataclass(frozen=True, eq=False)
class Sending:
    """A batch that was sent once, and what the gates made of it in that moment."""

    identity: Hashable  # user and batch_id; without a batch_id, nothing else is the same batch
    contents: tuple[Item, ...]
    accepted: tuple[Item, ...]
    numbers: Mapping[str, int]
    watched: frozenset[str]  # events that had a rule


@dataclass
class Sequel:
    """What follows from the readings that are stored."""

    newest: dict[str, Item] = field(default_factory=dict)
    alarms: Counter[tuple[str, float]] = field(default_factory=Counter)
    shown: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Model:
    """An installation, as those see it who use it."""

    def __init__(self) -> None:
        self.roles: dict[str, Role] = {}
        self.logged_out: set[Credential] = set()
        self.outdated: set[Credential] = set()  # sessions from before the password was changed, deleted tokens
        self.events: set[str] = set()
        self.linked: set[str] = set()
        self.disabled: set[str] = set()  # events whose plugin instance is
        self.watched: set[str] = set()
        self.worlds: dict[Hashable, set[Sending | None]] = {}
        self.batch_of: dict[tuple[str, float], Hashable] = {}

    # -- who may be where ----------------------------------------------------------------------------------------------

    def refusal(self, who: Credential, entrance: Entrance, *, arriving: bool = False) -> str | None:
        """Why they may not be there; None: they may. Of a token that is deleted, or whose owner is, nothing is left
        that a newcomer could be told about.
        """
        ended, gone = who in self.logged_out | self.outdated, who.owner not in self.roles
        if arriving and who.scope is not None and (ended or gone):
            return "Invalid or expired token"
        if gone and not (arriving and who in self.logged_out):
            return "User not found"
        if ended:
            return "Token has been revoked"
        needs, scope = entrance.value
        enough = self.roles[who.owner].covers(needs) and (who.scope or Scope.FULL).covers(scope)
        return None if enough else "Insufficient permissions"

    # -- what becomes of a batch ---------------------------------------------------------------------------------------

    def sent(self, identity: Hashable, contents: Iterable[Item]) -> Sending:
        """A batch arrives. What is valid and of an event that is linked now is accepted, in its order."""
        items = tuple(contents)
        valid = [item for item in items if item.valid]
        accepted = tuple(item for item in valid if item.event in self.linked - self.disabled)
        invalid, unlinked = len(items) - len(valid), len(valid) - len(accepted)
        numbers = {
            "accepted": len(accepted),
            "rejected": invalid + unlinked,
            "invalid": invalid,
            "unlinked": unlinked,
            "skewed": sum(item.wrong_clock for item in accepted),
        }
        sending = Sending(identity, items, accepted, numbers, frozenset(self.watched))
        self.batch_of |= {(item.event, item.value): identity for item in items}
        worlds = self.worlds.setdefault(identity, {None})
        if None in worlds and valid:  # else it is decided which sending is stored, or this one cannot be
            worlds.add(sending)
        return sending

    def answered(self, sending: Sending, answer: Mapping[str, Any]) -> None:
        """What the sender was told. A first acknowledgement is of this sending, a later one of another with the same
        contents; a refusal says that there is one with other contents, or that it is not this one that is stored.
        """
        worlds = self.worlds[sending.identity]
        others = {world for world in worlds if world is not None and world is not sending}
        numbers = {name: answer.get(name) for name in sending.numbers}
        left: set[Sending | None] = set()
        match answer:
            case {"type": "ack", "duplicate": True}:
                left = {each for each in others if (each.contents, each.numbers) == (sending.contents, numbers)}
            case {"type": "ack"} if sending.numbers == numbers:
                left = worlds & {sending}
            case {"type": "error", "message": str(message), "retry": False} if message == REUSED:
                left = {each for each in others if each.contents != sending.contents}
            case {"type": "error", "message": str(message), "retry": False} if message == NOTHING_VALID:
                left = worlds if not any(item.valid for item in sending.contents) else set()
            case {"type": "error", "message": str(message), "retry": True} if message == NOT_STORED:
                left = worlds - {sending}
        assert left, f"{answer} cannot be said of {sending}: it leaves none of {worlds}"
        self.worlds[sending.identity] = left

    def undisturbed(self, sending: Sending) -> None:
        """It arrived over a connection that lives and nothing was in its way: it is stored, though nobody said so."""
        assert sending in self.worlds[sending.identity], sending
        self.worlds[sending.identity] = {sending}

    def stored(self, rows: Sequence[tuple[str, float]]) -> list[Sending]:
        """The storage has these values, of events that are there, in this order: of each batch all that one of its
        worlds accepted, once and in order, and nothing else. Returns what was sent, in the order it is stored in.
        """
        found: dict[Hashable, list[tuple[str, float]]] = {}
        for row in rows:
            assert row in self.batch_of, f"{row} was never sent"
            found.setdefault(self.batch_of[row], []).append(row)
        for identity, worlds in self.worlds.items():
            left = {world for world in worlds if self._rows(world) == found.get(identity, [])}
            assert left, f"batch {identity} has {found.get(identity, [])}, which is none of {worlds}"
            self.worlds[identity] = left
        kept = [next(iter(self.worlds[identity])) for identity in found]
        return [sending for sending in kept if sending is not None]

    def _rows(self, world: Sending | None) -> list[tuple[str, float]]:
        accepted = world.accepted if world else ()
        return [(item.event, item.value) for item in accepted if item.event in self.events]

    # -- what follows from it ------------------------------------------------------------------------------------------

    def sequel(self, stored: Iterable[Sending]) -> Sequel:
        """A reading that was timed on arrival is the newest of its event, another one if there is none of later. The
        last such one of each batch is held against the rules, and may be shown; the last of all must be shown.
        """
        sequel = Sequel()
        for sending in stored:
            advanced = {}
            for item in sending.accepted:
                if _advances(item, sequel.newest.get(item.event)):
                    sequel.newest[item.event] = advanced[item.event] = item
            for event, item in advanced.items():
                sequel.shown[event].append(item.value)
                if event in sending.watched and item.value > 0:
                    sequel.alarms[event, item.value] += 1
        return sequel


def _advances(item: Item, last: Item | None) -> bool:
    """Timestamps of this model's world are all older than its beginning."""
    if last is None or item.taken_us is None:
        return True
    return last.taken_us is not None and last.taken_us <= item.taken_us
