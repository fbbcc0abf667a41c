"""Any order of claims, appends, repeats, old epochs, gaps and reopenings, against the simplest model of a journal."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent_core.errors import Fenced, SequenceGap
from agent_core.journals.memory import MemoryJournal
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.ports import Append, Journal, Record
from tests.core.journals.making import said, told

SESSIONS = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["x", "y", ""])


class JournalModel(RuleBasedStateMachine):
    """`logs` holds (epoch, text) of each record, `epochs` the last claim of each session."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.logs: dict[str, list[tuple[int, str]]] = {}
        self.epochs: dict[str, int] = {}

    def start(self) -> list[Journal]:
        """The journals that share one content; operations are spread over them."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.journals = self.start()

    def run(self, action: Any) -> Any:
        return self.runner.run(action)

    def journal(self, which: int) -> Journal:
        return self.journals[which % len(self.journals)]

    @rule(session=SESSIONS, which=st.integers(0, 1))
    def claim(self, session: str, which: int) -> None:
        claim = self.run(self.journal(which).claim(SessionId(session), "owner"))
        self.epochs[session] = self.epochs.get(session, 0) + 1
        assert claim.epoch == self.epochs[session]
        assert [(record.epoch, record.entry) for record in claim.records] == [
            (epoch, said(text)) for epoch, text in self.logs.get(session, [])
        ]

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
    def start(self) -> list[Journal]:
        return [MemoryJournal()]


class SqliteModel(JournalModel):
    """Two journals on one file, and now and then one of them is opened anew."""

    journals: list[Any]

    def start(self) -> list[Journal]:
        self.directory = tempfile.TemporaryDirectory(prefix="journal-")
        return [self.open(), self.open()]

    def open(self) -> SqliteJournal:
        return SqliteJournal(Path(self.directory.name, "journal.sqlite"))

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.run(self.journals[which].close())
        self.journals[which] = self.open()

    def teardown(self) -> None:
        for journal in self.journals:
            self.run(journal.close())
        super().teardown()
        self.directory.cleanup()


TestMemoryModel = MemoryModel.TestCase
TestMemoryModel.settings = settings(max_examples=60, stateful_step_count=30)
TestSqliteModel = SqliteModel.TestCase
TestSqliteModel.settings = settings(max_examples=15, stateful_step_count=25)
