"""A ZIP file that grows: whole for its readers at every moment, whole again after every crash."""

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.logs import members
from agent_core.evaluation.logs.archive import PAGE, Archive
from agent_core.evaluation.logs.zipped import (
    DEFLATED,
    Directory,
    Entry,
    central_record,
    compress,
    end_record,
    local_header,
)

ROOM = 40_000


def contents(path: Path) -> dict[str, bytes]:
    """What any reader finds, checksums checked."""
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def shown(path: Path) -> dict[str, bytes]:
    """What a reader finds that takes places as they are told, as Inspect does, where `zipfile` looks for a shift."""
    with path.open("rb") as file:
        return {entry.name: members.content(file, entry) for entry in members.entries(file)}


def recovered(path: Path) -> dict[str, bytes]:
    """What a writer finds that goes on with the file."""
    with Archive(path, room=ROOM) as archive:
        return {name: archive.read(name) for name, _ in archive.names()}


class Step(NamedTuple):
    """One change of a file: bytes at a place, or, without bytes, the cut at a length."""

    data: bytes | None
    at: int


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every change that is made to a file from here on, in order."""
    made: list[Step] = []
    write, cut = os.pwrite, os.ftruncate

    def recorded_write(descriptor: int, data: bytes, at: int) -> int:
        made.append(Step(bytes(data), at))
        return write(descriptor, data, at)

    def recorded_cut(descriptor: int, length: int) -> None:
        made.append(Step(None, length))
        cut(descriptor, length)

    monkeypatch.setattr(os, "pwrite", recorded_write)
    monkeypatch.setattr(os, "ftruncate", recorded_cut)
    return made


def played(file: bytearray, step: Step, *, part: int | None = None) -> bytearray:
    """The file after one more step, or after a part of its bytes."""
    if step.data is None:
        return file[: step.at] + bytes(max(0, step.at - len(file)))
    data = step.data[:part]
    return file[: step.at] + bytes(max(0, step.at - len(file))) + data + file[step.at + len(data) :]


def tears(step: Step) -> Iterator[int]:
    """How many bytes of a step may be there when a process is killed: a page is written whole or not at all."""
    yield 0
    length = len(step.data or b"")
    yield from range(-step.at % PAGE or PAGE, length, PAGE)


def test_a_kill_at_any_moment_leaves_what_was_published_to_readers_and_what_was_added_to_the_next_writer(
    tmp_path: Path, steps: list[Step]
) -> None:
    added: list[tuple[int, str, bytes]] = []
    published: list[tuple[int, dict[str, bytes]]] = []
    with Archive(tmp_path / "log", room=ROOM) as archive:
        for number in range(12):
            name, data = f"samples/{number}.json", os.urandom(1_500 * (number + 1))
            archive.append(compress(name, data))
            added.append((len(steps), name, data))
            if number % 3 == 2:
                archive.publish()
                published.append((len(steps), {name: data for _, name, data in added}))
    copy, file = tmp_path / "copy", bytearray()
    for number, step in enumerate(tuple(steps)):
        for part in tears(step):
            copy.write_bytes(file if part == 0 else played(file, step, part=part))
            there = {name: data for at, name, data in added if at <= number}
            if earlier := [found for at, found in published if at <= number]:
                assert shown(copy).items() >= earlier[-1].items()
            found = recovered(copy)
            assert found.items() >= there.items()
            assert not found or contents(copy) == found
        file = played(file, step)
    assert len(steps) > 40


def test_a_full_disk_loses_only_what_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, left = tmp_path / "log", os.pwrite, 60_000

    def filling(descriptor: int, data: bytes, at: int) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, bytes(data)[:left], at)
        left -= written
        return written

    monkeypatch.setattr(os, "pwrite", filling)
    expected: dict[str, bytes] = {}
    with Archive(path, room=ROOM) as archive:
        while left:
            with suppress(OSError):
                name, data = str(len(expected)), os.urandom(1_000)
                archive.append(compress(name, data))
                expected[name] = data
                archive.publish()
        assert shown(path).items() >= dict(list(expected.items())[:-1]).items()
        left = 10**6
        archive.append(compress("more", b"more"))
        archive.publish()
    assert len(expected) > 5
    assert contents(path) == recovered(path) == expected | {"more": b"more"}


def test_a_file_that_lost_its_end_keeps_every_member_before_the_tear(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Archive(path) as archive:
        for number in range(5):
            archive.append(compress(f"{number}", os.urandom(300)))
        archive.publish()
    whole = path.read_bytes()
    each = whole.index(b"PK\x03\x04", 1)
    for length in (len(whole) - 1, 4 * each, 3 * each - 1, each, each - 1, 10, 1):
        path.write_bytes(whole[:length])
        found = recovered(path)
        assert list(found) == [str(number) for number in range(min(5, length // each))]
        with Archive(path) as archive:
            archive.append(compress("more", b"more"))
            archive.publish()
        assert contents(path) == found | {"more": b"more"}


def test_a_member_with_a_byte_that_changed_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Archive(path) as archive:
        archive.append(compress("a", b"first" * 100))
        archive.append(compress("b", b"second" * 100))
    spoilt = bytearray(path.read_bytes())
    spoilt[-3] ^= 1
    path.write_bytes(spoilt)
    assert list(recovered(path)) == ["a"]


def test_a_member_of_the_same_name_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Archive(path) as archive:
        for content in (b"one", b"two"):
            archive.append(compress("a", content))
            archive.publish()
        archive.append(compress("a", b"three"))
    assert recovered(path) == {"a": b"three"} == contents(path)


def test_members_past_4_gigabytes_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Archive(path) as archive:
        archive.append(compress("first", b"first"))
        # A hole takes no room on the disk.
        archive._end = 5 * 1024**3
        archive.append(compress("last", b"last"))
        archive.publish()
    assert contents(path) == recovered(path) == {"first": b"first", "last": b"last"}


def test_more_members_than_16_bits_count_are_found(tmp_path: Path) -> None:
    member, count = compress("0", b"x"), 66_000
    entries = [Entry(str(number), DEFLATED, member.crc, len(member.data), 1, 0) for number in range(count)]
    first, records = local_header(entries[0]) + member.data, b"".join(map(central_record, entries))
    path = tmp_path / "log"
    path.write_bytes(first + records + end_record(Directory(count, len(records), len(first))))
    with zipfile.ZipFile(path) as file:
        assert (len(file.namelist()), file.read("0")) == (count, b"x")
    with path.open("rb") as file:
        assert list(members.entries(file)) == entries


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with Archive(tmp_path / "log"), pytest.raises(ConfigError, match="written by another run"):
        Archive(tmp_path / "log")


def test_a_file_that_is_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('{"id":"q1"}\n')
    with pytest.raises(ConfigError, match="is no log"):
        Archive(path)
    assert path.read_text() == '{"id":"q1"}\n'
