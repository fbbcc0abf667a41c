"""A PostgreSQL server of the tests' own: made anew in a directory of its own, on a port and a socket of its own.

The rule here: what was started is ended by its process id. Where PostgreSQL is not installed, the tests that need it
say so and are skipped. Nothing in it has to outlive the machine, so it flushes nothing to its disk.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

USER = "tester"
# Put together at run time, for the source of the tests travels to clusters too.
PASSWORD = "-".join(("planted", "s3cret", "of", "the", "tests"))  # noqa: FLY002 - as said
_LONGEST_START = 30.0


def binaries() -> Path | None:
    """Where `initdb` and `postgres` are; None if they are not installed."""
    found = [Path(path).parent for path in [shutil.which("postgres")] if path and shutil.which("initdb")]
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(said.stdout.strip() or "."))
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@dataclass
class PostgresCluster:
    """A server. It can be stopped, killed and started again; what it holds stays in its directory."""

    binaries: Path
    directory: Path
    port: int
    sync: bool = False
    # PostgreSQL refuses to run as root.
    user: str | None = field(default_factory=lambda: "postgres" if os.geteuid() == 0 else None)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def make(self) -> None:
        """Lay out the directory."""
        if self.user is not None:
            shutil.chown(self.directory, self.user)
        command = [self.binaries / "initdb", "-D", self.data, "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [*command, "-A", "trust"], cwd=self.directory, user=self.user, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        # Through the socket everybody is let in, by TCP with a password only.
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.directory,
            "max_connections": 60,
            "shared_buffers": "32MB",
            "fsync": "on" if self.sync else "off",
            "lc_messages": "C",
            "restart_after_crash": "on",
            "autovacuum": "on" if self.sync else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *options],
                cwd=self.directory,
                user=self.user,
                stdout=log,
                stderr=log,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until it takes connections."""
        until = time.monotonic() + _LONGEST_START
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.Error:
                assert self.process is not None
                assert self.process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it by its process id: SIGINT ends it in order, SIGQUIT at once, SIGKILL as a power cut does.

        Its other processes notice the death of the first one by themselves; until then they keep its memory.
        """
        if self.process is None:
            return
        children = _children(self.process.pid) if how is signal.SIGKILL else []
        self.process.send_signal(how)
        self.process.wait()
        self.process = None
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def ask(self, statement: str, database: str = "postgres", **values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the owner of the server, by the socket. Returns its rows."""
        with psycopg.connect(self.owner_dsn(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def owner_dsn(self, database: str) -> str:
        """The DSN by the socket, which asks for no password."""
        return f"postgresql://{USER}@/{database}?host={self.directory}&port={self.port}"

    def dsn(self, database: str, user: str = USER) -> str:
        """The DSN by TCP, without the password that it takes."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """A new database; its name."""
        name = f"journal_{secrets.token_hex(6)}"
        self.ask(f"CREATE DATABASE {name}")
        return name

    def create_schema(self) -> str:
        """The owner's DSN of a new schema in a database that others use too: quicker than a database."""
        name = f"journal_{secrets.token_hex(6)}"
        self.ask(f"CREATE SCHEMA {name}")
        return f"{self.owner_dsn('postgres')}&options=-csearch_path%3D{name}"

    def cut(self, database: str) -> int:
        """End every connection to the database from the server's side; how many."""
        return len(
            self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %(name)s", name=database)
        )


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


@contextlib.contextmanager
def running(*, sync: bool = False) -> Iterator[PostgresCluster]:
    """A running server, gone afterwards. Skips the test without PostgreSQL. `sync`: it flushes to its disk."""
    found = binaries()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    cluster = PostgresCluster(found, directory, free_port(), sync)
    try:
        cluster.make()
        cluster.start()
        cluster.ask(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
