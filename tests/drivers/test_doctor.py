"""`python -m drivers.doctor` as a user runs it: what it finds, what it says to do, and that it changes nothing."""

import asyncio
import importlib.metadata
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.examining_node import NodeFacts
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.sqlite import SqliteJournal
from agent_core.scripted import Fault, Knobs
from agent_core.scripted.server import ScriptedServer
from drivers import doctor, errors
from drivers.doctoring import keys, machine
from drivers.doctoring.checks import Check, make
from drivers.doctoring.findings import Finding, Mark, ok
from drivers.doctoring.subject import Subject
from drivers.options import ModelOptions, PlaceOptions
from tests.core.journals.test_sqlite_reader import write
from tests.postgres import PASSWORD, USER, PostgresCluster, free_port

MODEL = ("--model", "anthropic/claude-sonnet-5-5")
KEY = "a-key-that-nobody-may-see"


@dataclass
class Doctor:
    """Runs the program in this process, without a cluster unless the arguments say otherwise."""

    data: Path
    capfd: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Its exit code and what it printed; nothing but that is on the screen."""
        where = () if "--journal" in arguments or "--data-dir" in arguments else ("--data-dir", str(self.data))
        code = errors.run(doctor.app, program=doctor.PROGRAM, arguments=["--in-process", *where, *arguments])
        out, err = self.capfd.readouterr()
        assert (err, KEY in out) == ("", False)
        return code, out

    def found(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Its findings by `area name`; the exit code is that of a problem if there is one."""
        code, out = self.run("--json", *arguments)
        told = json.loads(out)
        assert code == min(1, told["problems"])
        checks = {f"{check['area']} {check['name']}": check for check in told["checks"]}
        for check in checks.values():
            assert bool(check["mend"]) or check["mark"] in ("ok", "not checked"), check
        return checks


@pytest.fixture
def patient(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(tmp_path / "data", capfd)


@pytest.fixture
async def journal(patient: Doctor) -> Path:
    """A journal with one session, which nobody has open."""
    path = patient.data / JOURNAL_FILE
    async with SqliteJournal(path) as journal:
        await write(journal)
    return path


def files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


# --- as a program -----------------------------------------------------------------------------------------------------


def test_without_anything_it_says_what_it_looked_at_within_eighty_columns(patient: Doctor) -> None:
    code, out = patient.run()
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and line[0] != " "][:-1] == [
        *("program", "models", "machine", "journal", "cluster", "nodes")
    ]
    assert "0 problems" in lines[-1]
    assert "--in-process: no cluster is used" in out
    assert "none yet in" in out
    assert not patient.data.exists()


def test_what_was_asked_for_wrongly_ends_with_two(patient: Doctor, capfd: pytest.CaptureFixture[str]) -> None:
    for words, told in {
        ("--nonsense",): "--nonsense",
        ("--in-process", "--address", "auto"): "exclude each other",
        ("--journal", "mysql://somewhere/x"): "not the address of a PostgreSQL database",
        ("--journal", "postgresql://me:secret@host/x"): "a password in it is refused",
        ("--model", "nobody"): "provider/name",
        ("--address", "ray://head:10001"): "Ray Client address",
    }.items():
        code = errors.run(doctor.app, program=doctor.PROGRAM, arguments=words)
        out, err = capfd.readouterr()
        assert (code, out, told in err) == (2, "", True), (words, err)


async def test_a_check_that_breaks_or_hangs_ends_no_other() -> None:
    async def breaks(_: Subject) -> Finding:
        raise ZeroDivisionError("a\nb")

    async def hangs(_: Subject) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def denied(_: Subject) -> Finding:
        raise PermissionError(13, "Permission denied", "somewhere")

    async def works(_: Subject) -> Finding:
        return ok("fine")

    subject = Subject(ModelOptions(), PlaceOptions(), asks_model=False)
    checks = [Check("a", str(number), look, 0.05) for number, look in enumerate((breaks, hangs, denied, works))]
    results = [result async for result in make(checks, subject)]
    assert [(str(result.finding.mark), result.finding.text) for result in results] == [
        ("not checked", "it failed itself (ZeroDivisionError: a)"),
        ("problem", "it did not answer within 0 s"),
        ("problem", "somewhere: Permission denied"),
        ("ok", "fine"),
    ]


def test_what_a_node_runs_for_it_needs_nothing_of_this_project(tmp_path: Path) -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[2])
import ray.cloudpickle as pickling
from actors import examining_node
pickling.register_pickle_by_value(examining_node)
sys.stdout.buffer.write(pickling.dumps(examining_node.node_facts))
"""
    there = """
import json, pickle, sys
facts = pickle.load(sys.stdin.buffer)
assert not any(name.split(".")[0] in ("actors", "agent_core", "drivers") for name in sys.modules)
print(json.dumps(facts(["ray", "no-such-package"], ["HOME", "NO_SUCH_VARIABLE"])))
"""
    root = str(Path(doctor.__file__).parent.parent)
    pickled = subprocess.run(
        [sys.executable, "-c", code, "", root], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    answered = subprocess.run(
        [sys.executable, "-c", there], cwd=tmp_path, input=pickled, capture_output=True, check=True
    )
    facts = NodeFacts(**json.loads(answered.stdout))
    assert facts.packages == {"ray": importlib.metadata.version("ray"), "no-such-package": None}
    assert facts.variables == {"HOME": True, "NO_SUCH_VARIABLE": False}
    assert min(facts.memory, facts.disk_free, facts.files) > 0


# --- keys and models --------------------------------------------------------------------------------------------------


def test_a_key_is_named_and_never_shown(patient: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert patient.found()["models keys"]["mark"] == "warning"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = patient.found()
    assert found["models keys"]["text"] == "$OPENAI_API_KEY is set; $ANTHROPIC_API_KEY not"
    assert found["models chosen"]["text"].startswith("openai/")
    assert found["models answer"]["mark"] == "not checked"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nx")
    assert patient.found()["models keys"]["mark"] == "problem"


def test_a_key_that_the_model_needs_and_has_not_is_a_problem(patient: Doctor) -> None:
    found = patient.found(*MODEL)
    assert found["models chosen"]["mark"] == "problem"
    assert "$ANTHROPIC_API_KEY is not set" in found["models chosen"]["text"]
    assert found["models answer"]["mark"] == "problem"


async def test_a_model_that_is_named_is_asked_one_tiny_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    async with ScriptedServer() as server:
        model = ModelOptions(model="anthropic/claude-sonnet-5-5", base_url=server.url)
        subject = Subject(model, PlaceOptions(in_process=True), asks_model=True)
        finding = await keys.answer(subject)
        assert (finding.mark, finding.mend) == (Mark.OK, "")
        assert "tokens in" in finding.text
        assert len(server.requests) == 1
        server.knobs = Knobs(faults={"rate_limited": Fault(every=1)})
        finding = await keys.answer(subject)
        assert len(server.requests) == 2
    assert finding.mark is Mark.PROBLEM
    assert finding.mend.startswith("Wait, or raise the limit")
    finding = await keys.answer(subject)
    assert (finding.mark, finding.mend) == (Mark.PROBLEM, "Check the network, a proxy, and --base-url.")


# --- the journal ------------------------------------------------------------------------------------------------------


def test_a_sound_journal_is_left_as_it_was(patient: Doctor, journal: Path) -> None:
    before = files(patient.data)
    found = patient.found()
    assert {found[f"journal {name}"]["mark"] for name in ("file", "integrity", "size", "disk", "holders")} == {"ok"}
    assert "1 session," in found["journal file"]["text"]
    assert found["journal holders"]["text"] == "nobody has it open"
    assert files(patient.data) == before


def test_a_program_that_keeps_the_write_lock_is_named(patient: Doctor, journal: Path) -> None:
    other = sqlite3.connect(journal, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = patient.found()["journal holders"]
    other.close()
    assert found["mark"] == "warning"
    assert f"(pid {os.getpid()}) holds the write lock" in found["text"]


def test_a_journal_that_is_locked_for_everybody_is_a_problem(patient: Doctor, journal: Path) -> None:
    other = sqlite3.connect(journal, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    found = patient.found()["journal file"]
    other.close()
    assert found["mark"] == "problem"
    assert "end that program" in found["mend"].lower()


def test_a_truncated_journal_is_a_problem_with_the_way_out(patient: Doctor, journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:5000])
    found = patient.found()
    assert found["journal integrity"]["mark"] == "problem"
    assert "backup" in found["journal integrity"]["mend"]


def test_a_journal_of_a_newer_version_is_refused_in_words(patient: Doctor, journal: Path) -> None:
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    connection.close()
    found = patient.found()["journal file"]
    assert found["mark"] == "problem"
    assert "newer version" in found["text"]


def test_a_disk_without_room_is_a_problem(patient: Doctor, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(patient.data)
    full = os.statvfs_result((real.f_bsize, real.f_frsize, real.f_blocks, 10, 10, *tuple(real)[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    found = patient.found()
    assert found["machine data disk"]["mark"] == found["machine Ray's disk"]["mark"] == "problem"
    assert "--data-dir" in found["machine data disk"]["mend"]


def test_a_home_that_cannot_be_written_to_is_a_problem(patient: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    found = patient.found()
    assert "cannot be written to" in found["machine data disk"]["text"]


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_another_program_has_is_a_warning(
    patient: Doctor, monkeypatch: pytest.MonkeyPatch, listening: int
) -> None:
    monkeypatch.setattr(machine, "PORTS", {listening: "the head"})
    found = patient.found()["machine ports"]
    assert found["mark"] == "warning"
    assert f"(pid {os.getpid()})" in found["text"]
    monkeypatch.setattr(machine, "PORTS", {free_port(): "the head"})
    assert patient.found()["machine ports"]["mark"] == "ok"


def test_a_database_is_examined_in_place_of_a_file(
    patient: Doctor, postgres: PostgresCluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = patient.found("--journal", postgres.owner_dsn(database))
    assert not any(name.startswith("journal ") for name in found)
    assert found["database server"]["text"].startswith("PostgreSQL ")
    assert found["database schema"]["text"].startswith("no journal yet")
    assert found["database durability"]["mark"] == "warning"
    assert found["database connections"]["mark"] == "ok"
    monkeypatch.setenv("PGPASSWORD", f"not-{PASSWORD}")
    refused = patient.found("--journal", postgres.dsn(database))
    assert refused["database server"]["mark"] == "problem"
    assert "password" in refused["database server"]["mend"]
    assert refused["database schema"]["mark"] == "not checked"
    away = patient.found("--journal", f"postgresql://{USER}@127.0.0.1:{free_port()}/x")
    assert away["database server"]["mark"] == "problem"
