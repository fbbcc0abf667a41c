"""`Summariser`: one job in, one summary or the reason why there is none out.

    what happens                          what is done
    ------------------------------------  ----------------------------------------------------------------------------
    too long for the summariser's window  a running update, chunk by chunk, each with the summary so far
    too long all the same                 half the room and shorter tool results, a few times
    a transient error                     the request is made again, twice at most
    a summary that was cut off            a shorter one is asked for, once
    empty, refused, or a tool called      the job fails

The rule here: there is one deadline for all of it, everything that was spent is told, and nothing is ever raised but
a cancellation.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from agent_core.compaction.asking import Asking, CutOff, TooLong, Unusable
from agent_core.compaction.prompt import SYSTEM_PROMPT, Wishes, user_message
from agent_core.compaction.tags import unescape
from agent_core.compaction.transcript import LEAST_ROOM, Chunk, Transcript, clip
from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.errors import ErrorInfo, RayconteurError
from agent_core.messages import TurnId, Usage, UserMessage
from agent_core.ports import Clock, CompactionFailure, CompactionJob, Model, ModelRequest, Patch
from agent_core.providers.deadline import Deadline
from agent_core.providers.retry import RetryPolicy
from agent_core.tokens import characters_in, estimate_text

log = logging.getLogger("rayconteur.compaction")

# How much of the window is filled by estimate, which may be short of the truth.
_FILLED = 0.85
_MOST_SUMMARY = 0.25
_MOST_PREVIOUS = 0.3
_RUNGS = 4
_RETRIES = RetryPolicy(max_attempts=3, base=1.0)
_RESULT_CHARACTERS = 4_000
_RESULTS_IN_A_CHUNK = 8
# Words that fill about two thirds of the tokens that there are for them.
_WORDS_A_TOKEN = 0.5


@dataclass(frozen=True, slots=True)
class Summariser:
    """Makes summaries with a model. `limit_of` tells the window of a configuration's model, in tokens."""

    model: Model
    clock: Clock
    limit_of: Callable[[SessionConfig], int]

    async def summarise(self, job: CompactionJob) -> Patch | CompactionFailure:
        """The summary of the job's messages, or why there is none, within `job.config.timeout` seconds."""
        began = self.clock.now()
        asking: Asking | None = None
        try:
            async with Deadline(self.clock, job.config.timeout) as deadline:
                # Jobs that fail together do not come back together, and each repeats exactly.
                asking = Asking(self.model, self.clock, _RETRIES, Random(job.key), deadline)
                work = _Work(job, asking, self.limit_of(job.config), self.clock.now())
                summary = await deadline.wait(work.all())
        except TimeoutError:
            error = _overdue(job, asking)
        except Unusable as unusable:
            error = unusable.info
        except RayconteurError as raised:
            error = raised.info()
        except Exception as raised:
            # The boundary to a model: whoever waits for the job is told whatever it raises.
            log.exception("session %s: a summary failed unexpectedly", job.session_id)
            text = f"The summary failed ({type(raised).__name__}). The log of the process that made it says more."
            error = ErrorInfo(boundary="session", kind="unexpected", message=text)
        else:
            return Patch(job.key, job.digest, summary, asking.usage, self.clock.now() - began)
        return CompactionFailure(job.key, error, asking.usage if asking else Usage())


@dataclass(slots=True)
class _Work:
    """One job as far as it has got: `summary` is of everything before message `at`."""

    job: CompactionJob
    asking: Asking
    window: int
    now: float
    summary: str | None = None
    at: int = 0
    rung: int = 0
    requests: int = 0
    shorter: bool = False
    transcript: Transcript = field(init=False)

    def __post_init__(self) -> None:
        self.summary = self.job.previous
        self.transcript = Transcript(self.job.messages)

    async def all(self) -> str:
        """The summary of everything."""
        while self.at < len(self.job.messages):
            chunk = self._chunk()
            try:
                if chunk.text:
                    text = self._text(chunk.text, goes_on=chunk.end < len(self.job.messages))
                    self.summary = unescape(await self.asking.summary(self._request(text)))
                self.at = chunk.end
            except TooLong as overflow:
                self._step_down(overflow)
            except CutOff:
                if self.shorter:
                    raise _cut_off(self._most_tokens) from None
                self.shorter = True
        if self.summary is None:
            raise Unusable("nothing", "There is nothing to summarise. Compact once something has been said.")
        return self.summary

    # --- how much is sent -------------------------------------------------------------------------------------------

    @property
    def _most_tokens(self) -> int:
        return max(1, min(self.job.config.max_tokens, int(self.window * _MOST_SUMMARY)))

    def _chunk(self) -> Chunk:
        room = self._room()
        if room < LEAST_ROOM:
            raise _too_small(self.window)
        limit = max(min(_RESULT_CHARACTERS >> self.rung, room // _RESULTS_IN_A_CHUNK), 200)
        return self.transcript.chunk(self.at, room, limit)

    def _room(self) -> int:
        """Characters that a chunk may have."""
        provider = self.job.config.provider
        around = estimate_text(SYSTEM_PROMPT + self._text("", goes_on=True), provider)
        left = int(self.window * _FILLED) - self._most_tokens - around
        return characters_in(left, provider) >> self.rung

    def _text(self, transcript: str, *, goes_on: bool) -> str:
        most = characters_in(int(self.window * _MOST_PREVIOUS), self.job.config.provider)
        previous = clip(self.summary, most) if self.summary is not None else None
        words = max(int(self._most_tokens * _WORDS_A_TOKEN), 1)
        wishes = Wishes(
            words=max(words // 2, 1) if self.shorter else words,
            focus=clip(self.job.focus, most // 4),
            goes_on=goes_on,
            shorter=self.shorter,
        )
        return user_message(transcript, previous, wishes)

    def _step_down(self, overflow: TooLong) -> None:
        if overflow.window is not None:
            self.window = min(self.window, overflow.window)
        self.rung += 1
        if self.rung >= _RUNGS:
            raise _too_small(self.window)

    # --- what is sent ----------------------------------------------------------------------------------------------

    def _request(self, text: str) -> ModelRequest:
        self.requests += 1
        config = self.job.config
        turn_id = TurnId(f"compaction/{self.job.job_id}")
        message = UserMessage(
            id=f"{self.job.key}/{self.requests}",
            session_id=self.job.session_id,
            turn_id=turn_id,
            created_at=self.now,
            content=(TextBlock(text=text),),
        )
        most = self._most_tokens
        return ModelRequest(
            config=config.model_copy(update={"max_tokens": most}),
            messages=(message,),
            session_id=self.job.session_id,
            turn_id=turn_id,
            system=SYSTEM_PROMPT,
            max_tokens=most,
            estimate=estimate_text(SYSTEM_PROMPT + text, config.provider) + most,
            traceparent=self.job.traceparent,
        )


def _overdue(job: CompactionJob, asking: Asking | None) -> ErrorInfo:
    last = f" Its last error: {asking.last_error}" if asking is not None and asking.last_error else ""
    text = (
        f"The summary was not made within {job.config.timeout:g} s. Raise compaction.deadline, or name a quicker"
        f" model with compaction.model.{last}"
    )
    return ErrorInfo(boundary="provider", kind="timeout", message=text, retryable=True)


def _cut_off(tokens: int) -> Unusable:
    return Unusable(
        "truncated",
        f"The summary did not fit in {tokens} tokens, nor did a shorter one. Raise compaction.max_summary_tokens, or"
        " name another model for it with compaction.model.",
    )


def _too_small(window: int) -> Unusable:
    return Unusable(
        "context_too_long",
        f"The conversation does not fit in the summariser's window of {window} tokens, not even in small parts. Name"
        " a model with a larger window with compaction.model, and check context_limit.",
    )
