"""The journal in memory keeps the contract."""

import pytest

from agent_core.journals.memory import MemoryJournal
from tests.core.journals.contract import JournalContract
from tests.core.journals.making import FullJournal


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> FullJournal:
        return MemoryJournal()
