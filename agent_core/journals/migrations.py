"""How the tables of an older journal become those of this version: one step a version, the same for every database.

The rule here: a step is written once and never changed, says everything in its own words (not in those of `schema.py`,
which is always the newest) and runs with all later ones in one transaction, so that a database is of one version or of
the other. The version stands in the journal's own table `meta`, where the programs of every version look for it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnClause,
    Connection,
    Float,
    LargeBinary,
    TableClause,
    Text,
    insert,
    select,
    table,
    update,
)

_ROWS = 500


def migrate(connection: Connection, version: int) -> None:
    """Bring the tables from that version to the newest. Runs inside the transaction of `schema.prepare`."""
    operations = Operations(MigrationContext.configure(connection))
    for step in STEPS[version - 1 :]:
        step(operations, connection)
    meta = _table("meta", "key", "value")
    connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(len(STEPS) + 1)))


def _to_version_2(operations: Operations, connection: Connection) -> None:
    """Snapshots, labels that can be searched, and which sessions need which tools' code."""
    operations.add_column("sessions", Column("snapshot_seq", BigInteger, nullable=False, server_default="0"))
    operations.create_table(
        "snapshots",
        Column("session", Text, primary_key=True),
        Column("seq", BigInteger, nullable=False),
        Column("data", LargeBinary, nullable=False),
    )
    operations.create_table(
        "labels",
        Column("session", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("value", Text, nullable=False),
    )
    operations.create_index("labels_by_value", "labels", ["name", "value", "session"])
    operations.create_table(
        "published", Column("hash", Text, primary_key=True), Column("at", Float(53), nullable=False)
    )
    operations.create_table("uses", Column("session", Text, primary_key=True), Column("hash", Text, primary_key=True))
    operations.create_index("uses_by_hash", "uses", ["hash"])
    _fill(connection, "labels", ("session", "name", "value"), _labels(connection))
    _fill(connection, "uses", ("session", "hash"), _uses(connection))
    _fill(connection, "published", ("hash", "at"), _published(connection))


def _table(name: str, *columns: str) -> TableClause:
    return table(name, *[ColumnClause[Any](name) for name in columns])


def _fill(connection: Connection, name: str, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    given = [dict(zip(columns, row, strict=True)) for row in rows]
    filled = insert(_table(name, *columns))
    for start in range(0, len(given), _ROWS):
        connection.execute(filled, given[start : start + _ROWS])


def _labels(connection: Connection) -> Iterator[tuple[Any, ...]]:
    sessions = _table("sessions", "id", "labels")
    for session, text in connection.execute(select(sessions.c.id, sessions.c.labels).where(sessions.c.labels != "{}")):
        for name, value in json.loads(text).items():
            yield session, json.dumps(name), json.dumps(value)


def _uses(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """What entries that define tools say of the hash of their code."""
    entries, blobs = _table("entries", "session", "kind", "body", "blob"), _table("blobs", "hash", "bytes")
    query = (
        select(entries.c.session, entries.c.body, blobs.c.bytes)
        .select_from(entries.outerjoin(blobs, entries.c.blob == blobs.c.hash))
        .where(entries.c.kind.in_(("opened", "configured")))
    )
    seen: set[tuple[str, str]] = set()
    for session, body, bytes_ in connection.execute(query):
        entry: dict[str, Any] = json.loads(bytes(body or bytes_))
        changes: dict[str, Any] = entry.get("changes") or {}
        tools: list[dict[str, Any]] = entry.get("tools") or changes.get("tools") or []
        for tool in tools:
            reference: dict[str, Any] = tool.get("reference") or {}
            pickled: str | None = reference.get("pickled")
            if pickled and (session, pickled) not in seen:
                seen.add((session, pickled))
                yield session, pickled


def _published(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """Blobs that are no entry's body."""
    entries, blobs = _table("entries", "blob"), _table("blobs", "hash")
    bodies = select(entries.c.blob).where(entries.c.blob.is_not(None))
    for (digest,) in connection.execute(select(blobs.c.hash).where(blobs.c.hash.not_in(bodies))):
        yield digest, 0.0


# The first makes version 2 of version 1, and so on.
STEPS: tuple[Callable[[Operations, Connection], None], ...] = (_to_version_2,)
