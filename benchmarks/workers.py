"""Processes beside the server: each gets a job as JSON, says when it is ready, is given a sign, hands back a result.

What the sign means is the worker's: a load begins at it, browsers end.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ROOT: Final = Path(__file__).parent.parent
READY: Final = "ready\n"


class Worker:
    """A process that runs one module of this package. Leaving the context ends it, whatever it does."""

    def __init__(self, module: str, job: DataclassInstance) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._say(json.dumps(asdict(job)))

    def __enter__(self) -> Self:
        """Wait until it is ready."""
        if self._hear() != READY:
            self._end()
            raise RuntimeError(f"benchmarks.{self._module} failed before it was ready; its error is above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def result(self) -> dict[str, Any]:
        """Give the sign and wait for what comes of it."""
        self.start()
        return self.end()

    def start(self) -> None:
        """Give the sign."""
        self._say("")

    def end(self) -> dict[str, Any]:
        """Wait for what comes of it."""
        answer = self._hear()
        if not answer:
            raise RuntimeError(f"benchmarks.{self._module} failed; its error is above")
        result: dict[str, Any] = json.loads(answer)
        return result

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def job() -> dict[str, Any]:
    """In the worker: what it was given to do."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    return given


def say_ready() -> None:
    """In the worker: everything is prepared."""
    sys.stdout.write(READY)
    sys.stdout.flush()


def wait_for_sign() -> None:
    """In the worker: wait until `Worker.result` is called."""
    sys.stdin.readline()


def hand_back(result: DataclassInstance) -> None:
    """In the worker: what came of it."""
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    sys.stdout.flush()
