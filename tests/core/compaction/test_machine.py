"""Compaction under any order of events: what must always hold, holds after every step."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings

from agent_core import compacting, compaction_jobs
from agent_core.compaction import cutting
from agent_core.compaction.planning import Range
from agent_core.compaction_jobs import CompactionJobs, Underway
from agent_core.messages import Message
from agent_core.overlays import Dropped, Summary
from agent_core.ports import Patch
from agent_core.scripted import WireError
from agent_core.view import View
from tests.core.compaction.machine import CompactionMachine
from tests.core.compaction.tour import whole_tour

TestCompactionMachine = CompactionMachine.TestCase
TestCompactionMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


Sabotage = Callable[[pytest.MonkeyPatch], None]


def _compares_nothing_before_it_swaps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CompactionJobs, "_stands", lambda self, job, digest: True)


def _drains_the_history_before_it_has_a_summary(patch: pytest.MonkeyPatch) -> None:
    start = CompactionJobs.start

    def draining(self: CompactionJobs, settings: Any, found: Range, *rest: Any) -> str:
        drained = Dropped(message_ids=tuple(message.id for message in found.messages))
        self._conversation.view.lay((drained,), self._conversation.messages)
        return start(self, settings, found, *rest)

    patch.setattr(CompactionJobs, "start", draining)


def _replaces_the_whole_history(patch: pytest.MonkeyPatch) -> None:
    summarise = View._summarise

    def replacing(self: View, summary: Summary, messages: Sequence[Message]) -> None:
        summarise(self, summary.model_copy(update={"through": messages[-1].id}), messages)

    patch.setattr(View, "_summarise", replacing)


def _cuts_between_calls_and_results(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cutting, "safe_cuts", lambda shown, first=0: list(range(first + 1, len(shown))))


def _runs_two_jobs_at_once(patch: pytest.MonkeyPatch) -> None:
    go_on = compacting.Compacting.go_on

    def starting_another(self: compacting.Compacting) -> None:
        go_on(self)
        held, settings = self._jobs.current, self._settings
        if held is not None and settings is not None:
            self._start(settings)
            self._jobs.current = held

    patch.setattr(compacting.Compacting, "go_on", starting_another)


def _takes_summaries_that_are_longer_than_what_they_cover(patch: pytest.MonkeyPatch) -> None:
    def always(self: CompactionJobs, job: Underway, given: Patch) -> int:
        del self, job, given
        return 1

    patch.setattr(CompactionJobs, "_shown_after", always)
    patch.setattr(compaction_jobs, "most_after", lambda settings, window: 1_000_000)


def _forgets_what_is_pinned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "_carried", lambda self, messages: [])


def _waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compacting.Compacting, "on_timer", lambda self, timer: None)


def _puts_summaries_in_place_under_thinking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compacting.Compacting, "_may_splice", True)


@pytest.mark.parametrize(
    "sabotage",
    [
        _compares_nothing_before_it_swaps,
        _drains_the_history_before_it_has_a_summary,
        _replaces_the_whole_history,
        _cuts_between_calls_and_results,
        _runs_two_jobs_at_once,
        _takes_summaries_that_are_longer_than_what_they_cover,
        _forgets_what_is_pinned,
        _waits_for_ever,
        _puts_summaries_in_place_under_thinking,
    ],
)
def test_compaction_that_is_broken_on_purpose_is_noticed(sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage(monkeypatch)
    with pytest.raises((AssertionError, WireError)):
        whole_tour()


def test_compaction_that_is_whole_passes_the_same_tour() -> None:
    whole_tour()
