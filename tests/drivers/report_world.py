"""A run as it lies on disk when it has ended, made up from a seed: scores, epochs, groups, tools, thinking, failures.

The rule here: the same seed gives the same bytes. One sample carries everything that a page must not take for markup.
"""

import base64
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.errors import ErrorInfo
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.result import Result, Timings, encode
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage

NOON = 1_790_000_000.0
SUBJECTS = ("arithmetic", "geography", "history", "logic", "planning")
LEVELS = ("easy", "medium", "hard")
HOSTILE_ID = "hostile/</script>#1"
HOSTILE = (
    '</script><script>alert(1)</script><img src=x onerror="alert(2)"><!-- ]]> <svg onload=alert(3)> '
    "[a link](javascript:alert(4)) &lt;b&gt; \u2028 \U0001f642 '\"`${alert(5)}"
)
PLACES = ("Lisbon", "Oslo", "Quito", "Nairobi", "Hanoi", "Tallinn", "Lima", "Accra")
FAILURES = (
    ("model_failed", "bad_request", "The provider refused the request: the prompt holds a role that it does not know."),
    ("infrastructure_failed", "overloaded", "The provider was overloaded in every attempt. Run it again later."),
    ("infrastructure_failed", "connection", "The connection to the provider was lost. Check that it can be reached."),
    ("limit_hit", "time", ""),
    ("limit_hit", "max_tokens", ""),
    ("cancelled", "cancelled", ""),
)


def write_run(directory: Path, samples: int = 200, epochs: int = 2, seed: int = 7) -> Path:
    """Write run.json and results.jsonl into the directory, the hostile sample among them; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    record = RunRecord(
        run_id="capitals-and-sums-4f1c2a",
        created_at=NOON,
        dataset="capitals-and-sums.jsonl",
        samples=samples + 1,
        epochs=epochs,
        digest="9f2c4e81d07ab356",
        configuration={
            "session": {
                "model": "anthropic/claude-sonnet-5-5",
                "system_prompt": "You answer questions about places and numbers.\nLook things up before you answer.",
                "max_tokens": 2048,
                "thinking": {"budget_tokens": 2048},
                "compaction": {"kind": "llm", "trigger": 0.8},
            },
            "tools": {"look_up": {"name": "look_up", "description": "Finds a fact in the almanac."}},
            "timeout": 60.0,
        },
    )
    (directory / "run.json").write_text(record.model_dump_json(indent=2))
    with (directory / "results.jsonl").open("wb") as file:
        for result in results(samples, epochs, seed):
            file.write(encode(result))
    return directory


def results(samples: int, epochs: int, seed: int) -> Iterator[Result]:
    """The results, in an order that is not that of the dataset; one sample has none in its last epoch."""
    chance = random.Random(seed)
    pairs = [(number, epoch) for number in range(samples) for epoch in range(1, epochs + 1)]
    chance.shuffle(pairs)
    for epoch in range(1, epochs + 1):
        yield hostile(epoch)
    for number, epoch in pairs:
        if (number, epoch) != (samples - 1, epochs) or epochs == 1:
            yield result(chance, number, epoch)


def result(chance: random.Random, number: int, epoch: int) -> Result:
    """One result."""
    subject, level = SUBJECTS[number % 5], LEVELS[number * 7 % 3]
    place, value = PLACES[number % 8], number * 37 % 900
    question = f"How many streets of {place} lead to the harbour, if {value} is the number of its bridges plus 12?"
    failure = chance.choice(FAILURES) if chance.random() < 0.09 else None
    seconds = chance.lognormvariate(0.8 + 0.4 * LEVELS.index(level), 0.6)
    began = NOON + number * 0.4 + chance.random()
    fields: dict[str, Any] = {
        "id": f"{subject}-{number}",
        "epoch": epoch,
        "attempts": 1 + (chance.random() < 0.05),
        "input": question,
        "target": str(value - 12),
        "metadata": {"subject": subject, "level": level, "number": number, "source": {"page": number}},
        "session_id": f"s{number}-{epoch}",
        "configuration": "9f2c4e81d07ab356",
        "timings": Timings(queued=began - 0.3, started=began, first_token=began + seconds / 5, ended=began + seconds),
    }
    right = chance.random() < (0.92, 0.78, 0.55)[LEVELS.index(level)] - 0.12 * (subject == "logic")
    answer = str(value - 12 if right else value)
    transcript = messages(chance, question, place, None if failure else answer)
    usage = Usage(input_tokens=chance.randint(300, 2500), output_tokens=int(chance.lognormvariate(5, 0.7)),
                  cache_read_tokens=chance.choice((0, 1800)))  # fmt: skip
    fields |= {
        "transcript": transcript,
        "usage": usage,
        "cost": usage.input_tokens * 3e-6 + usage.output_tokens * 15e-6,
    }
    if failure is not None:
        outcome, kind, message = failure
        error = ErrorInfo(boundary="provider", kind=kind, message=message) if message else None
        limit = kind if outcome == "limit_hit" else None
        return Result.model_validate({**fields, "outcome": outcome, "error": error, "limit": limit})
    scores = {
        "exact": Score(value=float(right), answer=answer, explanation=f"{answer!r} against {value - 12!r}."),
        "grounded": graded(chance, right=right),
        "style": Score(value=float(chance.randint(4 if right else 1, 10))),
    }
    unscored = scores["grounded"].value is None
    return Result(**fields, outcome="unscored" if unscored else "scored", answer=answer, scores=scores)


def graded(chance: random.Random, *, right: bool) -> Score:
    """What a grading model says, which now and then is nothing to use."""
    if chance.random() < 0.015:
        error = ErrorInfo(boundary="provider", kind="overloaded", message="The grading model was overloaded.")
        return Score(value=None, error=error)
    value = chance.choice((0.5, 1.0, 1.0) if right else (0.0, 0.0, 0.5))
    return Score(value=value, explanation="The answer rests on the almanac.", usage=Usage(input_tokens=500), cost=0.002)


def messages(chance: random.Random, question: str, place: str, answer: str | None) -> tuple[Message, ...]:
    """A conversation: question, thinking and a call, its result, the answer, unless it never came to that."""
    said: list[Message] = [user(1, TextBlock(text=question))]
    thought = f"The almanac has {place}. I look it up, then take the bridges away." * chance.randint(1, 3)
    call = ToolUseBlock(id="call-1", name="look_up", input={"place": place, "fields": ["streets", "harbour"]})
    said.append(assistant(2, ThinkingBlock(thinking=thought, signature="c2ln" * 40, provider="anthropic"), call))
    failed = chance.random() < 0.1
    facts = f"# {place}\n\n| fact | value |\n|---|---|\n| harbour | yes |\n| streets | {chance.randint(100, 999)} |\n"
    found = "KeyError: no such place" if failed else facts + "\n".join(
        f"{chance.choice(PLACES)} lies {chance.randint(20, 9000)} km away." for _ in range(12)
    )  # fmt: skip
    said.append(user(3, ToolResultBlock(tool_use_id="call-1", content=found, is_error=failed)))
    if answer is not None:
        text = f"By the almanac:\n\n```python\nstreets = bridges - 12\n```\n\n**{answer}** streets lead to the harbour."
        said.append(assistant(4, TextBlock(text=text)))
    return tuple(said)


def user(number: int, *blocks: TextBlock | ToolResultBlock | ImageBlock) -> UserMessage:
    where = {"session_id": SessionId("s"), "turn_id": TurnId("t1")}
    return UserMessage(id=f"m{number}", created_at=NOON + number, content=blocks, **where)


def assistant(number: int, *blocks: TextBlock | ThinkingBlock | ToolUseBlock) -> AssistantMessage:
    where = {"session_id": SessionId("s"), "turn_id": TurnId("t1")}
    usage = Usage(input_tokens=420 * number, output_tokens=60)
    made = {"provider": "anthropic", "model": "claude-sonnet-5-5", "usage": usage, "finish_reason": "end_turn"}
    return AssistantMessage(id=f"m{number}", created_at=NOON + number, content=blocks, **made, **where)


def hostile(epoch: int) -> Result:
    """A result every text of which tries to be markup, and which shows an image."""
    call = ToolUseBlock(id="call-1", name=HOSTILE, input={HOSTILE: [HOSTILE]})
    picture = ImageBlock(media_type="image/png", data=png())
    elsewhere = ImageBlock(url="https://example.com/pixel.png")
    transcript = (
        user(1, TextBlock(text=HOSTILE), picture, elsewhere),
        assistant(2, ThinkingBlock(thinking=HOSTILE), call),
        user(3, ToolResultBlock(tool_use_id="call-1", content=HOSTILE)),
        assistant(4, TextBlock(text=HOSTILE)),
    )
    return Result.model_validate({
        "id": HOSTILE_ID,
        "epoch": epoch,
        "outcome": "model_failed",
        "error": ErrorInfo(boundary="provider", kind="<i>bad</i>", message=HOSTILE),
        "attempts": 1,
        "input": HOSTILE,
        "answer": HOSTILE,
        "target": HOSTILE,
        "metadata": {"subject": "<u>logic</u>", "level": "hard", "note": HOSTILE},
        "session_id": HOSTILE,
        "timings": Timings(queued=NOON, started=NOON, ended=NOON + 90.0),
        "configuration": "9f2c4e81d07ab356",
        "transcript": transcript,
    })  # fmt: skip


def png() -> str:
    """A picture of 24 by 16 grey dots, in base64."""

    def part(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    rows = b"".join(b"\0" + bytes((x * 10 + y * 5) % 256 for x in range(24)) for y in range(16))
    header = (24).to_bytes(4, "big") + (16).to_bytes(4, "big") + b"\x08\0\0\0\0"
    parts = (part(b"IHDR", header), part(b"IDAT", zlib.compress(rows)), part(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
