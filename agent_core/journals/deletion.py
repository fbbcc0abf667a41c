"""Sessions taken out of the tables, with everything that only they needed. Synchronous; part of a transaction.

The rule here: a blob goes with the last entry that refers to it, tools' code not before `PUBLISH_GRACE`.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, String, cast, delete, func, insert, literal, select, update

from agent_core.journals.rules import PUBLISH_GRACE
from agent_core.journals.schema import (
    BLOBS,
    ENTRIES,
    EPOCH_FLOOR_KEY,
    LABELS,
    META,
    PUBLISHED,
    SESSIONS,
    SNAPSHOTS,
    USES,
)

_AT_ONCE = 400
# Of nobody else's locks in the same database: chosen at random.
_BLOB_LOCK = 7_311_264_901


def lock_blobs(connection: Connection, *, to_delete: bool) -> None:
    """Keep blobs from being deleted between two statements, or from being referred to anew while they are.

    SQLite has one writer at a time, who needs no such lock.
    """
    if connection.dialect.name == "postgresql":
        take = func.pg_advisory_xact_lock if to_delete else func.pg_advisory_xact_lock_shared
        connection.execute(select(cast(take(literal(_BLOB_LOCK)), String)))


def expired(connection: Connection, before: float, limit: int) -> list[tuple[str, int]]:
    """Sessions that were last written to before that time, with their epochs; locked, without those others hold."""
    query = (
        select(SESSIONS.c.id, SESSIONS.c.epoch)
        .where(SESSIONS.c.updated_at < before)
        .order_by(SESSIONS.c.updated_at, SESSIONS.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(name, epoch) for name, epoch in connection.execute(query)]


def delete_sessions(connection: Connection, ids: Sequence[str], now: float) -> None:
    """Delete all of these sessions, whose rows the caller has locked, and what nobody refers to any more."""
    lock_blobs(connection, to_delete=True)
    for start in range(0, len(ids), _AT_ONCE):
        part = list(ids[start : start + _AT_ONCE])
        bodies = select(ENTRIES.c.blob).distinct().where(ENTRIES.c.session.in_(part), ENTRIES.c.blob.is_not(None))
        digests = list(connection.execute(bodies).scalars())
        for table in (ENTRIES, SNAPSHOTS, LABELS, USES):
            connection.execute(delete(table).where(table.c.session.in_(part)))
        connection.execute(delete(SESSIONS).where(SESSIONS.c.id.in_(part)))
        published = select(PUBLISHED.c.hash).where(PUBLISHED.c.hash == BLOBS.c.hash)
        _drop_blobs(connection, [digest for digest in digests if digest], ~published.exists())
    _sweep(connection, now)


def _sweep(connection: Connection, now: float) -> None:
    """Drop the code of tools that no session uses."""
    used = select(USES.c.hash).where(USES.c.hash == PUBLISHED.c.hash)
    query = select(PUBLISHED.c.hash).where(PUBLISHED.c.at < now - PUBLISH_GRACE, ~used.exists())
    digests = list(connection.execute(query).scalars())
    for start in range(0, len(digests), _AT_ONCE):
        connection.execute(delete(PUBLISHED).where(PUBLISHED.c.hash.in_(digests[start : start + _AT_ONCE])))
    _drop_blobs(connection, digests)


def _drop_blobs(connection: Connection, digests: Sequence[str], *conditions: ColumnElement[bool]) -> None:
    """Drop those that are no entry's body."""
    referred = select(ENTRIES.c.blob).where(ENTRIES.c.blob == BLOBS.c.hash)
    for start in range(0, len(digests), _AT_ONCE):
        part = digests[start : start + _AT_ONCE]
        connection.execute(delete(BLOBS).where(BLOBS.c.hash.in_(part), ~referred.exists(), *conditions))


def read_floor(connection: Connection) -> int:
    """The epoch that no session's may be below which was not there before."""
    found = connection.execute(select(META.c.value).where(META.c.key == EPOCH_FLOOR_KEY)).scalar()
    return int(found) if found else 0


def raise_epochs(connection: Connection, step: int) -> tuple[int, int]:
    """Raise the epoch of every session, and the floor above all of them: how many sessions there are, and the floor."""
    raised = connection.execute(update(SESSIONS).values(epoch=SESSIONS.c.epoch + step)).rowcount
    highest = connection.execute(select(func.max(SESSIONS.c.epoch))).scalar() or 0
    return raised, raise_floor(connection, max(highest, read_floor(connection) + step))


def raise_floor(connection: Connection, epoch: int) -> int:
    """Have sessions that are made from now on begin above this epoch, and return where they do."""
    query = select(META.c.value).where(META.c.key == EPOCH_FLOOR_KEY).with_for_update()
    found = connection.execute(query).scalar()
    floor = max(epoch, int(found or 0))
    if found is None:
        connection.execute(insert(META), {"key": EPOCH_FLOOR_KEY, "value": str(floor)})
    elif floor > int(found):
        connection.execute(update(META).where(META.c.key == EPOCH_FLOOR_KEY).values(value=str(floor)))
    return floor
