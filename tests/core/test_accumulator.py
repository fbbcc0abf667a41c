"""An answer in the making: deltas become blocks, whatever order and pieces they come in."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.accumulator import Accumulator
from agent_core.content import AssistantBlock, TextBlock, ThinkingBlock, ToolUseBlock
from agent_core.entries import Complete, decode, encode
from agent_core.messages import AssistantMessage, TurnId
from agent_core.ports import TextDelta, ThinkingDelta, ToolUseDelta
from tests.core.playbook import SESSION

Any_Delta = TextDelta | ThinkingDelta | ToolUseDelta


def blocks(*deltas: Any_Delta, taken: tuple[str, ...] = ()) -> tuple[AssistantBlock, ...]:
    accumulator = Accumulator("anthropic")
    for delta in deltas:
        accumulator.add(delta)
    return accumulator.blocks(taken)


def partial(*deltas: Any_Delta) -> tuple[AssistantBlock, ...]:
    accumulator = Accumulator("anthropic")
    for delta in deltas:
        accumulator.add(delta)
    return accumulator.partial()


def call(*texts: str, id: str = "a", name: str = "lookup") -> ToolUseBlock:
    (block,) = blocks(ToolUseDelta(0, id=id, name=name), *(ToolUseDelta(0, text) for text in texts))
    assert isinstance(block, ToolUseBlock)
    return block


def test_s11_blocks_stand_in_the_providers_order_whatever_order_their_deltas_have() -> None:
    assert blocks(TextDelta(2, "b"), ToolUseDelta(1, "{}", "a", "lookup"), TextDelta(0, "a"), TextDelta(2, "c")) == (
        TextBlock(text="a"),
        ToolUseBlock(id="a", name="lookup"),
        TextBlock(text="bc"),
    )


def test_s11_thinking_keeps_its_signature_in_pieces_and_says_whose_it_is() -> None:
    assert blocks(
        ThinkingDelta(0, "Hm"),
        ThinkingDelta(0, "m."),
        ThinkingDelta(0, signature="si"),
        ThinkingDelta(0, signature="g", item_id="rs_1"),
    ) == (ThinkingBlock(thinking="Hmm.", signature="sig", item_id="rs_1", provider="anthropic"),)


def test_s11_a_redacted_block_is_kept_whole() -> None:
    assert blocks(ThinkingDelta(0, signature="opaque", redacted=True)) == (
        ThinkingBlock(signature="opaque", redacted=True, provider="anthropic"),
    )


def test_s09_input_json_is_gathered_from_its_pieces() -> None:
    assert call('{"q', '": [1, ', "null]}").input == {"q": [1, None]}
    assert call().input == {}
    assert call(" ", "\n").input == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"q": ', "not valid JSON"),
        ("{'q': 1}", "not valid JSON"),
        ('{"q": 1} and more', "not valid JSON"),
        ("[1]", "not a list"),
        ('"q"', "not a str"),
        ("null", "not a NoneType"),
        ("7", "not a int"),
        ('{"q": NaN}', "not valid JSON"),
        ('{"q": "\\ud83d"}', "not valid JSON"),
        ('{"q": 1e999}', "too large"),
        ('{"q":' * 150 + "1" + "}" * 150, "deeper than"),
        ('{"q":' * 5_000 + "1" + "}" * 5_000, "not valid JSON"),
    ],
)
def test_s09_input_that_is_no_json_object_is_marked_and_kept_as_it_came(text: str, why: str) -> None:
    block = call(text)
    assert block.input_error is not None
    assert why in block.input_error
    assert (block.input, block.raw_input) == ({}, text)


def test_ids_that_are_missing_twice_or_taken_are_made_unique() -> None:
    made = blocks(
        ToolUseDelta(0, id="a", name="lookup"),
        ToolUseDelta(1, id="a", name="lookup"),
        ToolUseDelta(2, name="lookup"),
        ToolUseDelta(3, name="lookup"),
        ToolUseDelta(4, id="old", name="lookup"),
        taken=("old", "old_2"),
    )
    assert [block.id for block in made if isinstance(block, ToolUseBlock)] == ["a", "a_2", "call", "call_2", "old_3"]


def test_an_id_and_a_name_may_come_late() -> None:
    (block,) = blocks(ToolUseDelta(0, "{"), ToolUseDelta(0, "}", id="a"), ToolUseDelta(0, name="lookup"))
    assert block == ToolUseBlock(id="a", name="lookup")


def test_text_that_never_came_is_no_block() -> None:
    assert blocks(TextDelta(0, ""), TextDelta(1, "Yes.")) == (TextBlock(text="Yes."),)


def test_a_partial_answer_keeps_text_and_signed_thinking_alone() -> None:
    assert partial(
        ThinkingDelta(0, "Hm.", signature="sig"),
        TextDelta(1, "Half"),
        ThinkingDelta(2, "not yet signed"),
        ToolUseDelta(3, "{}", "a", "lookup"),
    ) == (ThinkingBlock(thinking="Hm.", signature="sig", provider="anthropic"), TextBlock(text="Half"))


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_partial_answer_without_words_is_nothing(text: str) -> None:
    assert partial(ThinkingDelta(0, "Hm.", signature="sig"), TextDelta(1, text)) == ()


def test_the_text_so_far_leaves_out_what_is_not_text() -> None:
    accumulator = Accumulator("local")
    accumulator.add(ThinkingDelta(0, "Hm."))
    accumulator.add(TextDelta(1, "Half "))
    accumulator.add(ToolUseDelta(2, "{}"))
    accumulator.add(TextDelta(3, "done"))
    assert accumulator.text() == "Half done"


def test_a_server_that_mixes_kinds_in_one_block_does_no_harm() -> None:
    for first in (TextDelta(0, "a"), ToolUseDelta(0, "{}", "a", "lookup"), ThinkingDelta(0, "a")):
        mixed = blocks(first, TextDelta(0, "b"), ThinkingDelta(0, "c"), ToolUseDelta(0, "d", "x", "y"))
        assert len(mixed) == 1
        assert type(mixed[0]) is type(blocks(first)[0])


@pytest.mark.parametrize("levels", [1, 25, 50])
def test_an_input_that_is_taken_can_be_read_back_from_a_journal(levels: int) -> None:
    block = call('{"q":[' * levels + "1" + "]}" * levels)
    assert block.input_error is None
    message = AssistantMessage(
        id="m", session_id=SESSION, turn_id=TurnId("u1"), provider="local", model="fake", content=(block,)
    )
    complete = Complete(turn_id=TurnId("u1"), message=message, stop_reason="tool_use")
    assert decode(encode(complete)) == complete


@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
    st.lists(st.integers(0, 200)),
)
def test_an_object_is_read_back_however_its_json_is_cut(value: dict[str, Any], cuts: list[int]) -> None:
    text = json.dumps(value)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert call(*pieces).input == value


@given(st.lists(st.tuples(st.integers(0, 3), st.text(min_size=1)), max_size=20))
def test_no_character_of_a_text_is_lost_and_each_block_stands_once(pieces: list[tuple[int, str]]) -> None:
    made = blocks(*(TextDelta(index, text) for index, text in pieces))
    expected = {index: "" for index, _ in sorted(pieces)}
    for index, text in pieces:
        expected[index] += text
    assert [block.text for block in made if isinstance(block, TextBlock)] == list(expected.values())
