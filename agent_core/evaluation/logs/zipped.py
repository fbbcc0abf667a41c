"""The records of a ZIP file: what stands before each member and, once more, in the directory at the end.

The rule here: bytes in, bytes out. A member's header says its sizes, so that a file that lost its directory can be read
from its beginning. Source: PKWARE's APPNOTE.TXT, sections 4.3 (records), 4.4 (fields) and 4.5.3 (64-bit sizes).
"""

import struct
import zlib
from typing import NamedTuple

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
DEFLATED, STORED, ZSTANDARD = 8, 0, 93

_LOCAL_FIELDS = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_FIELDS = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_FIELDS = struct.Struct("<4sHHHHIIH")
_END64_FIELDS = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_FIELDS = struct.Struct("<4sIQI")
_EXTRA = struct.Struct("<HH")
LOCAL_SIZE, CENTRAL_SIZE, END_SIZE = _LOCAL_FIELDS.size, _CENTRAL_FIELDS.size, _END_FIELDS.size
LONGEST_END = END_SIZE + _END64_FIELDS.size + _LOCATOR_FIELDS.size
# Where an end record may begin, from the end of the file: a comment may follow it.
END_SEARCH = END_SIZE + 0xFFFF

_LIMIT32, _LIMIT16 = 0xFFFFFFFF, 0xFFFF
_UTF8_NAME, _DESCRIPTOR = 0x0800, 0x0008
_DATE = 0x21  # the first of January 1980: nobody asks a member for its date
_EXTRA64 = 1
_READABLE = 0o100644 << 16


class Compressed(NamedTuple):
    """A member as it is written: `data` is a raw DEFLATE stream (no header) of `size` bytes whose CRC-32 is `crc`."""

    name: str
    data: bytes
    crc: int
    size: int


class Entry(NamedTuple):
    """A member in a file: `packed` bytes of data, `size` when unpacked; its header begins at `offset`."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def header_size(self) -> int:
        """Bytes of the header that `local_header` writes."""
        return LOCAL_SIZE + len(self.name.encode()) + (20 if self._is_big else 0)

    @property
    def _is_big(self) -> bool:
        return self.packed >= _LIMIT32 or self.size >= _LIMIT32


class Directory(NamedTuple):
    """Where a file's directory is, as its end record says: `size` bytes at `offset`, of so many `entries`."""

    entries: int
    size: int
    offset: int


def compress(name: str, data: bytes, level: int = 1) -> Compressed:
    """The member `name` with this content. Level 1 takes a third of the time of 6 for a few percent more bytes."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return Compressed(name, packer.compress(data) + packer.flush(), zlib.crc32(data), len(data))


def local_header(entry: Entry) -> bytes:
    """What stands before the member's data."""
    name = entry.name.encode()
    packed, size, extra = entry.packed, entry.size, b""
    if packed >= _LIMIT32 or size >= _LIMIT32:
        extra = _EXTRA.pack(_EXTRA64, 16) + struct.pack("<QQ", size, packed)
        packed = size = _LIMIT32
    needs = 45 if extra else 20
    fields = (LOCAL, needs, _UTF8_NAME, entry.method, 0, _DATE, entry.crc, packed, size, len(name), len(extra))
    return _LOCAL_FIELDS.pack(*fields) + name + extra


def central_record(entry: Entry) -> bytes:
    """What the directory says of the member."""
    name = entry.name.encode()
    values = [entry.size, entry.packed, entry.offset]
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= _LIMIT32)
    extra = _EXTRA.pack(_EXTRA64, len(wide)) + wide if wide else b""
    size, packed, offset = (min(value, _LIMIT32) for value in values)
    needs = 45 if extra else 20
    made = 3 << 8 | needs  # on a Unix, whose permissions follow
    fields = (CENTRAL, made, needs, _UTF8_NAME, entry.method, 0, _DATE, entry.crc, packed, size)
    lengths = (len(name), len(extra), 0, 0, 0, _READABLE, offset)
    return _CENTRAL_FIELDS.pack(*fields, *lengths) + name + extra


def end_record(directory: Directory) -> bytes:
    """What ends the file, behind its directory."""
    count, size, offset = directory
    wide = b""
    if count >= _LIMIT16 or size >= _LIMIT32 or offset >= _LIMIT32:
        wide = _END64_FIELDS.pack(_END64, _END64_FIELDS.size - 12, 45, 45, 0, 0, count, count, size, offset)
        wide += _LOCATOR_FIELDS.pack(_LOCATOR64, 0, offset + size, 1)
    few = min(count, _LIMIT16)
    return wide + _END_FIELDS.pack(_END, 0, 0, few, few, min(size, _LIMIT32), min(offset, _LIMIT32), 0)


def find_directory(tail: bytes) -> Directory | None:
    """What the last end record in the end of a file says; `tail` begins so that all of END_SEARCH is in it."""
    # The fields of the record may spell its signature, so the place where it is without a comment comes first.
    at = len(tail) - END_SIZE
    if at < 0 or tail[at : at + 4] != _END or tail[-2:] != b"\0\0":
        at = tail.rfind(_END)
    if at < 0 or at + END_SIZE > len(tail):
        return None
    _, _, _, _, count, size, offset, _ = _END_FIELDS.unpack_from(tail, at)
    if count == _LIMIT16 or _LIMIT32 in {size, offset}:
        at64 = at - _LOCATOR_FIELDS.size - _END64_FIELDS.size
        if at64 >= 0 and tail[at64 : at64 + 4] == _END64:
            *_, count, size, offset = _END64_FIELDS.unpack_from(tail, at64)
    return Directory(count, size, offset)


def read_central(record: bytes, at: int) -> tuple[Entry, int] | None:
    """The member that the directory tells of at this place, and where the next one begins; None if there is none."""
    if len(record) < at + CENTRAL_SIZE or record[at : at + 4] != CENTRAL:
        return None
    fields = _CENTRAL_FIELDS.unpack_from(record, at)
    method, crc, packed, size = fields[4], *fields[7:10]
    name_size, extra_size, comment_size, offset = *fields[10:13], fields[16]
    name_at = at + CENTRAL_SIZE
    extra_at = name_at + name_size
    following = extra_at + extra_size + comment_size
    if len(record) < following:
        return None
    size, packed, offset = _widened([size, packed, offset], record[extra_at : extra_at + extra_size])
    name = record[name_at:extra_at].decode("utf-8", "replace")
    return Entry(name, method, crc, packed, size, offset), following


def read_local(header: bytes, offset: int) -> tuple[Entry, int] | None:
    """The member whose header stands at `offset`, and where its data begins.

    None if that is no header, or one that leaves its sizes to be told behind the data.
    """
    if len(header) < LOCAL_SIZE or header[:4] != LOCAL:
        return None
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL_FIELDS.unpack_from(header)
    data_at = LOCAL_SIZE + name_size + extra_size
    if flags & _DESCRIPTOR or len(header) < data_at:
        return None
    name = header[LOCAL_SIZE : LOCAL_SIZE + name_size].decode("utf-8", "replace")
    size, packed = _widened([size, packed], header[LOCAL_SIZE + name_size : data_at])
    return Entry(name, method, crc, packed, size, offset), offset + data_at


def data_offset(header: bytes, offset: int) -> int:
    """Where the data of the member begins whose header, or its first LOCAL_SIZE bytes, stands at `offset`.

    Raises ValueError if that is no header.
    """
    if len(header) < LOCAL_SIZE or header[:4] != LOCAL:
        raise ValueError("no member stands where the directory says")
    name_size, extra_size = _LOCAL_FIELDS.unpack_from(header)[9:]
    return offset + LOCAL_SIZE + name_size + extra_size


def _widened(values: list[int], extra: bytes) -> list[int]:
    """The values, those that 32 bits do not hold taken from the extra field in their order."""
    at = 0
    while at + _EXTRA.size <= len(extra) and _LIMIT32 in values:
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _EXTRA64:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at) // 8}Q", extra, at))
            return [next(wide, value) if value == _LIMIT32 else value for value in values]
        at += length
    return values
