"""Grading models: asked in sessions of their own, beside those that they grade.

The rule here: one question, one session, which leaves as soon as it has answered. What it took is told with the answer.
"""

import asyncio
import secrets

from agent_core.config import SessionConfig
from agent_core.entries import Opened
from agent_core.evaluation.pricing import pricing
from agent_core.evaluation.score import GraderAnswer, GraderQuestion
from agent_core.hosting import SessionHost
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, Usage
from agent_core.providers.preloading import preload

# A grader's requests wait behind those of samples: an answer that is not graded yet holds up nobody.
AT_ONCE = 16


class SessionGrader:
    """Asks grading models in sessions of `host`. A `Grader`."""

    def __init__(self, host: SessionHost, run_id: str) -> None:
        self._host, self._run_id = host, run_id
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, question: GraderQuestion) -> GraderAnswer:
        """The grader's answer. Raises ConfigError for wrong fields, and the errors of `Session.ask`."""
        config = SessionConfig.of(**question.fields, system_prompt=question.system_prompt, request_class="batch")
        opened = Opened(config=config, labels={"run": self._run_id, "role": "grader"})
        async with self._places:
            await preload(config)
            session_id = SessionId(f"{self._run_id}.grader.{secrets.token_hex(6)}")
            session = LocalSession(await self._host.open(session_id, opened), self._host)
            try:
                text = await session.ask(question.prompt)
                usage = (await session.status()).usage.total
            finally:
                await session.shutdown(graceful=False)
        return GraderAnswer(text=text, usage=usage, cost=pricing(config)(usage, Usage()))
