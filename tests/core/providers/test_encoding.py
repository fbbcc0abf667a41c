"""JSON for the wire, and the memory of how messages were written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.messages import Message
from agent_core.providers.dispatch import wire_name as wire_of
from agent_core.providers.encoding import Fragment, Fragments, decode, encode, object_with, wire_id, wire_name
from tests.core.providers.making import config, user


class Sized(Fragment):
    """A form of a size."""


def make(message: Message, variant: str) -> Sized:
    return Sized(1000)


def test_the_memory_of_messages_keeps_to_its_limit_and_forgets_what_was_not_used() -> None:
    memory: Fragments[Sized] = Fragments(limit=5000)
    messages = [user(str(number)) for number in range(10)]
    often = memory.get(messages[0], "", make)
    for message in messages:
        memory.get(message, "", make)
        assert memory.get(messages[0], "", make) is often
        assert memory.size <= 5000
    assert memory.get(messages[1], "", make) is not memory.get(messages[9], "", make)


def test_two_messages_that_are_equal_and_two_variants_of_one_are_told_apart() -> None:
    memory: Fragments[Sized] = Fragments()
    one = user("same")
    other = one.model_copy()
    forms = {id(memory.get(message, variant, make)) for message in (one, other) for variant in ("a", "b")}
    assert len(forms) == 4


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.lists(st.integers()))
def test_an_object_is_written_around_values_that_are_json_already(head: dict[str, object], items: list[int]) -> None:
    head.pop("items", None)
    assert json.loads(object_with(head, "items", map(encode, items))) == head | {"items": items}


def test_halves_of_a_character_are_put_together_or_replaced() -> None:
    assert decode(b'{"a": "\\ud83d\\ude00", "b": "\\ud83d"}') == {"a": "\U0001f600", "b": "\ufffd"}
    assert json.loads(encode({"\ud83d": ("\ude00", float("inf"))})) == {"\ufffd": ["\ufffd", None]}


@given(st.text(), st.text())
def test_ids_and_names_are_such_as_every_provider_takes(one: str, other: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    for made in (wire_id(one), wire_name(one)):
        assert 0 < len(made) <= 64
        assert set(made) <= allowed
        assert made in {wire_id(made), wire_name(made)}
    assert (wire_id(one) == wire_id(other)) == (one == other)


@pytest.mark.parametrize(
    ("model", "wire", "spoken"),
    [
        ("anthropic/a", None, "messages"),
        ("openai/a", None, "responses"),
        ("openai/a", "chat", "chat"),
        ("local/a", None, "chat"),
        ("local/a", "messages", "messages"),
        ("local/a", "responses", "responses"),
    ],
)
def test_s02_every_provider_has_its_usual_wire_and_its_choice(model: str, wire: str | None, spoken: str) -> None:
    assert wire_of(config(model, wire=wire)) == spoken
