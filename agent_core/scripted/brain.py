"""Who decides the reply: the rules of a script, or the default that lets an agent loop run without one.

The rule here: a brain sees a parsed request and gives a reply; it does no I/O and knows no wire.
"""

import json
import re
from collections.abc import Callable
from typing import TypeAlias

from agent_core.scripted.request import ParsedRequest
from agent_core.scripted.script import Match, Reply, Rule, Script, ToolCall
from agent_core.scripted.summaries import summary_reply

Brain: TypeAlias = Callable[[ParsedRequest], Reply]

_CALL = re.compile(r"\bcall\s+([A-Za-z0-9_.-]+)\s*(?=\{)")
_THEN = re.compile(r"\bthen\b")


def default_brain(request: ParsedRequest) -> Reply:
    """Echoes the last user text; `call NAME {json}` in it calls that tool, if the request has it.

    Several calls go out at once; `then` between them makes steps, one model response each. After the last step the
    answer tells the tools' results. It thinks aloud where the request asks for thinking. Asked for a summary of a
    conversation, it gives one.
    """
    if request.summary:
        return summary_reply(request)
    thinking = f"The user said: {request.text}" if request.thinking else None
    steps = _steps(request.text, request.tools)
    if request.rounds < len(steps):
        number = f" (step {request.rounds + 1} of {len(steps)})" if len(steps) > 1 else ""
        return Reply(text=f"Calling tools{number}.", thinking=thinking, tool_calls=steps[request.rounds])
    if request.results:
        told = "\n".join(
            f"{r.name or r.call_id} {'failed' if r.is_error else 'returned'}: {r.text}" for r in request.results
        )
        return Reply(text=told, thinking=thinking)
    return Reply(text=f"You said: {request.text}", thinking=thinking)


def _steps(text: str, tools: tuple[str, ...]) -> list[tuple[ToolCall, ...]]:
    steps: list[list[ToolCall]] = []
    end = 0
    for match in _CALL.finditer(text):
        if match.start() < end or match[1] not in tools:
            continue
        try:
            value, after = json.JSONDecoder().raw_decode(text, match.end())
        except json.JSONDecodeError:
            continue
        if not steps or _THEN.search(text, end, match.start()):
            steps.append([])
        steps[-1].append(ToolCall(name=match[1], input=value))
        end = after
    return [tuple(step) for step in steps]


class ScriptedBrain:
    """Answers from the rules of a script, and as `default_brain` where no rule matches.

    `rule_for` also says which rule answered, since a rule brings knobs of its own.
    """

    def __init__(self, script: Script) -> None:
        self._rules = script.rules
        self._used: dict[tuple[int, str | None], int] = {}

    def __call__(self, request: ParsedRequest) -> Reply:
        return self.rule_for(request)[1]

    def rule_for(self, request: ParsedRequest) -> tuple[Rule | None, Reply]:
        """The rule that matches, None for the default, and its next reply."""
        for index, rule in enumerate(self._rules):
            if not matches(rule.match, request):
                continue
            key = (index, request.session if rule.per_session else None)
            used = self._used.get(key, 0)
            if rule.repeat == "once" and used >= len(rule.replies):
                continue
            self._used[key] = used + 1
            last = len(rule.replies) - 1
            return rule, rule.replies[min(used, last) if rule.repeat == "last" else used % len(rule.replies)]
        return None, default_brain(request)


def matches(match: Match, request: ParsedRequest) -> bool:
    """Whether every field of `match` that is set holds for the request."""
    return (
        match.summary == request.summary
        and _equal(match.wire, request.wire)
        and _equal(match.nth, request.number)
        and _equal(match.rounds, request.rounds)
        and _equal(match.has_tool_result, bool(request.results))
        and _found(match.text, request.text)
        and _found(match.model, request.model)
        and _found(match.session, request.session or "")
        and _found(match.system, request.system)
        and (match.result is None or any(_found(match.result, result.text) for result in request.results))
        and (match.tool is None or any(_found(match.tool, result.name) for result in request.results))
    )


def _equal(wanted: object, actual: object) -> bool:
    return wanted is None or wanted == actual


def _found(pattern: str | None, text: str) -> bool:
    return pattern is None or re.search(pattern, text) is not None
