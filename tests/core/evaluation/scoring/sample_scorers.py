"""Scorers of a user's, good and bad, in a module that a child process can import."""

import asyncio
import math
import os
import sys
import time
from typing import Any

from agent_core.evaluation.score import Answered, Score
from agent_core.evaluation.scoring import scorer


@scorer
def length(answered: Answered) -> float:
    return len(answered.answer)


@scorer(name="process")
def where(answered: Answered) -> dict[str, Any]:
    return {"id": os.getpid(), "calls": len(answered.transcript)}


@scorer
async def here(answered: Answered) -> int:
    await asyncio.sleep(0)
    return os.getpid()


def plain(answered: Answered) -> bool:
    return answered.answer == "yes"


@scorer
def obedient(answered: Answered) -> Any:
    """Does what the answer says."""
    match answered.answer:
        case "hang":
            while True:
                time.sleep(0.01)
        case "leave":
            os._exit(3)
        case "exit":
            sys.exit("enough")
        case "raise":
            raise LookupError("no such thing")
        case "interrupt":
            raise KeyboardInterrupt
        case "nan":
            return math.nan
        case "none":
            return None
        case "text":
            return "0.5"
        case "long":
            return Score(value=1, explanation="x" * 200_000)
        case "shout":
            print("\x01\x02loud\n" * 5_000)
            return 1
        case "deep":
            nested: Any = 1
            for _ in range(200):
                nested = {"a": nested}
            return Score(value=1, metadata=nested)
        case _:
            return {"a": True, "b": Score(value=0.5, explanation="half"), "c": "nonsense"}
