"""Prompt caching: a marked prefix is written, then read; OpenAI caches on its own."""

from typing import Any

import pytest

from agent_core.scripted import Engine, Script, Wire
from tests.core.scripted.bodies import ADD, assistant, chat_body, messages_body, user

MARK = {"cache_control": {"type": "ephemeral"}}
LONG = "x" * 8_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text} | MARK


def plain(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def used(engine: Engine, body: dict[str, Any], wire: Wire = Wire.ANTHROPIC) -> tuple[int, int, int]:
    usage = engine.answer(wire, body).usage
    return usage.cache_read_tokens, usage.cache_write_tokens, usage.input_tokens


def test_a_marked_prefix_is_written_and_then_read() -> None:
    engine = Engine()
    body = messages_body(user("hi"), system=[marked(LONG)])
    read, written, rest = used(engine, body)
    assert (read, written) == (0, 2_000)
    assert used(engine, body) == (2_000, 0, rest)


def test_the_three_input_counts_add_up_to_the_whole_prompt() -> None:
    engine = Engine()
    body = messages_body(user("hi"), system=[marked(LONG)])
    total = engine.count_tokens({"model": "m", "messages": body["messages"], "system": body["system"]})
    assert sum(used(engine, body)) == total
    assert sum(used(engine, body)) == total


def test_a_conversation_that_grows_reads_its_past_and_writes_its_end() -> None:
    engine = Engine()
    first = [user([marked(LONG)])]
    used(engine, messages_body(*first))
    grown = [user([plain(LONG)]), assistant("ok"), user([marked("y" * 4_000)])]
    read, written, _ = used(engine, messages_body(*grown))
    assert read == 2_000
    assert 1_000 <= written <= 1_005


@pytest.mark.parametrize(
    "body",
    [
        messages_body(user("hi"), system=[marked("y" + LONG[1:])]),
        messages_body(user("hi"), system=[marked(LONG)], tools=[ADD]),
        messages_body(user("hi"), system=[marked(LONG)], model="other"),
    ],
)
def test_another_prefix_reads_nothing(body: dict[str, Any]) -> None:
    engine = Engine()
    used(engine, messages_body(user("hi"), system=[marked(LONG)]))
    assert used(engine, body)[0] == 0


def test_nothing_is_cached_without_a_mark_or_below_the_minimum() -> None:
    engine = Engine()
    assert used(engine, messages_body(user("hi"), system=[plain(LONG)]))[:2] == (0, 0)
    assert used(engine, messages_body(user("hi"), system=[marked("x" * 400)]))[:2] == (0, 0)
    lower = Engine(Script(cache_minimum=100))
    assert used(lower, messages_body(user("hi"), system=[marked("x" * 400)]))[1] == 100


def test_top_level_cache_control_marks_the_last_block() -> None:
    engine = Engine()
    body = messages_body(user(LONG), **MARK)
    assert used(engine, body)[1] == 2_000
    assert used(engine, body)[0] == 2_000


def test_a_prefix_is_forgotten_five_minutes_after_its_last_use() -> None:
    clock = Clock()
    engine = Engine(clock=clock)
    body = messages_body(user("hi"), system=[marked(LONG)])
    used(engine, body)
    clock.now = 299
    assert used(engine, body)[0] == 2_000
    clock.now = 299 + 301
    assert used(engine, body)[0] == 0


def test_anthropic_looks_back_twenty_blocks_from_a_mark() -> None:
    engine = Engine()
    used(engine, messages_body(user([marked(LONG)])))
    near = [plain(LONG), *[plain("z")] * 19, marked("end")]
    far = [plain(LONG), *[plain("z")] * 25, marked("end")]
    assert used(engine, messages_body(user(far)))[0] == 0
    assert used(Engine(), messages_body(user(near)))[0] == 0
    assert used(engine, messages_body(user(near)))[0] == 2_000


def test_openai_reads_what_it_saw_in_steps_of_128_and_counts_it_as_input() -> None:
    engine = Engine()
    assert used(engine, chat_body(user(LONG)), Wire.CHAT)[0] == 0
    read, written, total = used(engine, chat_body(user(LONG), assistant("ok"), user("more")), Wire.CHAT)
    assert (read, written) == (1_920, 0)
    assert total > 2_000
