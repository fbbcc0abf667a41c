"""The tables of the journal and the version of their shape.

The rule here: the tables say the same to every database behind SQLAlchemy. A database with a newer version, or with
other tables than these, is left alone and refused; one with an older version is brought up to date (`migrations.py`).

`entries` is an ordinary table with an index for its key: bodies are often longer than a quarter of a page, where a
table `WITHOUT ROWID` takes an overflow page for each row, and rows of many sessions share no page (measured with 16 to
1,000 sessions: 2 to 7 times the bytes written).
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
)

from agent_core.journals.failures import failure

SCHEMA_VERSION = 2

METADATA = MetaData()

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
VERSION_KEY = "schema"
# Above every epoch of the sessions that were deleted, so that no owner of one is ever an owner of its successor.
EPOCH_FLOOR_KEY = "epoch_floor"

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    # JSON text: it is written as the session's own process encoded it.
    Column("labels", Text, nullable=False),
    # The record after which the newest snapshot was taken, 0 without one.
    Column("snapshot_seq", BigInteger, nullable=False, server_default="0"),
    # No index on what every append changes: it would double what an append writes.
    Index("sessions_by_age", "created_at", "id"),
)

ENTRIES = Table(
    "entries",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("kind", Text, nullable=False),
    # One of the two: a large body is kept once under its hash.
    Column("body", LargeBinary),
    Column("blob", Text),
)
# Tells whether a blob is still referred to, when sessions are deleted.
Index(
    "entries_by_blob",
    ENTRIES.c.blob,
    sqlite_where=ENTRIES.c.blob.is_not(None),
    postgresql_where=ENTRIES.c.blob.is_not(None),
)

BLOBS = Table(
    "blobs",
    METADATA,
    # SHA-256 as hexadecimal digits.
    Column("hash", Text, primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
)

SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Names and values as JSON texts, which every database can hold whatever is in them.
LABELS = Table(
    "labels",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("labels_by_value", "name", "value", "session"),
)

# Blobs that were put by themselves (tools' code), and when last.
PUBLISHED = Table(
    "published",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("at", Float(53), nullable=False),
)

# Which sessions' entries speak of which of those.
USES = Table(
    "uses",
    METADATA,
    Column("session", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Index("uses_by_hash", "hash"),
)

FIRST_TABLES = frozenset({"meta", "sessions", "entries", "blobs"})
"""Those of version 1: who lacks one of them is no journal."""


def prepare(connection: Connection, where: str) -> None:
    """Make the tables in an empty database, or check those that are there and bring them up to date.

    Runs inside a transaction that keeps everybody else from doing the same. Raises JournalError of kind `newer_schema`
    or `not_a_journal`; `where` names the database in its text.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        METADATA.create_all(connection, checkfirst=False)
        connection.execute(insert(META), {"key": VERSION_KEY, "value": str(SCHEMA_VERSION)})
        return
    if not tables >= FIRST_TABLES:
        raise failure("not_a_journal", f"{where} is another program's database: name another one for the journal.")
    version = check_version(connection, where)
    if version < SCHEMA_VERSION:
        # A fifth of a second of import that is needed once in the life of a database.
        from agent_core.journals.migrations import migrate

        migrate(connection, version)


def check_version(connection: Connection, where: str) -> int:
    """The version of the tables that are there. Raises JournalError if there is none, or a newer one than is known."""
    found = connection.execute(select(META.c.value).where(META.c.key == VERSION_KEY)).scalar()
    if found is None or not found.isdigit():
        raise failure("not_a_journal", f"{where} has no journal version in it: name another one for the journal.")
    if int(found) > SCHEMA_VERSION:
        raise failure(
            "newer_schema",
            f"{where} was written by a newer version of this program (journal version {found}, this one knows"
            f" {SCHEMA_VERSION}): update this program, or name another one for the journal.",
        )
    return int(found)
