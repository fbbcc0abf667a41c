"""A journal as a place for pickled tools: the `BlobStore` port of `agent_core.tools`.

The rule here: blobs live as long as the sessions that may need them, so they are kept beside them.
"""

from typing import Protocol

from agent_core.ports import Journal


class BlobKeeper(Protocol):
    """The part of a journal that keeps blobs."""

    async def put_blob(self, data: bytes) -> str: ...

    async def get_blob(self, digest: str) -> bytes | None: ...


class BlobJournal(Journal, BlobKeeper, Protocol):
    """A journal that keeps blobs as well, as every one here does."""


class JournalBlobs:
    """Implements `BlobStore` on a journal. Raises JournalError."""

    def __init__(self, journal: BlobKeeper) -> None:
        self._journal = journal

    async def put(self, data: bytes) -> str:
        """Keep the bytes and return their SHA-256 as hexadecimal digits."""
        return await self._journal.put_blob(data)

    async def get(self, key: str) -> bytes | None:
        """The bytes with this hash, or None."""
        return await self._journal.get_blob(key)
