"""Where the code of tools that no module holds is kept.

The rule here: bytes are stored once, under the hash of their content, so that storing them again changes nothing.
"""

import hashlib
from typing import Protocol


def hash_of(data: bytes) -> str:
    """The name of some bytes: their SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class BlobStore(Protocol):
    """Bytes by their hash."""

    async def put(self, data: bytes) -> str:
        """Store the bytes and return `hash_of` them."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The bytes with this hash, None if they were never stored."""
        ...


class InMemoryBlobs:
    """A store that lives as long as its process."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    async def put(self, data: bytes) -> str:
        key = hash_of(data)
        self._data[key] = data
        return key

    async def get(self, key: str) -> bytes | None:
        return self._data.get(key)
