"""Reading a ZIP file that may be large, old, being written, or torn: its members one at a time.

The rule here: nothing that a file says is believed before it fits: a place lies inside the file, a content has the
checksum that was promised. Members of a name that comes twice are all told; the last one counts.
"""

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from agent_core.errors import ConfigError
from agent_core.evaluation.logs import zipped
from agent_core.evaluation.logs.zipped import Directory, Entry

CHUNK = 1024 * 1024


def size_of(file: BinaryIO) -> int:
    """Bytes in the file."""
    return file.seek(0, os.SEEK_END)


def directory_of(file: BinaryIO) -> Directory | None:
    """Where the file's directory is; None if it has none, or it is not where the end says."""
    length = size_of(file)
    file.seek(max(0, length - zipped.END_SEARCH - zipped.LONGEST_END))
    found = zipped.find_directory(file.read())
    if found is None or found.offset + found.size > length:
        return None
    file.seek(found.offset)
    return found if not found.entries or file.read(4) == zipped.CENTRAL else None


def entries(file: BinaryIO) -> Iterator[Entry]:
    """The members that the directory names, in its order, read in pieces. Raises ConfigError if it is spoilt."""
    directory = directory_of(file)
    if directory is None:
        raise ConfigError("It is no whole ZIP file: its directory is missing.", kind="results")
    at, end, held = directory.offset, directory.offset + directory.size, b""
    told = 0
    while told < directory.entries:
        place = 0
        while told < directory.entries and (found := zipped.read_central(held, place)) is not None:
            entry, place = found
            told += 1
            yield entry
        file.seek(at)
        more = file.read(min(CHUNK, end - at))
        at += len(more)
        held = held[place:] + more
        if not more and told < directory.entries and zipped.read_central(held, 0) is None:
            raise ConfigError("It is no whole ZIP file: its directory breaks off.", kind="results")


def data_at(file: BinaryIO, entry: Entry) -> int:
    """Where the member's data begins. Raises ConfigError if no member is there."""
    file.seek(entry.offset)
    try:
        return zipped.data_offset(file.read(zipped.LOCAL_SIZE), entry.offset)
    except ValueError as error:
        raise ConfigError(f"Its member {entry.name} cannot be read: {error}.", kind="results") from None


def packed_chunks(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The member's data as it lies there. Raises ConfigError if the file ends before it does."""
    at, left = data_at(file, entry), entry.packed
    while left:
        file.seek(at)
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise ConfigError(f"Its member {entry.name} breaks off.", kind="results")
        at += len(chunk)
        left -= len(chunk)
        yield chunk


def content(file: BinaryIO, entry: Entry) -> bytes:
    """What the member holds, unpacked. Raises ConfigError if it is spoilt or packed in a way that is not known here."""
    packed = b"".join(packed_chunks(file, entry))
    try:
        match entry.method:
            case zipped.STORED:
                data = packed
            case zipped.DEFLATED:
                data = zlib.decompress(packed, -15)
            case zipped.ZSTANDARD:
                data = _unpack_zstandard(packed)
            case _:
                data = _unpack_unknown(entry.method)
    except (zlib.error, ValueError) as error:
        raise ConfigError(f"Its member {entry.name} cannot be unpacked: {error}.", kind="results") from None
    if zlib.crc32(data) != entry.crc:
        raise ConfigError(f"Its member {entry.name} is spoilt: its checksum differs.", kind="results")
    return data


def whole_members(file: BinaryIO, start: int) -> Iterator[Entry]:
    """The members that stand one behind another from `start` on, up to the first that is not whole."""
    length, at = size_of(file), start
    while True:
        file.seek(at)
        found = zipped.read_local(file.read(zipped.LOCAL_SIZE + 2 * 0xFFFF), at)
        if found is None:
            return
        entry, data = found
        if data + entry.packed > length:
            return
        try:
            content(file, entry)
        except ConfigError:
            return
        yield entry
        at = data + entry.packed


def _unpack_unknown(method: int) -> bytes:
    raise ValueError(f"its compression {method} is not known here")


def _unpack_zstandard(packed: bytes) -> bytes:
    """What Inspect packs with; the package comes with it."""
    try:
        import zstandard
    except ImportError:
        raise ConfigError(
            "It was written by Inspect, packed with Zstandard. To read it, install the extra: pip install"
            " 'rayconteur[inspect]'.",
            kind="results",
        ) from None
    try:
        # A log may hold several frames one behind another.
        return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).readall()
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
