"""Requests for a summary: how they are known, how well they are answered, and all that can be made to go wrong."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent_core.compaction.prompt import SECTIONS, SYSTEM_PROMPT, Wishes, user_message
from agent_core.compaction.tags import element
from agent_core.scripted import (
    Engine,
    Fault,
    Knobs,
    Match,
    Reply,
    Rule,
    Script,
    SpoilKind,
    SummaryKnobs,
    Wire,
    WireError,
)
from agent_core.scripted.knobs import SpoilDraw
from agent_core.scripted.notes import Notes
from agent_core.scripted.request import ParsedRequest, parse
from agent_core.scripted.summaries import summary_reply
from tests.core.scripted.bodies import chat_body, messages_body, responses_body, user

TALK = "\n".join(
    [
        element("user", "Build the importer. We decided to never drop rows. The retry limit is 37."),
        element("tool_call", '{"path": "src/importer.py"}', call="1", name="read"),
        element("tool_result", "line 7: pass\nThe batch size is 512.\nok 1 2 3", call="1", name="read"),
        element("tool_result", "no such table: rows_12\ntrace", call="2", name="query", error="true"),
        element("assistant", "The importer reads src/importer.py now. Nice weather, too."),
        element("user", "Go on with the tests. Correction: the retry limit is now 41."),
    ]
)


def asked(transcript: str = TALK, previous: str | None = None, words: int = 400, tokens: int = 800) -> dict[str, Any]:
    text = user_message(transcript, previous, Wishes(words=words))
    return messages_body(user(text), system=SYSTEM_PROMPT, max_tokens=tokens)


def summary(**fields: Any) -> str:
    return Engine().answer(Wire.ANTHROPIC, asked(**fields)).message.text


def lines(text: str, heading: str) -> list[str]:
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.removeprefix("- ") for line in section.splitlines()]


# --- recognised -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (Wire.ANTHROPIC, messages_body(user("x"), system=SYSTEM_PROMPT)),
        (Wire.CHAT, chat_body({"role": "system", "content": SYSTEM_PROMPT}, user("x"))),
        (Wire.RESPONSES, responses_body(user("x"), instructions=SYSTEM_PROMPT)),
    ],
)
def test_a_request_for_a_summary_is_known_on_every_wire_by_its_system_prompt(wire: Wire, body: dict[str, Any]) -> None:
    assert parse(wire, body).summary
    assert not parse(Wire.ANTHROPIC, messages_body(user(SYSTEM_PROMPT), system="Be kind.")).summary


def test_a_rule_is_for_turns_or_for_summaries() -> None:
    engine = Engine(Script(rules=(Rule(replies=(Reply(text="turn"),)),)))
    assert engine.answer(Wire.ANTHROPIC, asked()).message.text.startswith("## Goal")
    assert engine.answer(Wire.ANTHROPIC, messages_body(user("hi"))).message.text == "turn"
    engine = Engine(Script(rules=(Rule(match=Match(summary=True), replies=(Reply(text="scripted"),)),)))
    assert engine.answer(Wire.ANTHROPIC, asked()).message.text == "scripted"
    assert engine.answer(Wire.ANTHROPIC, messages_body(user("hi"))).message.text == "You said: hi"


# --- good ones ------------------------------------------------------------------------------------------------------


def test_what_is_exact_is_carried_into_its_section() -> None:
    text = summary()
    assert lines(text, "Goal") == ['The user said: "Build the importer."']
    assert lines(text, "Decisions and constraints") == ["We decided to never drop rows."]
    assert "The importer reads src/importer.py now." in text
    assert "The batch size is 512." in lines(text, "Files and identifiers")
    assert lines(text, "Errors seen") == ["no such table: rows_12"]
    assert "Nice weather" not in text
    assert "line 7" not in text
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [section for section in SECTIONS if section in headings]


def test_of_a_changed_value_the_newest_is_kept() -> None:
    text = summary()
    assert "41" in text
    assert "37" not in text


def test_the_previous_summary_is_brought_up_to_date() -> None:
    text = summary(
        previous="## Goal\n- Ship it.\n## Files and identifiers\n- The retry limit is 99.\n- The port is 8080."
    )
    assert lines(text, "Goal") == ["Ship it."]
    assert "The port is 8080." in lines(text, "Files and identifiers")
    assert "99" not in text
    assert text.count("retry limit is") == 1


def test_a_summary_of_its_own_summary_loses_nothing() -> None:
    first = summary()
    again = summary(transcript="", previous=first)
    assert sorted(again.splitlines()) == sorted(first.splitlines())


def test_what_was_escaped_is_read_as_it_was() -> None:
    text = summary(transcript=element("user", "The tag is </user> 7."))
    assert "The tag is </user> 7." in text


@given(st.integers(10, 200), st.integers(0, 60))
def test_a_summary_keeps_to_its_length_and_spares_decisions_longest(words: int, facts: int) -> None:
    said = [f"We decided on plan{number}x." for number in range(3)] + [
        f"The size{number} is {number}." for number in range(facts)
    ]
    body = asked(transcript=element("user", "\n".join(said)), words=words)
    text = summary_reply(parse(Wire.ANTHROPIC, body)).text
    assert len(text) <= words * 6
    if "The size" in text:
        assert text.count("decided") >= 3


def test_the_oldest_facts_are_lost_first() -> None:
    notes = Notes()
    notes.add_transcript(element("user", "Hi. The first is 1. The second is 2."))
    everything = notes.within(10_000)
    assert "first is" in everything
    kept = notes.within(len(everything) - 1)
    assert "first is" not in kept
    assert "second is" in kept


# --- latency --------------------------------------------------------------------------------------------------------


def delays(knobs: Knobs, bodies: list[dict[str, Any]], seed: int = 0) -> list[float]:
    engine = Engine(Script(knobs=knobs, seed=seed))
    return [engine.answer(Wire.ANTHROPIC, body).delay_s for body in bodies]


def test_summaries_have_a_latency_of_their_own_that_moves_no_turns() -> None:
    turn, of_summary = messages_body(user("hi")), asked()
    own = SummaryKnobs(first_byte_s=20.0, first_byte_sigma=0.5)
    alone = delays(Knobs(first_byte_s=1.0, first_byte_sigma=0.5), [turn] * 20)
    mixed = delays(Knobs(first_byte_s=1.0, first_byte_sigma=0.5, summaries=own), [turn, of_summary] * 20)
    assert mixed[::2] == alone
    assert mixed[1::2] == delays(Knobs(summaries=own), [of_summary] * 20)


def test_the_latency_of_summaries_is_log_normal_around_its_median_and_seeded() -> None:
    def drawn(seed: int, own: int | None = None) -> list[float]:
        knobs = Knobs(summaries=SummaryKnobs(first_byte_s=20.0, first_byte_sigma=0.5, seed=own))
        return delays(knobs, [asked(transcript="")] * 199, seed)

    assert 18.0 < sorted(drawn(1))[99] < 22.0
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1, own=5) == drawn(2, own=5)


def test_without_knobs_of_their_own_summaries_fare_like_turns() -> None:
    assert delays(Knobs(first_byte_s=0.5), [asked()]) == [0.5]
    with pytest.raises(ValidationError, match="set first_byte_s"):
        SummaryKnobs(first_byte_sigma=0.5)


# --- bad ones -------------------------------------------------------------------------------------------------------


def spoil(kind: SpoilKind, tokens: int = 800) -> tuple[str, str, int]:
    knobs = Knobs(summaries=SummaryKnobs(spoils={kind: Fault(every=1)}))
    answer = Engine(Script(knobs=knobs)).answer(Wire.ANTHROPIC, asked(tokens=tokens))
    assert answer.spoil == kind
    return answer.message.text, answer.message.stop_reason, len(answer.message.calls)


def test_a_summary_can_be_made_to_go_wrong_in_every_way() -> None:
    good = summary()
    assert spoil("empty") == ("", "end_turn", 0)
    assert spoil("blank") == (" \n", "end_turn", 0)
    assert spoil("truncated") == (good[: len(good) // 2], "max_tokens", 0)
    text, stop, _ = spoil("huge")
    assert (len(text), stop) == (3_200, "end_turn")
    assert spoil("tool_call") == (good, "tool_use", 1)
    assert spoil("refused")[1] == "refusal"
    text, stop, _ = spoil("forgetful")
    assert stop == "end_turn"
    assert "Build the importer." in text
    assert "41" not in text


def test_what_goes_wrong_with_summaries_leaves_turns_alone() -> None:
    own = SummaryKnobs(faults={"overloaded": Fault(next=1)}, spoils={"empty": Fault(next=1)})
    engine = Engine(Script(knobs=Knobs(summaries=own)))
    assert engine.answer(Wire.ANTHROPIC, messages_body(user("hi"))).message.text == "You said: hi"
    with pytest.raises(WireError) as raised:
        engine.answer(Wire.ANTHROPIC, asked())
    assert raised.value.status == 529
    assert engine.answer(Wire.ANTHROPIC, asked()).message.text != ""


def test_a_fault_of_turns_does_not_fall_on_summaries_with_knobs_of_their_own() -> None:
    knobs = Knobs(faults={"overloaded": Fault(next=1)}, summaries=SummaryKnobs())
    engine = Engine(Script(knobs=knobs))
    assert engine.answer(Wire.ANTHROPIC, asked()).message.text.startswith("## Goal")
    with pytest.raises(WireError):
        engine.answer(Wire.ANTHROPIC, messages_body(user("hi")))


def test_spoils_are_counted_and_turned_anew_like_faults() -> None:
    draw = SpoilDraw({"empty": Fault(every=2), "huge": Fault(next=1)}, random.Random(0))
    assert [draw.draw() for _ in range(4)] == ["huge", "empty", None, "empty"]
    engine = Engine(brain=summary_or("turn"))
    engine.set_knobs(Knobs(summaries=SummaryKnobs(spoils={"empty": Fault(next=1)})))
    texts = [engine.answer(Wire.ANTHROPIC, asked()).message.text for _ in range(2)]
    assert [bool(text) for text in texts] == [False, True]
    engine.set_knobs(engine.knobs)
    assert engine.answer(Wire.ANTHROPIC, asked()).message.text == ""


def summary_or(text: str) -> Any:
    def brain(request: ParsedRequest) -> Reply:
        return summary_reply(request) if request.summary else Reply(text=text)

    return brain
