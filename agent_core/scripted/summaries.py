"""How the scripted model summarises, well or badly: a request for a summary is known by the prompt's own first words.

The rule here: the same request always gets the same summary. It follows the prompt as a good model would: what is
exact is kept, the previous summary is brought up to date, and the length that was asked for is kept to.
"""

import re
from typing import assert_never

from agent_core.compaction.prompt import GOAL, NEXT
from agent_core.compaction.tags import unescape
from agent_core.scripted.knobs import SpoilKind
from agent_core.scripted.notes import Notes
from agent_core.scripted.request import ParsedRequest
from agent_core.scripted.script import Reply, ToolCall
from agent_core.scripted.tokens import CHARACTERS_PER_TOKEN

_PREVIOUS = re.compile(r"<previous_summary>\n(.*?)\n</previous_summary>", re.DOTALL)
_TRANSCRIPT = re.compile(r"<transcript>\n(.*?)\n</transcript>", re.DOTALL)
_WORDS = re.compile(r"at most (\d+) words")
_CHARACTERS_PER_WORD = 6
_MANY_TOKENS = 4_096


def summary_reply(request: ParsedRequest) -> Reply:
    """The summary that the request asks for."""
    notes = Notes()
    if (previous := _PREVIOUS.search(request.text)) is not None:
        notes.add_summary(unescape(previous[1]))
    if (transcript := _TRANSCRIPT.search(request.text)) is not None:
        notes.add_transcript(transcript[1])
    words = _WORDS.findall(request.text)
    most = _tokens(request) * CHARACTERS_PER_TOKEN
    return Reply(text=notes.within(min(most, int(words[-1]) * _CHARACTERS_PER_WORD) if words else most))


def spoiled(reply: Reply, kind: SpoilKind, request: ParsedRequest) -> Reply:
    """The same reply gone wrong."""
    match kind:
        case "empty":
            return Reply()
        case "blank":
            return Reply(text=" \n")
        case "truncated":
            return Reply(text=reply.text[: len(reply.text) // 2], stop_reason="max_tokens")
        case "huge":
            characters = _tokens(request) * CHARACTERS_PER_TOKEN
            return Reply(text=(f"{reply.text}\n" + "and so on " * (characters // 10 + 1))[:characters])
        case "tool_call":
            return Reply(text=reply.text, tool_calls=(ToolCall(name="search", input={"query": "more"}),))
        case "refused":
            return Reply(text="I can't help with that.", stop_reason="refusal")
        case "forgetful":
            notes = Notes()
            notes.add_summary(reply.text)
            notes.lines = {name: lines if name in (GOAL, NEXT) else {} for name, lines in notes.lines.items()}
            return Reply(text=notes.within(len(reply.text)))
        case _ as never:
            assert_never(never)


def _tokens(request: ParsedRequest) -> int:
    return request.max_tokens if request.max_tokens is not None else _MANY_TOKENS
