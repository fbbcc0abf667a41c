"""The plain agent as data, so that files and flags can name it."""

from typing import Literal

from agent_core.evaluation.program import chat
from agent_core.evaluation.sample import Sample
from agent_core.frozen import Frozen
from agent_core.session_protocol import Session


class Chat(Frozen):
    """Says the sample's input, then each of its turns; tools that the session has are run meanwhile."""

    kind: Literal["chat"] = "chat"

    async def __call__(self, session: Session, sample: Sample) -> str:
        return await chat(session, sample)
