"""The model without HTTP: a request body in, a decided answer or the provider's refusal out.

The rule here: everything that the server knows about a wire is used through this class, so a simulation in one
process validates and answers exactly as the server does. It sleeps never: delays and faults are part of the answer,
for whoever performs it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from agent_core.scripted.anthropic_turns import notices
from agent_core.scripted.brain import Brain, ScriptedBrain
from agent_core.scripted.caching import PromptCache
from agent_core.scripted.compose import Composed, compose
from agent_core.scripted.frames import Frames, Usage
from agent_core.scripted.http_faults import http_fault
from agent_core.scripted.knobs import FaultDraw, FaultKind, Knobs, SpoilDraw, SpoilKind, SummaryKnobs, first_byte_delay
from agent_core.scripted.openai_checks import model_not_found as openai_model_not_found
from agent_core.scripted.render_anthropic import message_body, message_frames
from agent_core.scripted.render_chat import chat_body, chat_frames
from agent_core.scripted.render_responses import response_body, response_frames
from agent_core.scripted.request import ParsedRequest, parse
from agent_core.scripted.script import ModelLimits, Reply, Rule, Script, UsageOverride
from agent_core.scripted.signing import Mint, Signer
from agent_core.scripted.summaries import spoiled
from agent_core.scripted.tokens import input_tokens
from agent_core.scripted.validate_anthropic import model_not_found, validate_anthropic, validate_count_tokens
from agent_core.scripted.validate_chat import validate_chat
from agent_core.scripted.validate_responses import validate_responses
from agent_core.scripted.wire import Json, Wire, WireError


@dataclass(slots=True)
class Answer:
    """What to send: the message, its usage, and how to misbehave. `delay_s` is the seconds before the first byte.

    `spoil` is what has gone wrong already with a summary.
    """

    request: ParsedRequest
    message: Composed
    usage: Usage
    knobs: Knobs
    fault: FaultKind | None
    delay_s: float
    notices: list[str]
    spoil: SpoilKind | None = None


class _SummaryDraws:
    """The seed and the counters of one set of knobs for summaries."""

    def __init__(self, knobs: SummaryKnobs, seed: int) -> None:
        self.rng = random.Random(f"summaries {seed if knobs.seed is None else knobs.seed}")
        self.faults = FaultDraw(knobs.faults, self.rng)
        self.spoils = SpoilDraw(knobs.spoils, self.rng)


class Engine:
    """A scripted model: a script, or a callable as its brain, and all the state of answering.

    `clock` gives Unix seconds, `mint` and `signer` ids and signatures; give them for a run that
    repeats exactly.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        brain: Brain | None = None,
        signer: Signer | None = None,
        mint: Mint | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.script = script or Script()
        self.signer = signer or Signer()
        self._mint = mint or Mint()
        self._rules = ScriptedBrain(self.script)
        self._brain = brain
        self.clock = clock
        self._cache = PromptCache(self.script.cache_minimum, clock)
        self._number = 0
        self.knobs = self.script.knobs
        self.set_knobs(self.knobs)

    def set_knobs(self, knobs: Knobs) -> None:
        """Replaces the global knobs and starts the seed and every fault's counters anew."""
        self.knobs = knobs
        self._rng = random.Random(self.script.seed)
        self._draws: dict[int, FaultDraw] = {}
        self._summaries: dict[int, _SummaryDraws] = {}

    def validate(self, wire: Wire, body: Json, tokens: int | None = None) -> None:
        """Raises WireError as the provider would. `tokens` are the input tokens, if they are counted already."""
        limits = self._limits(wire, body)
        match wire:
            case Wire.ANTHROPIC:
                validate_anthropic(body, limits, self.signer, tokens)
            case Wire.CHAT:
                validate_chat(body, limits, tokens)
            case Wire.RESPONSES:
                validate_responses(body, limits, self.signer, tokens)
            case _ as never:
                assert_never(never)

    def count_tokens(self, body: Json) -> int:
        """Input tokens of a count_tokens request. Raises WireError as the provider would."""
        validate_count_tokens(body, self.signer)
        return input_tokens(body)

    def answer(self, wire: Wire, body: Json) -> Answer:
        """Decides the answer. Raises WireError for an invalid request and for a fault that is an error answer."""
        total = input_tokens(body)
        self.validate(wire, body, total)
        self._number += 1
        limits = self._limits(wire, body)
        unasked = limits.thinks_unasked or (wire is Wire.CHAT and self.script.chat_reasoning_field is not None)
        request = replace(parse(wire, body, thinks_unasked=unasked), number=self._number)
        rule, reply = self._reply(request)
        knobs, draw = self._knobs_for(rule, reply)
        rng, spoil = self._rng, None
        if request.summary and knobs.summaries is not None:
            draws = self._draws_for(knobs.summaries)
            knobs, draw, rng = knobs.for_summaries(), draws.faults, draws.rng
            spoil = draws.spoils.draw()
        if spoil is not None:
            reply = spoiled(reply, spoil, request)
        fault = reply.fault or draw.draw()
        if reply.error is not None:
            raise WireError(reply.error.status, reply.error.body, "scripted_error", reply.error.headers)
        if fault is not None and (error := http_fault(wire, fault, knobs)) is not None:
            raise error
        room = max(0, limits.context_window - total)
        message = compose(reply, request, self._mint, room=room, broken=fault == "malformed_tool_json")
        usage = self._usage(request, message, reply.usage, total)
        delay = first_byte_delay(knobs, fault, rng)
        return Answer(request, message, usage, knobs, fault, delay, _notices(wire, body), spoil)

    def body(self, answer: Answer) -> Json:
        """The whole answer as one JSON body."""
        message, usage, created = answer.message, answer.usage, int(self.clock())
        match answer.request.wire:
            case Wire.ANTHROPIC:
                return message_body(message, usage, self.signer)
            case Wire.CHAT:
                return chat_body(message, usage, created, self.script.chat_reasoning_field)
            case Wire.RESPONSES:
                return response_body(message, usage, answer.request.body, created, self.signer)

    def frames(self, answer: Answer) -> Frames:
        """The whole answer as a stream of events."""
        message, usage, knobs, created = answer.message, answer.usage, answer.knobs, int(self.clock())
        body = answer.request.body
        match answer.request.wire:
            case Wire.ANTHROPIC:
                return message_frames(message, usage, self.signer, knobs)
            case Wire.CHAT:
                options: Json = body.get("stream_options") or {}
                field = self.script.chat_reasoning_field
                return chat_frames(
                    message, usage if options.get("include_usage") else None, created, knobs, reasoning_field=field
                )
            case Wire.RESPONSES:
                return response_frames(response_body(message, usage, body, created, self.signer), knobs)

    def _limits(self, wire: Wire, body: Json) -> ModelLimits:
        model = body.get("model")
        limits = self.script.limits(model) if isinstance(model, str) else self.script.default_limits
        if limits is None:
            raise (model_not_found if wire is Wire.ANTHROPIC else openai_model_not_found)(str(model))
        if self.knobs.context_window is not None:
            return limits.model_copy(update={"context_window": self.knobs.context_window})
        return limits

    def _reply(self, request: ParsedRequest) -> tuple[Rule | None, Reply]:
        if self._brain is not None:
            return None, self._brain(request)
        return self._rules.rule_for(request)

    def _knobs_for(self, rule: Rule | None, reply: Reply) -> tuple[Knobs, FaultDraw]:
        """The knobs for this reply, and the counters of the level that its faults are set on: reply, rule or global."""
        levels = [level for level in (reply.knobs, rule.knobs if rule else None) if level is not None]
        if not levels:
            return self.knobs, self._draw(self.knobs)
        knobs = self.knobs
        for level in reversed(levels):
            knobs = level.over(knobs)
        return knobs, self._draw(next((level for level in levels if "faults" in level.model_fields_set), self.knobs))

    def _draw(self, owner: Knobs) -> FaultDraw:
        # A script's knobs live as long as the script, so their identity may count; a callable's live for one reply.
        if self._brain is not None and owner is not self.knobs:
            return FaultDraw(owner.faults, self._rng)
        if id(owner) not in self._draws:
            self._draws[id(owner)] = FaultDraw(owner.faults, self._rng)
        return self._draws[id(owner)]

    def _draws_for(self, owner: SummaryKnobs) -> _SummaryDraws:
        # As in `_draw`, identity counts where knobs live on; a callable's are drawn from the seed each time.
        lasting = self._brain is None or owner is self.knobs.summaries
        known = self._summaries.get(id(owner)) if lasting else None
        draws = known or _SummaryDraws(owner, self.script.seed)
        if lasting:
            self._summaries[id(owner)] = draws
        return draws

    def _usage(self, request: ParsedRequest, message: Composed, override: UsageOverride | None, total: int) -> Usage:
        cached = self._cache.use(request.wire, request.body, total)
        own = total - cached.read - cached.write if request.wire is Wire.ANTHROPIC else total
        usage = Usage(own, message.output_tokens, cached.read, cached.write, message.reasoning_tokens)
        if override is not None:
            usage = replace(usage, **override.model_dump(exclude_none=True))
        return usage


def _notices(wire: Wire, body: Json) -> list[str]:
    return notices(body["messages"]) if wire is Wire.ANTHROPIC else []
