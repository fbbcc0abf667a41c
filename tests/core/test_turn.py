"""The turn machine, as transcripts: messages, answers, the queue, steering, the ends of a turn."""

import pytest

from agent_core.compaction.settings import ThresholdCompaction
from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.entries import Complete
from agent_core.errors import ConfigError, ProviderError
from agent_core.inputs import FromModel, Interrupt, Submit
from agent_core.messages import AssistantMessage, StopReason, TurnId, Usage
from agent_core.payloads import UserInput
from agent_core.ports import (
    PermitWait,
    ResponseStarted,
    ResponseStopped,
    RetryScheduled,
    TextDelta,
    ThinkingDelta,
    ToolUseDelta,
    UsageUpdate,
)
from tests.core.playbook import LOOKUP, PAY, Playbook, outside, report, user


def kinds(book: Playbook, *events: object) -> list[str]:
    return [delta.kind for delta in book.given(book.model(*events)).shown]  # type: ignore[arg-type]


def newest_answer(book: Playbook) -> AssistantMessage:
    return [entry.message for entry in book.entries if isinstance(entry, Complete)][-1]


def test_a_message_is_accepted_and_starts_a_turn_that_asks_the_model() -> None:
    book = Playbook()
    book.given(user("Hi.")).follows("accepted u1", "answer u1", "turn_started u1", "call_model 1")
    book.given(book.answer("Hello.")).follows("complete u1 end_turn", "turn_ended u1 completed")
    assert book.said == ["user: Hi.", "model: Hello."]
    assert book.machine.state == "idle"


def test_s05_deltas_come_in_the_seeds_order_and_complete_precedes_its_tool_batch() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    step = book.given(book.answer("Let me see.", calls=[("a", "lookup", {})], thinking="Hm."))
    assert [delta.kind for delta in step.shown] == [
        "stream_start",
        "thinking_chunk",
        "text_chunk",
        "tool_input_delta",
        "tool_input_delta",
        "token_update",
    ]
    step.follows("complete u1 tool_use", "tool_batch a", "run_tools a")


def test_s05_a_stream_start_names_message_and_model_and_a_call_its_id_and_name() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    start, name, text = book.given(
        book.model(ResponseStarted("msg_1", "m-2026"), ToolUseDelta(3, id="a", name="lookup"), ToolUseDelta(3, "{}"))
    ).shown
    assert start.model_dump() == {"kind": "stream_start", "turn_id": "u1", "message_id": "msg_1", "model": "m-2026"}
    assert name.model_dump(include={"index", "tool_use_id", "name"}) == {
        "index": 3,
        "tool_use_id": "a",
        "name": "lookup",
    }
    assert text.model_dump(include={"index", "text"}) == {"index": 3, "text": "{}"}


def test_s08_each_delta_is_shown_at_once_and_gathered_for_the_history() -> None:
    book = Playbook()
    book.given(user("Hi."))
    assert kinds(book, ResponseStarted("m", "fake")) == ["stream_start"]
    assert kinds(book, TextDelta(0, "Hel")) == ["text_chunk"]
    assert kinds(book, TextDelta(0, "lo.")) == ["text_chunk"]
    book.given(book.model(ResponseStopped("end_turn")))
    assert newest_answer(book).content == (TextBlock(text="Hello."),)


def test_a_signature_alone_is_no_delta() -> None:
    book = Playbook()
    book.given(user("Hi."))
    assert kinds(book, ThinkingDelta(0, "Hm."), ThinkingDelta(0, signature="sig")) == ["thinking_chunk"]


def test_s11_blocks_keep_the_providers_order_with_signed_thinking_and_tokens() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    usage = Usage(input_tokens=7, output_tokens=3)
    book.given(
        book.model(
            ThinkingDelta(0, "Hm."),
            ThinkingDelta(0, signature="sig"),
            ToolUseDelta(1, "{}", id="a", name="lookup"),
            TextDelta(2, "Wait."),
            UsageUpdate(usage),
            ResponseStopped("tool_use"),
        )
    )
    message = newest_answer(book)
    assert message.content == (
        ThinkingBlock(thinking="Hm.", signature="sig", provider="local"),
        ToolUseBlock(id="a", name="lookup"),
        TextBlock(text="Wait."),
    )
    assert message.usage == usage


def test_s12_totals_add_up_over_requests_and_the_last_request_is_told_apart() -> None:
    book = Playbook(LOOKUP)
    first = Usage(input_tokens=100, output_tokens=10, cache_write_tokens=50)
    second = Usage(input_tokens=20, output_tokens=5, cache_read_tokens=150)
    book.given(user("Hi."), book.answer_to_next(calls=[("a", "lookup", {})], text="", usage=first))
    book.given(report("a", "42"), book.answer_to_next("Done.", usage=second))
    usage = book.conversation.usage
    assert usage.total == Usage(input_tokens=120, output_tokens=15, cache_read_tokens=150, cache_write_tokens=50)
    assert (usage.last, usage.request_count) == (second, 2)
    assert book.conversation.context_used == 175


def test_s12_tokens_are_told_as_they_become_known_and_the_newest_figure_counts() -> None:
    book = Playbook()
    book.given(user("Hi."))
    early, late = Usage(input_tokens=9), Usage(input_tokens=9, output_tokens=4)
    assert kinds(book, UsageUpdate(early), UsageUpdate(late)) == ["token_update", "token_update"]
    book.given(book.model(TextDelta(0, "Yes."), ResponseStopped("end_turn")))
    assert newest_answer(book).usage == late
    assert book.conversation.usage.total == late


def test_without_the_providers_count_the_context_is_estimated() -> None:
    book = Playbook()
    book.turn("a" * 400, "b" * 400)
    assert book.conversation.context_used == 208


def test_s30_messages_carry_ids_parents_times_model_and_finish_reason() -> None:
    book = Playbook()
    book.given(user("Hi."))
    asked = book.now
    book.given(book.model(ResponseStarted("msg_9", "fake-2"), TextDelta(0, "Yes."), ResponseStopped("end_turn")))
    question, answer = book.conversation.messages
    assert isinstance(answer, AssistantMessage)
    assert (question.id, question.parent_id, answer.parent_id) == ("s/3", None, question.id)
    assert {question.session_id, answer.session_id} == {"s"}
    assert {question.turn_id, answer.turn_id} == {"u1"}
    assert (question.created_at, answer.created_at, answer.completed_at) == (asked, asked, book.now)
    assert (answer.provider, answer.model, answer.provider_message_id) == ("local", "fake-2", "msg_9")
    assert answer.finish_reason == "end_turn"


def test_s30_ids_stay_unique_after_a_failed_turn_and_a_batch() -> None:
    book = Playbook(LOOKUP)
    book.given(user("One."))
    book.given(book.fails())
    book.given(user("Two."), book.answer_to_next("", calls=[("a", "lookup", {}), ("b", "lookup", {})]))
    book.given(report("b", "2"), report("a", "1"), book.answer_to_next("Done."))
    ids = [message.id for message in book.conversation.messages]
    assert len(set(ids)) == len(ids) == 5


def test_a_call_id_that_a_provider_gives_twice_is_made_unique() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."), book.answer_to_next("", calls=[("call", "lookup", {})]))
    book.given(report("call", "1"))
    book.given(book.answer(calls=[("call", "lookup", {}), ("", "lookup", {})])).follows(
        "complete u1 tool_use", "tool_batch call_2 call_3", "run_tools call_2 call_3"
    )


def test_s29_a_turn_bears_the_callers_id_or_one_is_given_and_history_agrees_with_events() -> None:
    book = Playbook()
    book.given(user("One.", turn_id="mine")).follows(
        "accepted mine", "answer mine", "turn_started mine", "call_model 1"
    )
    step = book.given(book.answer("Yes.")).follows("complete mine end_turn", "turn_ended mine completed")
    assert {getattr(delta, "turn_id", "") for delta in step.shown} == {"mine"}
    assert {message.turn_id for message in book.conversation.messages} == {"mine"}
    book.given(user("Two.")).follows("accepted u2", "answer u2", "turn_started u2", "call_model 2")


def test_s29_a_turn_id_is_never_used_twice() -> None:
    book = Playbook()
    book.turn("One.")
    error = book.given(user("Two.", turn_id="u1")).follows("refuse ConfigError").refusal
    assert "Leave turn_id out" in str(error)


def test_s29_ids_that_callers_chose_are_passed_over_when_one_is_given() -> None:
    book = Playbook()
    book.given(user("One.", turn_id="u2"), book.answer_to_next("Yes."))
    book.given(user("Two."), book.answer_to_next("Yes."))
    book.given(user("Three."))
    assert list(book.conversation.turns) == ["u2", "u3", "u4"]


@pytest.mark.parametrize("content", [(), (TextBlock(text=""),), (TextBlock(text=" \n"), TextBlock(text=""))])
def test_s31_an_empty_message_is_refused_and_changes_nothing(content: tuple[TextBlock, ...]) -> None:
    book = Playbook()
    before = len(book.records)
    error = book.given(Submit(UserInput(content=content))).follows("refuse ConfigError").refusal
    assert isinstance(error, ConfigError)
    assert "Send some text or an image" in str(error)
    assert len(book.records) == before


def test_s31_an_image_alone_is_a_message() -> None:
    book = Playbook()
    image = ImageBlock(media_type="image/png", data="aGk=")
    book.given(Submit(UserInput(content=(image,)))).follows(
        "accepted u1", "answer u1", "turn_started u1", "call_model 1"
    )
    assert book.requests[-1].messages[-1].content == (image,)


def test_the_same_key_gives_the_same_turn_and_does_nothing() -> None:
    book = Playbook()
    book.given(user("Hi.", key="k"))
    book.given(user("Hi again.", key="k", when="interrupt")).follows("answer u1")
    book.given(book.answer("Yes."))
    book.given(user("Hi.", key="k")).follows("answer u1")
    book.crashes()
    book.given(user("Hi.", key="k")).follows("answer u1")


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [
        ("end_turn", "completed"),
        ("stop_sequence", "completed"),
        ("tool_use", "completed"),
        ("max_tokens", "max_tokens"),
        ("refusal", "refused"),
        ("context_exceeded", "context_exceeded"),
    ],
)
def test_s33_every_stop_reason_ends_a_turn_without_calls_in_its_own_way(stop: StopReason, outcome: str) -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.answer("Well", stop=stop)).follows(f"complete u1 {stop}", f"turn_ended u1 {outcome}")
    assert newest_answer(book).finish_reason == stop


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "context_exceeded"])
def test_s33_no_call_of_an_answer_that_was_cut_ever_runs(stop: StopReason) -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    step = book.given(book.answer(calls=[("a", "lookup", {}), ("b", "lookup", '{"q": ')], stop=stop))
    assert step.lines[:4] == [
        f"complete u1 {stop}",
        "tool_batch a b",
        "tool_settled a not_run",
        "tool_settled b not_run",
    ]
    assert not any(line.startswith("run_tools") for line in step.lines)
    book.given(user("Go on."))
    assert "error a: Not run: the answer was cut short" in "\n".join(book.said)


def test_s33_a_paused_answer_is_continued() -> None:
    book = Playbook()
    book.given(user("Hi."))
    book.given(book.answer("Searching", stop="pause_turn")).follows("complete u1 pause_turn", "call_model 2")
    assert book.said == ["user: Hi.", "model: Searching"]
    book.given(book.answer("Found.")).follows("complete u1 end_turn", "turn_ended u1 completed")


def test_s33_calls_run_whatever_the_provider_says_was_the_reason() -> None:
    book = Playbook(LOOKUP)
    book.given(user("Hi."))
    book.given(book.answer(calls=[("a", "lookup", {})], stop="end_turn")).follows(
        "complete u1 end_turn", "tool_batch a", "run_tools a"
    )


def test_an_answer_without_content_is_kept_out_of_the_next_request() -> None:
    book = Playbook()
    book.given(user("Hi."), book.answer_to_next(""))
    book.given(user("Hello?"))
    assert book.said == ["user: Hi.", "user: Hello?"]
    assert len(book.conversation.messages) == 3


def test_a_turn_ends_when_its_steps_are_used_up_and_its_last_calls_do_not_run() -> None:
    book = Playbook(LOOKUP, max_steps=2)
    book.given(user("Hi."), book.answer_to_next("", calls=[("a", "lookup", {})]))
    book.given(report("a", "1"))
    book.given(book.answer(calls=[("b", "lookup", {})])).follows(
        "complete u1 tool_use", "tool_batch b", "tool_settled b not_run", "turn_ended u1 max_steps"
    )
    book.given(user("Go on.")).follows("accepted u2", "answer u2", "turn_started u2", "call_model 3")


def test_a_steering_message_does_not_get_more_steps() -> None:
    book = Playbook(max_steps=1)
    book.given(user("Hi."))
    book.given(user("And?", when="next_step"))
    book.given(book.answer("Yes.")).follows("complete u1 end_turn", "steered u1", "turn_ended u1 max_steps")


def test_late_events_of_an_earlier_model_call_are_ignored() -> None:
    book = Playbook()
    book.given(user("Hi."))
    late = book.model(TextDelta(0, "Old"), ResponseStopped("end_turn"))
    book.given(Interrupt("discard"))
    book.given(user("Again."))
    step = book.given(late)
    assert (step.lines, step.shown) == ([], [])
    book.given(book.answer("New."))
    assert book.said == ["user: Again.", "model: New."]


def test_events_after_an_answer_are_ignored() -> None:
    book = Playbook()
    book.given(user("Hi."))
    after = book.answer("Yes.")
    book.given(after)
    assert book.given(after, book.fails()).commands == []


def test_a_permit_and_a_retry_are_shown_and_the_state_says_so() -> None:
    book = Playbook()
    book.given(user("Hi."))
    (waits,) = book.given(book.model(PermitWait(waiting=True))).shown
    assert (waits.kind, book.machine.state) == ("status_changed", "awaiting_permit")
    book.given(book.model(PermitWait(waiting=False)))
    assert book.machine.state == "running"
    error = ProviderError("Overloaded. Wait.", "overloaded")
    (retrying,) = book.given(book.model(RetryScheduled(1, 2.5, error))).shown
    assert retrying.model_dump(include={"attempt", "delay"}) == {"attempt": 1, "delay": 2.5}


def test_s04_both_kinds_of_payload_come_from_outside_with_the_callers_turn_id() -> None:
    book = Playbook(LOOKUP, PAY)
    book.given(Submit(UserInput.of("Hi.", TurnId("mine"))))
    assert book.conversation.open is not None
    assert book.conversation.open.turn_id == "mine"
    book.given(outside(("nothing", "x"))).follows("refuse ToolError")


def test_s07_the_request_says_whether_to_stream() -> None:
    for streaming in (True, False):
        book = Playbook(streaming=streaming)
        book.given(user("Hi."))
        assert book.requests[-1].config.streaming is streaming


def test_the_request_carries_prompt_tools_limit_and_estimate() -> None:
    book = Playbook(LOOKUP, system_prompt="Be kind.", max_tokens=77, compaction=ThresholdCompaction())
    book.given(user("a" * 40))
    request = book.requests[-1]
    assert (request.system, request.tools, request.max_tokens) == ("Be kind.", (LOOKUP,), 77)
    assert (request.session_id, request.turn_id, request.estimate) == ("s", "u1", 14)


def test_events_of_a_call_number_that_was_never_made_are_ignored() -> None:
    book = Playbook()
    book.given(user("Hi."))
    assert book.given(FromModel(99, TextDelta(0, "?"))).commands == []
