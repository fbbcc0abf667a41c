"""Any order of claims, appends, repeats, old epochs, gaps and reopenings, against the simplest model of a journal."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agent_core.errors import Fenced, SequenceGap
from agent_core.journals.catalog import FullJournal
from agent_core.journals.memory import MemoryJournal
from agent_core.journals.postgres import PostgresJournal
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.ports import Append, Record, Snapshot
from tests.core.journals.making import said, told
from tests.postgres import PostgresCluster

SESSIONS = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["x", "y", ""])


class JournalModel(RuleBasedStateMachine):
    """`logs` holds (epoch, text) of each record, `epochs` the last claim of each session, `floor` of those deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.logs: dict[str, list[tuple[int, str]]] = {}
        self.epochs: dict[str, int] = {}
        self.snapshots: dict[str, int] = {}
        self.floor = 0

    def start(self) -> list[FullJournal]:
        """The journals that share one content; operations are spread over them."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.journals = self.start()

    def run(self, action: Any) -> Any:
        return self.runner.run(action)

    def journal(self, which: int) -> FullJournal:
        return self.journals[which % len(self.journals)]

    @rule(session=SESSIONS, which=st.integers(0, 1))
    def claim(self, session: str, which: int) -> None:
        claim = self.run(self.journal(which).claim(SessionId(session), "owner"))
        self.epochs[session] = self.epochs.get(session, self.floor) + 1
        assert claim.epoch == self.epochs[session]
        after = self.snapshots.get(session, 0)
        assert claim.snapshot == (Snapshot(after, f"{after}".encode()) if after else None)
        assert [(record.epoch, record.entry) for record in claim.records] == [
            (epoch, said(text)) for epoch, text in self.logs.get(session, [])[after:]
        ]

    @rule(session=SESSIONS, which=st.integers(0, 1))
    def delete(self, session: str, which: int) -> None:
        assert self.run(self.journal(which).delete(SessionId(session))) == (session in self.epochs)
        self.logs.pop(session, None)
        self.snapshots.pop(session, None)
        self.floor = max(self.floor, self.epochs.pop(session, 0))

    @rule(session=SESSIONS, which=st.integers(0, 1), seq=st.integers(0, 8), old=st.booleans())
    def save_snapshot(self, session: str, which: int, seq: int, old: bool) -> None:
        epoch = self.epochs.get(session, 1) - old
        saving = self.journal(which).save_snapshot(SessionId(session), epoch, Snapshot(seq, f"{seq}".encode()))
        if epoch != self.epochs.get(session):
            refusal: type[Exception] | None = Fenced
        else:
            refusal = None if 1 <= seq <= len(self.logs.get(session, [])) else SequenceGap
        if refusal is not None:
            with pytest.raises(refusal):
                self.run(saving)
            return
        self.run(saving)
        self.snapshots[session] = max(seq, self.snapshots.get(session, 0))

    @rule(session=SESSIONS, which=st.integers(0, 1), back=st.integers(-2, 3), texts=st.lists(TEXTS, max_size=3))
    def append(self, session: str, which: int, back: int, texts: list[str]) -> None:
        """One append that begins `back` records before the end (negative: beyond it)."""
        self.expect(which, [(session, self.epochs.get(session, 1), back, texts)])

    @rule(
        which=st.integers(0, 1),
        batch=st.lists(
            st.tuples(SESSIONS, st.integers(-1, 1), st.integers(-1, 2), st.lists(TEXTS, min_size=1, max_size=2)),
            max_size=6,
        ),
    )
    def append_many(self, which: int, batch: list[tuple[str, int, int, list[str]]]) -> None:
        """One call with appends of several sessions, some of them of other epochs."""
        self.expect(
            which, [(session, self.epochs.get(session, 1) + off, back, texts) for session, off, back, texts in batch]
        )

    @rule(session=SESSIONS, which=st.integers(0, 1), count=st.integers(1, 3))
    def repeat(self, session: str, which: int, count: int) -> None:
        """The last records once more, as an owner does that got no answer."""
        log = self.logs.get(session, [])
        self.expect(which, [(session, self.epochs.get(session, 1), count, [text for _, text in log[-count:]])])

    def expect(self, which: int, batch: list[tuple[str, int, int, list[str]]]) -> None:
        """Send the batch; each outcome, and what is there afterwards, are as the model says."""
        appends, expected = [], []
        for session, epoch, back, texts in batch:
            first = max(1, len(self.logs.get(session, [])) + 1 - back)
            records = [Record(first + place, epoch, 0.0, said(text)) for place, text in enumerate(texts)]
            appends.append(Append(SessionId(session), epoch, records))
            expected.append(self.judge(session, epoch, first, texts))
        outcomes = self.run(self.journal(which).append(appends))
        assert [type(outcome) if outcome else None for outcome in outcomes] == expected

    def judge(self, session: str, epoch: int, first: int, texts: list[str]) -> type[Exception] | None:
        """What the append should give; the model follows it."""
        if epoch != self.epochs.get(session):
            return Fenced
        log = self.logs.setdefault(session, [])
        if not texts:
            return None
        if first > len(log) + 1:
            return SequenceGap
        wanted = [(epoch, text) for text in texts]
        there = log[first - 1 : first - 1 + len(texts)]
        if there != wanted[: len(there)]:
            return SequenceGap
        log.extend(wanted[len(there) :])
        return None

    @invariant()
    def journal_holds_what_the_model_holds(self) -> None:
        for session in self.epochs:
            texts = [text for _, text in self.logs.get(session, [])]
            for journal in self.journals:
                assert self.run(told(journal, session)) == texts
                assert self.run(journal.exists(SessionId(session))) == bool(texts)

    def teardown(self) -> None:
        self.runner.close()


class MemoryModel(JournalModel):
    def start(self) -> list[FullJournal]:
        return [MemoryJournal()]


class SharedModel(JournalModel):
    """Two journals on one database, and now and then one of them is opened anew."""

    journals: list[Any]

    def start(self) -> list[FullJournal]:
        return [self.open(), self.open()]

    def open(self) -> Any:
        """Another journal on the database of this example."""
        raise NotImplementedError

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.run(self.journals[which].close())
        self.journals[which] = self.open()

    def teardown(self) -> None:
        for journal in self.journals:
            self.run(journal.close())
        super().teardown()


class SqliteModel(SharedModel):
    def start(self) -> list[FullJournal]:
        self.directory = tempfile.TemporaryDirectory(prefix="journal-")
        return super().start()

    def open(self) -> SqliteJournal:
        return SqliteJournal(Path(self.directory.name, "journal.sqlite"))

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


def test_postgres_model(postgres: PostgresCluster) -> None:
    class PostgresModel(SharedModel):
        def start(self) -> list[FullJournal]:
            self.address = postgres.create_schema()
            return super().start()

        def open(self) -> PostgresJournal:
            return PostgresJournal(self.address)

    run_state_machine_as_test(PostgresModel, settings=settings(max_examples=8, stateful_step_count=20))


TestMemoryModel = MemoryModel.TestCase
TestMemoryModel.settings = settings(max_examples=60, stateful_step_count=30)
TestSqliteModel = SqliteModel.TestCase
TestSqliteModel.settings = settings(max_examples=15, stateful_step_count=25)
