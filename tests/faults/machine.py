"""Histories: what people, controllers and accidents do, in any order. At every rest all is compared with the model."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.faults.model import Entrance
from tests.faults.play import EVENTS, Batch, Play, Sums
from tests.faults.site import Site
from webmacs.model import Scope

T = TypeVar("T")
Contents = list[tuple[int, str]]

MOST_GUESTS: Final = 10
KINDS: Final = ("plain", "plain", "alarm", "alarm", "late", "late alarm", "wrong clock", "no number", "unknown event")

which_one = st.integers(0, 5)
contents_of_a_batch = st.lists(st.tuples(st.integers(0, EVENTS - 1), st.sampled_from(KINDS)), min_size=1, max_size=4)


class History(RuleBasedStateMachine):
    """One of them. Numbers choose among those who are there, so that a history still makes sense when it shrinks."""

    def __init__(self, site: Site, runner: asyncio.Runner, sums: Sums) -> None:
        super().__init__()
        self.play, self.runner, self.sums = Play(site, sums), runner, sums
        self.story: list[str] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the loop run until that is done. Between two steps of a history nothing moves."""
        self.sums.steps += 1
        self.story.append(_told(work))
        try:
            return self.runner.run(work)
        except Exception as error:
            if not self.sums.first_failure:  # what depends on chance may not come again when it is repeated
                self.sums.first_failure = "\n  ".join(("The first to fail:", *self.story, repr(error)))
            raise

    @initialize()
    def begin(self) -> None:
        """Three users, a controller, a browser; three events, each with a plugin instance, two with a rule."""
        self.sums.histories += 1
        self.do(self.play.begin())

    def teardown(self) -> None:
        """Every history comes to rest at its end."""
        try:
            self.do(self.play.recover())
            self.do(self.play.rest())
        finally:
            self.do(self.play.end())

    # -- people --------------------------------------------------------------------------------------------------------

    @rule(
        entrance=st.sampled_from(Entrance),
        user=which_one,
        scope=st.sampled_from([None, None, *Scope]),
        query=st.sampled_from(["", "", "snapshot", "events"]),
    )
    def connect(self, entrance: Entrance, user: int, scope: Scope | None, query: str) -> None:
        """Come in with a new session, or a new token of that scope."""
        if self.play.model.roles and not self.play.troubled and len(self.play.guests) < MOST_GUESTS:
            owner = _one_of(list(self.play.model.roles), user)
            self.do(self.play.arrive(self.do(self.play.credential(owner, scope)), entrance, query))

    @precondition(lambda self: self.play.credentials and len(self.play.guests) < MOST_GUESTS)
    @rule(entrance=st.sampled_from(Entrance), which=which_one)
    def connect_again(self, entrance: Entrance, which: int) -> None:
        """Come in with what was shown before, whether or not it is still any good; also while there is a fault."""
        self.do(self.play.arrive(_one_of(self.play.credentials, which), entrance, ""))

    @precondition(lambda self: self.play.guests)
    @rule(which=which_one, politely=st.booleans())
    def leave(self, which: int, politely: bool) -> None:
        """Go, perhaps before the answers to what was sent have come."""
        self.do(self.play.leave(_one_of(self.play.guests, which), politely=politely))

    @precondition(lambda self: self.play.credentials and not self.play.troubled)
    @rule(which=which_one, how=st.sampled_from(["end the credential", "change the password", "demote", "delete"]))
    def revoke(self, which: int, how: str) -> None:
        """Take a right away. Who lived by it is out."""
        self.do(self.play.revoke(_one_of(self.play.credentials, which), how))

    # -- controllers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.controllers)
    @rule(which=which_one, contents=contents_of_a_batch)
    def send(self, which: int, contents: Contents) -> None:
        """Send a batch with a `batch_id`."""
        self._send([(which, True, contents)])

    @precondition(lambda self: self.play.controllers)
    @rule(which=which_one, contents=contents_of_a_batch)
    def send_silently(self, which: int, contents: Contents) -> None:
        """Send a batch without one: there is no answer, unless it cannot be stored."""
        self._send([(which, False, contents)])

    @precondition(lambda self: self.play.controllers)
    @rule(sent=st.lists(st.tuples(which_one, st.booleans(), contents_of_a_batch), min_size=2, max_size=6))
    def send_at_once(self, sent: list[tuple[int, bool, Contents]]) -> None:
        """Send batches without waiting in between: which controller, whether with a `batch_id`, what is in it."""
        self._send(sent)

    @precondition(lambda self: self._unforgotten())
    @rule(which=which_one, altered=st.booleans(), by_two=st.booleans())
    def send_again(self, which: int, altered: bool, by_two: bool) -> None:
        """Send a batch of before again, as it was or with other contents, by one controller or by two at once."""
        batch = _one_of(self._unforgotten(), which)
        guests = [guest for guest in self.play.controllers if guest.who.owner == batch.owner][: 1 + by_two]
        if altered:
            batch = Batch(batch.owner, batch.batch_id, (*batch.contents, self.play.item(which % EVENTS, "plain")))
        made = [(guest, batch, True) for guest in guests if not guest.awaits(batch.batch_id)]
        self.sums.again += len(made)
        self.do(self.play.send(made))

    def _unforgotten(self) -> list[Batch]:
        """Those whose owner has a controller here."""
        owners = {guest.who.owner for guest in self.play.controllers}
        return [batch for batch in self.play.batches if batch.owner in owners]

    def _send(self, sent: list[tuple[int, bool, Contents]]) -> None:
        made = []
        for which, asks, contents in sent:
            guest = _one_of(self.play.controllers, which)
            batch = Batch(guest.who.owner, str(uuid.uuid4()), tuple(self.play.item(*item) for item in contents))
            if asks:
                self.play.batches.append(batch)
            made.append((guest, batch, asks))
        self.do(self.play.send(made))

    # -- the configuration ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.events and not self.play.troubled)
    @rule(
        which=which_one,
        how=st.sampled_from(["link", "unlink", "disable", "enable", "watch", "watch", "ignore", "delete"]),
    )
    def change(self, which: int, how: str) -> None:
        """Change whether an event is linked, its plugin instance enabled, a rule watching it, and it there at all."""
        self.do(self.play.change(_one_of(self.play.events, which), how))

    # -- accidents -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.guests and not self.play.troubled)
    @rule(which=which_one)
    def fault(self, which: int) -> None:
        """Something happens to the storage. What is sent from now on waits, or is refused."""
        self.do(self.play.fault(_one_of(self.play.site.faults, which)))

    @precondition(lambda self: self.play.troubled)
    @rule()
    def recover(self) -> None:
        """It is over; the server finds out by itself."""
        self.do(self.play.recover())

    @precondition(lambda self: self.play.guests)
    @rule()
    def restart(self) -> None:
        """The server is stopped and started, also in the middle of a fault."""
        self.do(self.play.restart())

    @precondition(lambda self: not self.play.troubled)
    @rule()
    def rest(self) -> None:
        """Everyone waits until nothing moves any more. Then all is as the model says."""
        self.do(self.play.rest())


def _told(work: Any) -> str:
    """A step, as a reader would write it."""
    given = {name: value for name, value in work.cr_frame.f_locals.items() if name != "self"}
    return f"{work.__name__}({', '.join(f'{name}={value}' for name, value in given.items())})"


def _one_of(choices: Sequence[T], which: int) -> T:
    return choices[which % len(choices)]
