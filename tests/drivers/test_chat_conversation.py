"""The chat at a terminal, with keys pressed and paper written on: what is queued, steered, interrupted and said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prompt_toolkit.input import create_pipe_input

from agent_core.errors import ConfigError, PlacementError, ProviderError
from agent_core.messages import Usage
from agent_core.testing import FakeTools, Says
from drivers.chatting.connection import Connected
from drivers.chatting.conversation import Conversation
from drivers.errors import ending_of
from tests.drivers.chat_fakes import MODEL, Fakes, Paper, allow_only_test_models, connected, talking, terminal_of


async def test_an_answer_comes_as_markdown_and_the_status_line_counts() -> None:
    async with connected(Says(text="It is **so**.", usage=Usage(input_tokens=1500, output_tokens=7))) as (talk, _):
        text = await talk.says("is it?", "It is so.")
        assert "› is it?" in text
        assert "**" not in text
        await talk.paper.shows("↑1.5k ↓7 · 2% of 100k · s-test")


async def test_the_prompt_is_there_at_once_and_what_is_typed_before_the_session_is_sent_when_it_is_there() -> None:
    fakes, gate = Fakes(), asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[Connected]:
        await gate.wait()
        async with fakes.connect() as there:
            yield there

    async with talking(slow) as talk:
        await talk.paper.shows("connecting…")
        await talk.says("first", "first  (is sent once connected)")
        talk.type("/tools\n")
        await talk.says("/help", "Commands")
        assert fakes.model.requests == []
        gate.set()
        await talk.paper.shows("You said: first")
        await talk.paper.shows("the model has no tools")


@pytest.mark.parametrize(
    ("error", "code"), [(PlacementError("No cluster answers at h:1. Start one."), 1), (ConfigError("Bad name."), 2)]
)
async def test_a_connection_that_fails_takes_the_screen_down_with_its_error(error: Exception, code: int) -> None:
    @asynccontextmanager
    async def never() -> AsyncIterator[Connected]:
        raise error
        yield

    with create_pipe_input() as keys, pytest.raises(BaseExceptionGroup) as raised:
        await Conversation(never, model=MODEL, check_model=allow_only_test_models).run(keys, terminal_of(Paper()))
    assert ending_of(raised.value) == (code, f"error: {error}")


async def test_what_was_typed_in_vain_is_given_back_when_the_connection_fails() -> None:
    gate, paper = asyncio.Event(), Paper()

    @asynccontextmanager
    async def never() -> AsyncIterator[Connected]:
        await gate.wait()
        raise PlacementError("No cluster.")
        yield

    with create_pipe_input() as keys:
        chat = Conversation(never, model=MODEL, check_model=allow_only_test_models)
        running = asyncio.create_task(chat.run(keys, terminal_of(paper)))
        keys.send_text("a long question\r")
        await paper.shows("is sent once connected")
        gate.set()
        with pytest.raises(BaseExceptionGroup):
            await running
        assert "not sent: a long question" in paper.text


async def test_messages_typed_while_a_turn_is_open_wait_for_its_end() -> None:
    async with connected() as (talk, fakes):
        fakes.model.gate = asyncio.Event()
        talk.type("one\n")
        await talk.paper.shows("waiting for the model")
        await talk.says("two", "two  (waits for the end of the turn)")
        fakes.model.gate.set()
        text = await talk.paper.shows("You said: two")
        assert text.rindex("You said: one") < text.rindex("› two") < text.rindex("You said: two")


async def test_a_line_that_begins_with_an_exclamation_mark_steers_the_open_turn() -> None:
    tools = FakeTools({"look": lambda _: "seen"}, held=True)
    script = (Says(calls=[("look", {})]), lambda request: Says(text=f"{len(request.messages)} messages"))
    async with connected(*script, tools=tools) as (talk, fakes):  # type: ignore[arg-type]
        talk.type("go\n")
        await talk.paper.shows("the tool is running")
        await talk.says("! be brief", "be brief  (steers at the next model call)")
        tools.release(tools.waiting[0])
        text = await talk.paper.shows("4 messages")
        assert "! be brief" in text
        assert len(fakes.model.requests) == 2


async def test_a_message_that_really_begins_with_a_slash_wants_a_space_before_it() -> None:
    async with connected() as (talk, _):
        await talk.says(" /etc/hosts, what is it?", "You said: /etc/hosts, what is it?")


async def test_lines_are_joined_by_backslash_enter_and_by_alt_enter_and_pasting_sends_nothing() -> None:
    async with connected() as (talk, fakes):
        talk.type("one\\\ntwo\x1b\r")
        talk.paste("three\r\nfour\n/quit")
        await talk.says("", "You said:")
        message = fakes.model.requests[0].messages[-1].content[0]
        assert message.kind == "text"
        assert message.text == "one\ntwo\nthree\nfour\n/quit"


async def test_what_changes_reaches_the_terminal_in_one_write_so_nothing_flickers() -> None:
    async with connected(Says(text="One.\n\nTwo.\n\nThree.", deltas=8)) as (talk, _):
        await talk.says("go", "Three.")
        erasing = [written for written in talk.paper.writes if "\x1b[J" in written]
        assert len(erasing) >= 2
        # What is erased is drawn again, down to the status line, before the terminal sees either.
        assert [written for written in erasing if "claude-test" not in written] == []


async def test_ctrl_c_interrupts_the_turn_and_keeps_what_was_said_and_the_chat_goes_on() -> None:
    async with connected(Says(text="never whole")) as (talk, fakes):
        fakes.model.gate = asyncio.Event()
        talk.type("go\n")
        await talk.paper.shows("waiting for the model")
        talk.type("\x03")
        await talk.paper.shows("! interrupted")
        fakes.model.gate = None
        await talk.says("and now", "You said: and now")


async def test_ctrl_c_twice_leaves_with_code_130() -> None:
    async with connected(code=130, leave=False) as (talk, _):
        talk.type("\x03")
        await talk.paper.shows("Ctrl-C again leaves")
        talk.type("\x03")


async def test_ctrl_c_takes_back_what_was_typed_and_typing_again_is_no_second_one() -> None:
    async with connected() as (talk, _):
        talk.type("half a thought\x03")
        await talk.paper.shows("Ctrl-C again leaves")
        await talk.says("other", "You said: other")
        talk.type("\x03")
        await talk.paper.shows("Ctrl-C again leaves")
        talk.type("x")
        await talk.paper.until(lambda text: "Ctrl-C again leaves" not in text)
        talk.type("\x7f")


async def test_a_tool_call_and_its_result_are_shown_compactly() -> None:
    tools = FakeTools({"look": lambda given: f"saw {given['at']}"})
    async with connected(Says(text="I look.", calls=[("look", {"at": "a"})]), Says(text="Done."), tools=tools) as (
        talk,
        _,
    ):
        text = await talk.says("go", "Done.")
        assert '● look(at="a")' in text
        assert "⎿ saw a" in text


async def test_a_failed_turn_is_said_and_tried_again_on_request() -> None:
    failure = ProviderError("The server is not there. Check --base-url.", "connection")
    async with connected(Says(error=failure), Says(text="Better.")) as (talk, _):
        await talk.says("go", "The server is not there. Check --base-url.")
        await talk.says("/retry", "Better.")
        await talk.says("/retry", "The last turn did not fail")


async def test_a_session_that_goes_on_shows_what_was_said_before() -> None:
    fakes = Fakes([Says(text="**Yes.**")])
    await (await fakes.session()).ask("was it?")
    async with talking(fakes.connect) as talk:
        text = await talk.paper.shows("Yes.")
        assert "› was it?" in text


async def test_a_long_session_shows_its_end_and_says_where_the_rest_is() -> None:
    fakes = Fakes()
    session = await fakes.session()
    for number in range(12):
        await session.ask(f"question {number}")
    async with talking(fakes.connect) as talk:
        text = await talk.paper.shows("You said: question 11")
        assert "9 earlier turns: /history full shows them" in text
        assert "question 8\n" not in text
        assert "question 9\n" in text
        await talk.says("/history full", "24 messages")
        assert "question 1\n" in talk.paper.text


async def test_a_turn_that_is_open_when_the_chat_begins_is_followed_to_its_end() -> None:
    tools = FakeTools({"look": lambda _: "seen"}, held=True)
    fakes = Fakes([Says(text="I look.", calls=[("look", {})]), Says(text="Done.")], tools)
    session = await fakes.session()
    await session.submit("go")
    async for event in session.events():
        if event.payload.kind == "tool_batch":
            break
    async with talking(fakes.connect) as talk:
        await talk.paper.shows("the tool is running")
        tools.release(tools.waiting[0])
        text = await talk.paper.shows("Done.")
        assert text.count("I look.") == 1
        assert "⎿ seen" in text


async def test_what_another_reader_says_is_shown_too() -> None:
    async with connected() as (talk, fakes):
        await (await fakes.session()).submit("from elsewhere")
        text = await talk.paper.shows("You said: from elsewhere")
        assert "› from elsewhere" in text


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/status", "place         local"),
        ("/model", "the model is anthropic/claude-test"),
        ("/model anthropic/claude-test-2", "anthropic/claude-test-2 answers from the next request on"),
        ("/model other/thing", "other/thing cannot be had."),
        ("/history", "nothing has been said yet"),
        ("/history all", "/history takes nothing, full or ids, not 'all'."),
        ("/interrupt", "no turn is open"),
        ("/clear", "the conversation is empty"),
        ("/compact", "nothing was compacted"),
        ("/system", "there is no system prompt"),
        ("/system Be kind.", "the system prompt holds from the next request on"),
        ("/system none", "there is no system prompt from the next request on"),
        ("/tools", "the model has no tools"),
        ("/when next_step", "next_step: messages steer the open turn"),
        ("/when never", "/when takes after, next_step, interrupt, not 'never'."),
        ("/thinking", "the model has shown no thinking"),
        ("/retry", "The last turn did not fail"),
        ("/help", "Alt-Enter"),
        ("/stat", "place         local"),
        ("/modle", "There is no command /modle. Did you mean /model?"),
    ],
)
async def test_every_command_answers(line: str, answer: str) -> None:
    async with connected() as (talk, _):
        await talk.says(line, answer)


async def test_settings_made_by_commands_reach_the_model() -> None:
    async with connected() as (talk, fakes):
        await talk.says("/system Be kind.", "the system prompt holds")
        await talk.says("/model anthropic/claude-test-2", "answers from the next request on")
        await talk.says("hi", "You said: hi")
        assert fakes.model.requests[0].system == "Be kind."
        assert fakes.model.requests[0].config.model == "anthropic/claude-test-2"
        await talk.says("/system", "Be kind.")


async def test_tools_and_thinking_are_listed_on_request() -> None:
    tools = FakeTools({"look": lambda _: ""})
    async with connected(Says(thinking="\n".join(f"thought {n}" for n in range(9)), text="ok"), tools=tools) as (
        talk,
        _,
    ):
        await talk.says("/tools", "The look.")
        assert "thought 8" not in await talk.says("go", "3 more lines, /thinking shows them")
        await talk.says("/thinking", "thought 8")


async def test_quit_leaves() -> None:
    async with connected(leave=False) as (talk, _):
        talk.type("/quit\n")


async def test_tab_writes_a_command_out() -> None:
    async with connected() as (talk, _):
        await talk.says("/hi\t", "nothing has been said yet")


async def test_lines_of_others_are_shown_above_the_prompt() -> None:
    async with connected() as (talk, _):
        talk.chat.printed("a tool\x1b[2J prints")
        await talk.paper.shows("│ a tool prints")


async def test_a_refused_message_is_said_and_does_not_stay_in_the_queue() -> None:
    async with connected() as (talk, fakes):
        await (await fakes.session()).shutdown()
        await talk.paper.shows("the session was closed")
        await talk.says("hello?", "is shut down")
        assert talk.chat.view.unsent == {}
