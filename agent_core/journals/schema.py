"""The tables of the journal and the version of their shape.

The rule here: the tables say the same to every database behind SQLAlchemy. A database with a newer version, or with
other tables than these, is left alone and refused.

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

SCHEMA_VERSION = 1

METADATA = MetaData()

META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

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


def prepare(connection: Connection, where: str) -> None:
    """Make the tables in an empty database, or check those that are there. Runs inside a write transaction.

    Raises JournalError of kind `newer_schema` or `not_a_journal`; `where` names the database in its text.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        METADATA.create_all(connection, checkfirst=False)
        connection.execute(insert(META), {"key": "schema", "value": str(SCHEMA_VERSION)})
        return
    if not tables >= set(METADATA.tables):
        raise failure("not_a_journal", f"{where} is another program's database: name another path for the journal.")
    found = connection.execute(select(META.c.value).where(META.c.key == "schema")).scalar()
    if found is None or not found.isdigit():
        raise failure("not_a_journal", f"{where} has no journal version in it: name another path for the journal.")
    if int(found) > SCHEMA_VERSION:
        raise failure(
            "newer_schema",
            f"{where} was written by a newer version of this program (journal version {found}, this one knows"
            f" {SCHEMA_VERSION}): update this program, or name another path for the journal.",
        )
