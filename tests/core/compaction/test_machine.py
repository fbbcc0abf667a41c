"""Compaction under any order of events: what must always hold, holds after every step."""

from hypothesis import settings

from tests.core.compaction.machine import CompactionMachine

TestCompactionMachine = CompactionMachine.TestCase
TestCompactionMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
