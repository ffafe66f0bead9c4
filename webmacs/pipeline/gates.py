"""The gates, one after the other, for one message in its sender's own receive loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from webmacs.errors import InvalidMessage, Overloaded
from webmacs.pipeline.base import Batch, Gate
from webmacs.pipeline.counts import Counts, Failures

FAULTY: Final = "Server fault, batch not stored"


class Gates:
    """What each message goes through before it is queued."""

    def __init__(self, gates: Sequence[Gate], counts: Counts, failures: Failures) -> None:
        self._gates, self._counts, self._failures = gates, counts, failures
        self._compute = any(gate.computes for gate in gates)

    def judge(self, batch: Batch) -> None:
        """Let each gate change the batch.

        Raises:
            InvalidMessage: a gate refused it.
            Overloaded: a gate failed without which it is not known what the message says: to be sent again.

        """
        for gate in self._gates:
            try:
                gate.process(batch)
            except InvalidMessage:
                self._counts.refused.add()
                raise
            except Exception as error:
                if gate.essential:
                    self._failures.add(gate, "failed; the batch is refused, to be sent again")
                    raise Overloaded(FAULTY) from error
                self._failures.add(gate, "failed; the batch goes on as it left it")
        if self._compute:
            batch.keep_finite()
