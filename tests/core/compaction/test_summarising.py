"""The summariser: its requests, chunks, the ladder when it is too long, retries, the deadline, what is no summary."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agent_core.compaction.prompt import MARKER, SECTIONS, SYSTEM_PROMPT
from agent_core.compaction.summarising import Summariser
from agent_core.config import SessionConfig
from agent_core.content import TextBlock, ToolResultBlock
from agent_core.errors import ConfigError, ProviderError
from agent_core.messages import Message, SessionId, Usage
from agent_core.ports import (
    CompactionFailure,
    CompactionJob,
    ModelEvent,
    ModelRequest,
    Patch,
    ResponseStarted,
    RetryScheduled,
    UsageUpdate,
)
from agent_core.simulation.loop import run
from agent_core.simulation.world import LoopClock
from agent_core.testing import FakeModel, Says
from agent_core.tokens import estimate_text
from tests.core.providers.making import assistant, user

SPENT = Usage(input_tokens=10, output_tokens=5)
GOOD = Says("## Goal\nbread")
OVERLOADED = ProviderError("Overloaded.", "overloaded")
TOO_LONG = Says(error=ProviderError("Too long.", "context_too_long"))


@dataclass
class SlowModel:
    """Takes `seconds` before it answers, and says what it has read when it begins."""

    seconds: float
    closed: list[float] = field(default_factory=list[float])

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield RetryScheduled(1, 0.5, OVERLOADED)
        yield ResponseStarted("m", "slow")
        yield UsageUpdate(Usage(input_tokens=7))
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.closed.append(asyncio.get_running_loop().time())
        for event in GOOD.events(1)[1:]:
            yield event


def job(*messages: Message, tokens: int = 500, seconds: float = 60.0, **fields: Any) -> CompactionJob:
    config = SessionConfig(
        model="openai/small", max_tokens=tokens, timeout=seconds, compaction=None, request_class="summary"
    )
    said = messages or (user("Bake bread."), assistant("Baked."))
    return CompactionJob("s/1.1", SessionId("s"), "1.1", config, said, "digest", **fields)


def summarised(
    model: Any, asked: CompactionJob, window: int = 100_000, limit_of: Callable[[SessionConfig], int] | None = None
) -> Patch | CompactionFailure:
    """What comes of a job, on a virtual clock."""
    return run(lambda: Summariser(model, LoopClock(), limit_of or (lambda _: window)).summarise(asked))


def failed(model: Any, asked: CompactionJob | None = None, window: int = 100_000) -> CompactionFailure:
    report = summarised(model, asked or job(), window)
    assert isinstance(report, CompactionFailure), report
    assert (report.key, report.shed) == ("s/1.1", False)
    return report


def text_of(request: ModelRequest) -> str:
    (message,) = request.messages
    (block,) = message.content
    assert isinstance(block, TextBlock)
    return block.text


def summary_of(number: int) -> Says:
    return Says(f"## Done\nsummary {number}")


# --- the request ----------------------------------------------------------------------------------------------------


def test_s19_a_job_becomes_one_request_and_its_summary_a_patch() -> None:
    model = FakeModel([GOOD])
    assert summarised(model, job()) == Patch("s/1.1", "digest", "## Goal\nbread", SPENT, 0.0)
    (request,) = model.requests
    assert (request.system, tuple(request.tools), request.max_tokens) == (SYSTEM_PROMPT, (), 500)
    assert (request.config.request_class, request.config.max_tokens, request.session_id) == ("summary", 500, "s")
    assert request.estimate == estimate_text(SYSTEM_PROMPT + text_of(request), "openai") + 500
    assert "<user>\nBake bread.\n</user>\n<assistant>\nBaked.\n</assistant>" in text_of(request)


def test_the_prompt_has_a_marker_every_section_and_a_length() -> None:
    model = FakeModel([GOOD])
    summarised(model, job(tokens=500))
    assert SYSTEM_PROMPT.startswith(MARKER)
    assert [line[3:].split(":")[0] for line in SYSTEM_PROMPT.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert text_of(model.requests[0]).endswith("Write the summary now, at most 250 words.")


def test_the_previous_summary_is_an_anchor_that_cannot_end_itself() -> None:
    model = FakeModel([GOOD])
    summarised(model, job(previous="## Goal\n</previous_summary> cake"))
    text = text_of(model.requests[0])
    assert text.startswith("<previous_summary>\n## Goal\n&lt;/previous_summary> cake\n</previous_summary>")
    assert "Write the updated summary now" in text


def test_s21_the_users_focus_is_passed_on_and_stays_within_its_tag() -> None:
    model = FakeModel([GOOD])
    summarised(model, job(focus="prices</focus>"))
    assert "<focus>\nprices&lt;/focus>\n</focus>" in text_of(model.requests[0])


def test_a_tag_that_a_summary_quotes_is_the_users_own_again() -> None:
    report = summarised(FakeModel([Says("Done: wrote &lt;user> and &lt;b>")]), job())
    assert isinstance(report, Patch)
    assert report.summary == "Done: wrote <user> and &lt;b>"


# --- too long -------------------------------------------------------------------------------------------------------


def many(count: int, size: int = 2_000) -> list[Message]:
    return [user(f"word{number}. " + "x" * size) for number in range(count)]


def words(texts: Sequence[str]) -> list[str]:
    return re.findall(r"word\d+", "".join(texts))


def test_what_is_too_long_is_summarised_chunk_by_chunk_each_with_the_summary_so_far() -> None:
    model = FakeModel([summary_of(number) for number in range(99)])
    report = summarised(model, job(*many(20), previous="## Done\nbefore"), window=4_000)
    texts = [text_of(request) for request in model.requests]
    assert isinstance(report, Patch)
    assert len(texts) > 2
    assert report.summary == f"## Done\nsummary {len(texts) - 1}"
    assert report.usage == Usage(input_tokens=10 * len(texts), output_tokens=5 * len(texts))
    assert words(texts) == [f"word{number}" for number in range(20)]
    before = [re.findall(r"<previous_summary>\n## Done\n(.*)\n", text) for text in texts]
    assert before == [["before"], *([f"summary {number}"] for number in range(len(texts) - 1))]
    assert ["goes on after this part" in text for text in texts] == [True] * (len(texts) - 1) + [False]


@pytest.mark.parametrize("window", [1_500, 4_000, 20_000])
def test_a_request_fits_in_the_window_with_its_answer(window: int) -> None:
    model = FakeModel([GOOD] * 99)
    summarised(model, job(*many(20), previous="x" * 9_000, focus="y" * 9_000, tokens=8_000), window)
    assert all(request.estimate <= window for request in model.requests)
    assert all(request.max_tokens <= window // 4 for request in model.requests)


def test_an_overflow_halves_the_room_and_shortens_results() -> None:
    results = [user(ToolResultBlock(tool_use_id="a", content="r" * 9_000)), *many(4)]
    model = FakeModel([TOO_LONG, TOO_LONG, *[GOOD] * 99])
    assert isinstance(summarised(model, job(*results)), Patch)
    assert [text_of(request).count("r" * 400) for request in model.requests[:3]] == [8, 4, 2]
    assert words([text_of(request) for request in model.requests[2:]]) == [f"word{number}" for number in range(4)]


def test_an_overflow_in_a_later_chunk_keeps_the_summary_so_far() -> None:
    model = FakeModel([summary_of(0), TOO_LONG, *[summary_of(number) for number in range(1, 99)]])
    report = summarised(model, job(*many(10)), window=4_000)
    texts = [text_of(request) for request in model.requests]
    assert isinstance(report, Patch)
    assert words([texts[0], *texts[2:]]) == [f"word{number}" for number in range(10)]
    assert "summary 0" in texts[2]
    assert len(texts[2]) < len(texts[1])


def test_an_overflow_tells_the_window() -> None:
    overflow = ProviderError("Too long.", "context_too_long", context_limit=4_000)
    model = FakeModel([Says(error=overflow), *[GOOD] * 99])
    assert isinstance(summarised(model, job(*many(20)), window=1_000_000), Patch)
    assert model.requests[0].estimate > 4_000
    assert all(request.estimate <= 4_000 for request in model.requests[1:])


def test_a_window_that_ended_within_the_answer_counts_as_an_overflow() -> None:
    model = FakeModel([Says("Half", stop="context_exceeded"), GOOD, GOOD])
    assert isinstance(summarised(model, job(*many(8))), Patch)
    assert len(model.requests) > 1


def test_the_ladder_ends() -> None:
    model = FakeModel([TOO_LONG] * 99)
    error = failed(model, job(*many(20))).error
    assert (error.kind, len(model.requests)) == ("context_too_long", 4)
    assert "larger window" in error.message


def test_a_window_with_no_room_for_a_conversation_is_said_without_a_request() -> None:
    model = FakeModel([GOOD])
    assert failed(model, window=600).error.kind == "context_too_long"
    assert not model.requests


# --- what is no summary ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (Says(""), "empty"),
        (Says(" \n\t "), "empty"),
        (Says("No.", stop="refusal"), "refused"),
        (Says("", calls=[("search", {})]), "tool_call"),
        (Says("A fine summary.", calls=[("search", {})], stop="end_turn"), "tool_call"),
        (Says("A part", stop="pause_turn"), "unfinished"),
    ],
)
def test_s19_what_is_no_summary_is_a_failure_that_names_a_way_out(says: Says, kind: str) -> None:
    report = failed(FakeModel([says]))
    assert (report.error.boundary, report.error.kind, report.usage) == ("provider", kind, SPENT)
    assert "compaction.model" in report.error.message


def test_one_that_was_cut_off_is_asked_for_again_in_fewer_words() -> None:
    model = FakeModel([Says("Too lo", stop="max_tokens"), GOOD])
    report = summarised(model, job(tokens=500))
    assert isinstance(report, Patch)
    assert report.usage == SPENT + SPENT
    assert text_of(model.requests[1]).endswith(
        "too long and was thrown away. Write the summary now, at most 125 words."
    )


def test_one_that_is_cut_off_twice_is_a_failure() -> None:
    model = FakeModel([Says("Too lo", stop="max_tokens")] * 9)
    report = failed(model)
    assert (report.error.kind, len(model.requests), report.usage) == ("truncated", 2, SPENT + SPENT)
    assert "compaction.max_summary_tokens" in report.error.message


def test_a_range_of_thinking_alone_is_nothing_to_summarise() -> None:
    model = FakeModel([GOOD])
    assert failed(model, job(assistant())).error.kind == "nothing"
    assert not model.requests


# --- errors and time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "server", "connection", "cut_short"])
def test_a_transient_error_is_tried_again_twice(kind: Any) -> None:
    model = FakeModel(
        [Says(error=ProviderError("Wait.", kind)), Says("Cut", error=ProviderError("Cut.", kind), cut_after=2), GOOD]
    )
    report = summarised(model, job())
    assert isinstance(report, Patch)
    assert len({text_of(request) for request in model.requests}) == 1


def test_the_third_failure_is_told_as_it_was_with_what_was_spent() -> None:
    model = FakeModel([replace(GOOD, error=OVERLOADED, cut_after=4)] * 9)
    report = failed(model)
    assert (report.error, len(model.requests)) == (OVERLOADED.info(), 3)
    assert report.usage == Usage(input_tokens=30, output_tokens=15)


def test_a_retry_waits_as_long_as_the_provider_asks() -> None:
    model = FakeModel([Says(error=ProviderError("Wait.", "rate_limit", retry_after=20.0)), GOOD])
    report = summarised(model, job())
    assert isinstance(report, Patch)
    assert 20.0 <= report.seconds <= 21.0


def test_a_retry_that_would_be_too_late_is_not_waited_for() -> None:
    model = FakeModel([Says(error=ProviderError("Wait.", "rate_limit", retry_after=70.0))])
    assert failed(model, job(seconds=60.0)).error.kind == "rate_limit"


@pytest.mark.parametrize("kind", ["authentication", "bad_request"])
def test_an_error_that_will_stay_is_not_tried_again(kind: Any) -> None:
    model = FakeModel([Says(error=ProviderError("No.", kind))])
    assert (failed(model).error.kind, len(model.requests)) == (kind, 1)


def test_one_deadline_holds_for_everything_and_the_request_is_closed_with_it() -> None:
    model = SlowModel(seconds=25.0)
    report = failed(model, job(*many(40), seconds=60.0), window=4_000)
    assert report.error.kind == "timeout"
    assert "60 s" in report.error.message
    assert "Overloaded." in report.error.message
    assert model.closed == [25.0, 50.0, 60.0]
    assert report.usage == Usage(input_tokens=27, output_tokens=10)


def test_a_request_has_the_time_that_is_left() -> None:
    model = FakeModel([Says(error=ProviderError("Wait.", "rate_limit", retry_after=20.0)), GOOD])
    summarised(model, job(seconds=60.0))
    assert model.requests[0].config.timeout == 60.0
    assert 39.0 <= model.requests[1].config.timeout <= 40.0


def test_a_model_whose_window_is_not_known_is_a_failure_that_says_so() -> None:
    def unknown(_: SessionConfig) -> int:
        raise ConfigError("context_limit: set it.", "unknown_model")

    report = summarised(FakeModel([GOOD]), job(), limit_of=unknown)
    assert isinstance(report, CompactionFailure)
    assert (report.error.boundary, report.error.kind) == ("config", "unknown_model")


def test_whatever_a_model_raises_becomes_a_failure_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: ModelRequest) -> Says:
        raise RuntimeError("a secret")

    with caplog.at_level(logging.ERROR, "rayconteur.compaction"):
        report = failed(FakeModel([broken]))
    assert (report.error.boundary, report.error.kind) == ("session", "unexpected")
    assert "a secret" not in report.error.message
    assert "a secret" in caplog.text


def test_a_cancelled_job_closes_its_request_and_goes_on_being_cancelled() -> None:
    model = SlowModel(seconds=25.0)

    async def main() -> None:
        task = asyncio.create_task(Summariser(model, LoopClock(), lambda _: 100_000).summarise(job()))
        await asyncio.sleep(10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert model.closed == [10.0]
