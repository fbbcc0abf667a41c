"""Where a session belongs: pure functions that every process computes alike, so that nobody has to be asked.

The rule here: placement depends on names alone. Adding or losing an actor moves only the sessions that were or will be
its.
"""

import hashlib
import zlib
from collections.abc import Sequence

_LONGEST_NUMBER = 6


def rendezvous(key: str, names: Sequence[str]) -> str:
    """The one of `names` that `key` belongs to (highest random weight). Raises ValueError if there are none."""
    return max(names, key=lambda name: hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest())


def shard_of(key: str, shards: int) -> int:
    """The shard, from 0 to `shards` - 1, that is responsible for `key`."""
    return zlib.crc32(key.encode()) % shards


def home_of(session_id: str) -> int | None:
    """The number of the shared actor that the id asks for by its end, `@NUMBER`."""
    _, at, number = session_id.rpartition("@")
    return int(number) if at and number.isdecimal() and len(number) <= _LONGEST_NUMBER else None
