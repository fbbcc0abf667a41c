"""What can be told of a journal's PostgreSQL database by asking it.

The rule here: it is asked in one read-only transaction, which makes nothing and waits for no lock. Everything here
blocks.
"""

import os
import time
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from agent_core.errors import ConfigError
from agent_core.journals.address import PostgresAddress
from agent_core.journals.failures import failure
from agent_core.journals.postgres_failures import explain
from agent_core.journals.schema import FIRST_TABLES, SCHEMA_VERSION, VERSION_KEY

_CONNECT_TIMEOUT = 3
_STATEMENT_TIMEOUT = 3_000


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """A server and the journal in it, as one connection sees them.

    `latency` is one round trip in seconds; `version` that of the journal's tables, None where there are none yet, and
    `newest` the one that this program writes. `foreign` says that the tables are another program's. `settings` are
    PostgreSQL's own, by name. `connections` counts those of all databases, of `max_connections`, of which `reserved`
    are kept for administrators.
    """

    server: str
    latency: float
    version: str | None
    foreign: bool
    settings: dict[str, str]
    connections: int
    max_connections: int
    reserved: int
    standby: bool
    encrypted: bool
    by_socket: bool
    may_create: bool
    bytes: int
    newest: int = SCHEMA_VERSION


_SETTINGS: LiteralString = (
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes',"
    " 'default_transaction_read_only', 'max_connections', 'superuser_reserved_connections', 'reserved_connections')"
)
_SERVER: LiteralString = """
    SELECT current_setting('server_version') AS server, pg_is_in_recovery() AS standby,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
        inet_server_addr() IS NULL AS by_socket,
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
        pg_database_size(current_database()) AS bytes,
        (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database) AS connections
"""
_TABLES: LiteralString = "SELECT tablename AS name FROM pg_tables WHERE schemaname = ANY(current_schemas(false))"


def read_facts(address: PostgresAddress) -> PostgresFacts:
    """Raises JournalError with a kind of `failures.py`: what keeps this process from the database, and the mend."""
    secrets: tuple[str, ...] = ()
    try:
        dsn = address.resolve()
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.Error:
            # The library repeats what it did not understand, which may be the password.
            raise ConfigError(f"journal: the DSN of {address} cannot be understood: check its parameters.") from None
        secrets = tuple(filter(None, (str(given.get("password") or ""), os.environ.get("PGPASSWORD", ""))))
        chosen = {name: value for name, value in _PARAMETERS.items() if name not in given}
        with psycopg.connect(dsn, autocommit=True, **chosen) as connection:
            return _facts(connection.cursor(row_factory=dict_row))
    except ConfigError as error:
        raise failure("denied", error.message) from None
    except psycopg.Error as error:
        raise explain(str(address), error, secrets) from None


_PARAMETERS: dict[str, Any] = {
    "connect_timeout": _CONNECT_TIMEOUT,
    "fallback_application_name": "rayconteur doctor",
    "client_encoding": "utf8",
}


def _facts(cursor: "psycopg.Cursor[dict[str, Any]]") -> PostgresFacts:
    with cursor.connection.transaction():
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(_STATEMENT_TIMEOUT)])
        began = time.perf_counter()
        cursor.execute("SELECT 1").fetchone()
        latency = time.perf_counter() - began
        settings = {row["name"]: str(row["setting"]) for row in cursor.execute(_SETTINGS).fetchall()}
        tables = {row["name"] for row in cursor.execute(_TABLES).fetchall()}
        version, foreign = None, False
        if tables >= FIRST_TABLES:
            row = cursor.execute("SELECT value FROM meta WHERE key = %s", [VERSION_KEY]).fetchone()
            version = str(row["value"]) if row else None
            foreign = version is None
        elif tables:
            foreign = True
        server = cursor.execute(_SERVER).fetchone()
    assert server is not None
    return PostgresFacts(
        latency=latency,
        version=version,
        foreign=foreign,
        settings=settings,
        max_connections=int(settings.get("max_connections", 0)),
        reserved=int(settings.get("superuser_reserved_connections", 0)) + int(settings.get("reserved_connections", 0)),
        **server,
    )
