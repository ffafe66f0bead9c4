"""What processes ask of the kernel, as strace sees it.

Who is traced stands still until strace has written its line, so the order of the lines is that of cause and effect,
also between processes: what came of a call that has returned stands below the line on which it did.
"""

from __future__ import annotations

import asyncio
import re
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.parts import require, require_root

CALLS: Final = "fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg"
LONGEST: Final = 2**22  # bytes of a call that are shown
DEADLINE_S: Final = 60.0
NEVER: Final = 2**62

_SCOPE: Final = Path("/proc/sys/kernel/yama/ptrace_scope")
_HEX: Final = r"(?:\\x[0-9a-f]{2})*"
_LINE: Final = re.compile(rf"(\d+) +(\w+)\(\d+<(TCP[^\]]*\]|{_HEX}|[^>]*)>(.*)")
_RESUMED: Final = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>.*\) += (-?\d+|\?)")
_TEXT: Final = re.compile(rf'"({_HEX})"(\.\.\.)?')
_OFFSET: Final = re.compile(r", (\d+)(?:\) +=| <unfinished)")
_UNFINISHED: Final = "<unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: to what, with which bytes, and the places of its beginning and its end among all that was seen."""

    process: int
    name: str
    file: str
    data: bytes
    offset: int
    began: int
    ended: int

    @property
    def flushes(self) -> bool:
        """Whether it returns when what was written to the file before is on the disk."""
        return self.name in {"fdatasync", "fsync"}


@asynccontextmanager
async def tracing(processes: Iterable[int], log: Path) -> AsyncIterator[None]:
    """Trace these processes, all their threads and all that they start, meanwhile."""
    strace = require("strace", "apt-get install strace")
    if _SCOPE.exists() and _SCOPE.read_text().strip() != "0":
        require_root("or let strace attach to others: sysctl kernel.yama.ptrace_scope=0")
    attach = [argument for process in processes for argument in ("-p", str(process))]
    tracer = await asyncio.create_subprocess_exec(
        strace,
        *("-f", "-yy", "-xx", "-s", str(LONGEST), "-e", f"trace={CALLS}", "-o", str(log), *attach),
        stderr=PIPE,
    )
    assert tracer.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            attached = 0
            while attached < len(attach) // 2:
                line = (await tracer.stderr.readline()).decode()
                assert " attached" in line, line
                attached += 1
        yield
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)  # it lets go of them, and they go on
        await tracer.communicate()


def calls(log: Path) -> list[Call]:
    """What was seen, in the order of its beginnings. Calls that failed, or were not seen to end, end never."""
    seen: list[Call] = []
    pending: dict[tuple[int, str], int] = {}
    with log.open(encoding="ascii") as lines:
        for place, line in enumerate(lines):
            if begun := _LINE.match(line):
                process, name = int(begun[1]), begun[2]
                if line.rstrip().endswith(_UNFINISHED):
                    pending[process, name] = len(seen)
                    ended = NEVER
                else:
                    ended = NEVER if " = -1 " in begun[4] or " = ?" in begun[4] else place
                seen.append(Call(process, name, _plain(begun[3]), *_contents(name, begun[4]), place, ended))
            elif (resumed := _RESUMED.match(line)) and resumed[3] not in {"-1", "?"}:
                at = pending.pop((int(resumed[1]), resumed[2]))
                seen[at] = replace(seen[at], ended=place)
    return seen


def _plain(shown: str) -> str:
    return bytes.fromhex(shown.replace("\\x", "")).decode() if shown.startswith("\\x") else shown


def _contents(name: str, rest: str) -> tuple[bytes, int]:
    found = _TEXT.findall(rest)
    assert not any(cut for _, cut in found), f"a call of more than {LONGEST} bytes"
    offset = _OFFSET.search(rest) if name == "pwrite64" else None
    return bytes.fromhex("".join(text.replace("\\x", "") for text, _ in found)), int(offset[1]) if offset else 0
