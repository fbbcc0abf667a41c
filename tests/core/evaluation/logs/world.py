"""Results as they come out of runs, to be put into logs."""

from typing import Any

from agent_core.content import TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.logs.sample import Asked
from agent_core.evaluation.logs.spec import LogSpec
from agent_core.evaluation.result import Result, Timings
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage

STARTED = 1_750_000_000.0
MODEL = "anthropic/claude-sonnet-5"
SETTINGS = {"session": {"model": MODEL, "system_prompt": "Answer from the book."}}
ASKED = Asked.of(SETTINGS)
_SESSION = SessionId("book.q1.e1.a1")


def user(name: str, *blocks: Any, at: float = STARTED, turn: int = 1, **fields: Any) -> UserMessage:
    content = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in blocks)
    where = {"session_id": _SESSION, "turn_id": TurnId(str(turn)), "created_at": at}
    return UserMessage.model_validate({"id": name, "content": content, **where, **fields})


def assistant(name: str, *blocks: Any, at: float = STARTED, turn: int = 1, **fields: Any) -> AssistantMessage:
    content = tuple(TextBlock(text=block) if isinstance(block, str) else block for block in blocks)
    where = {"session_id": _SESSION, "turn_id": TurnId(str(turn)), "created_at": at, "completed_at": at + 0.5}
    made: dict[str, Any] = {"provider": "anthropic", "model": "claude-sonnet-5", "finish_reason": "end_turn"}
    made |= {"usage": Usage(input_tokens=10, output_tokens=3), "id": name, "content": content}
    return AssistantMessage.model_validate(made | where | fields)


def conversation(turns: int = 1) -> tuple[Message, ...]:
    """A question, thinking and a call, its result, an answer: as often as that."""
    said: list[Message] = []
    for turn in range(1, turns + 1):
        at = STARTED + 10 * turn
        call = ToolUseBlock(id=f"call-{turn}", name="look_up", input={"page": turn, "words": ["whale", "ship"]})
        thought = ThinkingBlock(thinking="The book will say.", signature="c2ln", provider="anthropic")
        result = ToolResultBlock(tool_use_id=call.id, content=f"Page {turn} says that it was white. " * 20)
        said += [
            user(f"u{turn}", f"What does page {turn} say?", at=at, turn=turn),
            assistant(f"a{turn}", thought, "I look.", call, at=at + 1, turn=turn, finish_reason="tool_use"),
            user(f"r{turn}", result, at=at + 2, turn=turn),
            assistant(f"b{turn}", f"On page {turn} it was white.", at=at + 3, turn=turn),
        ]
    return tuple(said)


def result(sample_id: str = "q1", epoch: int = 1, *, value: float | None = 1.0, **fields: Any) -> Result:
    made: dict[str, Any] = {
        "id": sample_id,
        "epoch": epoch,
        "outcome": "scored",
        "attempts": 1,
        "answer": "On page 1 it was white.",
        "input": "What does page 1 say?",
        "target": "white",
        "metadata": {"chapter": 3, "tags": ["sea"]},
        "scores": {"includes": Score(value=value, answer="white", explanation="It is in the answer.")},
        "usage": Usage(input_tokens=20, output_tokens=6, cache_read_tokens=4),
        "cost": 0.25,
        "timings": Timings(queued=STARTED - 1, started=STARTED, first_token=STARTED + 0.2, ended=STARTED + 40),
        "session_id": f"book.{sample_id[:20]}.e{epoch}.a1",
        "configuration": "c0ffee",
        "transcript": conversation(),
    }
    return Result.model_validate(made | fields)


def record(name: str = "book", *, samples: int = 2, epochs: int = 1, **fields: Any) -> RunRecord:
    made: dict[str, Any] = {"run_id": name, "created_at": STARTED, "dataset": "book.jsonl", "samples": samples}
    made |= {"epochs": epochs, "digest": "c0ffee", "configuration": SETTINGS}
    return RunRecord.model_validate(made | fields)


def start(*, samples: int = 2, epochs: int = 1) -> dict[str, Any]:
    return LogSpec.of(record(samples=samples, epochs=epochs)).start()
