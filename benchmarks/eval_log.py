"""What it costs to keep an evaluation in an `.eval` log: to make samples of results, to add them, to end and to merge.

The rule here: CPU of this one process, no model and no network. Texts are of random words, since what repeats itself
compresses too easily. A sample is made where its agent ran; adding, ending and merging is all that one process does for
all of them.
"""

import contextlib
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import typer

from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.logs.closing import Ending
from agent_core.evaluation.logs.log import EvalLog
from agent_core.evaluation.logs.sample import Asked, EncodedSample, member
from agent_core.evaluation.logs.spec import LogSpec
from agent_core.evaluation.result import Result, Timings, encode
from agent_core.evaluation.score import Score
from agent_core.messages import AssistantMessage, Message, SessionId, TurnId, Usage, UserMessage
from benchmarks.figures import Figure, figure, quantile, show
from drivers.evaluating.merging import merge_command

SETTINGS = {"session": {"model": "anthropic/claude-sonnet-5", "system_prompt": "Answer from what you are shown."}}
BEGUN = 1.75e9
_WARMING = 20
# Memory is compared with what it was once so many had been added: by then every cache has its size.
_SETTLED = 1_000


class _Texts:
    """Makes conversations whose texts do not come twice."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = [
            "".join(self._chance.choices("etaoinshrdlu", k=self._chance.randint(2, 9))) for _ in range(3_000)
        ]

    def text(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, k=words))

    def conversation(self, turns: int, *, calls: bool) -> Iterator[Message]:
        """A question of 30 words and an answer of 60 a turn; with calls, one in each turn that shows 150 words."""
        for turn in range(turns):
            yield self._user(f"{turn}.1", TextBlock(text=self.text(30)))
            if calls:
                call = ToolUseBlock(id=f"call-{turn}", name="read", input={"path": self.text(3), "line": turn})
                yield self._assistant(f"{turn}.2", TextBlock(text=self.text(10)), call)
                yield self._user(f"{turn}.3", ToolResultBlock(tool_use_id=call.id, content=self.text(150)))
            yield self._assistant(f"{turn}.4", TextBlock(text=self.text(60)))

    def result(self, sample_id: str, turns: int, *, calls: bool) -> Result:
        return Result(
            id=sample_id,
            epoch=1,
            outcome="scored",
            attempts=1,
            answer=self.text(60),
            input=self.text(30),
            target=self.text(2),
            scores={"includes": Score(value=float(self._chance.randrange(2)), explanation=self.text(10))},
            usage=Usage(input_tokens=6_000, output_tokens=900),
            cost=0.03,
            timings=Timings(queued=BEGUN, started=BEGUN, ended=BEGUN + 12),
            session_id=f"benchmark.{sample_id}.e1.a1",
            configuration="benchmark",
            transcript=tuple(self.conversation(turns, calls=calls)),
        )

    def _user(self, name: str, block: TextBlock | ToolResultBlock) -> UserMessage:
        at = {"session_id": SessionId("benchmark"), "turn_id": TurnId("1"), "created_at": BEGUN}
        return UserMessage.model_validate({"id": name, "content": (block,), **at})

    def _assistant(self, name: str, *blocks: TextBlock | ToolUseBlock) -> AssistantMessage:
        return AssistantMessage(
            id=name,
            session_id=SessionId("benchmark"),
            turn_id=TurnId("1"),
            created_at=BEGUN,
            completed_at=BEGUN + 1,
            provider="anthropic",
            model="claude-sonnet-5",
            usage=Usage(input_tokens=500, output_tokens=80),
            finish_reason="end_turn",
            content=blocks,
        )


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU that this took."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _memory() -> float:
    return psutil.Process().memory_info().rss / 1e6


def made(rounds: int, turns: int) -> list[Figure]:
    """The median of making a sample of a result, in milliseconds, and how large it is."""
    asked, texts, found = Asked.of(SETTINGS), _Texts(1), list[Figure]()
    for calls in (False, True):
        results = [texts.result(f"q{number}", turns, calls=calls) for number in range(rounds + _WARMING)]
        for result in results[:_WARMING]:
            member(result, asked)
        times = [_cpu(partial(member, result, asked)) for result in results[_WARMING:]]
        size = sum(len(member(result, asked).member.data) for result in results) / len(results)
        kind = f"{turns} turns with a call in each" if calls else f"{turns} turns"
        found.append(figure("F9", f"CPU to make a sample of {kind}", quantile(times, 0.5) * 1e3, "ms", "<= 0.5"))
        found.append(figure("F9", f"a sample of {kind}, compressed", size / 1e3, "kB"))
    return found


def kept(count: int, directory: Path) -> list[Figure]:
    """What one process does for each of so many samples, in microseconds, and how its memory grows."""
    samples = [member(_Texts(seed).result("q", 6, calls=False), Asked.of(SETTINGS)) for seed in range(8)]
    start = LogSpec.of(_record("whole", count)).start()
    with EvalLog(directory / "log.eval", start) as log:
        settled = min(count, _SETTLED)
        adding = _cpu(lambda: _add(log, samples, range(settled)))
        before = _memory()
        adding += _cpu(lambda: _add(log, samples, range(settled, count)))
        ending = _cpu(lambda: log.finish(Ending()))
        grown = max(0.0, _memory() - before)
    return [
        figure("F9", "CPU to add a sample to a log", adding * 1e6 / count, "µs"),
        figure("F9", "CPU to end a log, for each sample", ending * 1e6 / count, "µs"),
        figure("F9", f"memory grown from {settled:,} to {count:,} samples", grown, "MB", "<= 32"),
    ]


def merged(count: int, directory: Path) -> list[Figure]:
    """What merging two runs of so many samples together takes for each, in microseconds."""
    runs: list[str] = []
    for number in (0, 1):
        path = directory / f"run-{number}"
        path.mkdir()
        results = [_Texts(seed).result(f"q{number}-{seed}", 6, calls=False) for seed in range(count // 2)]
        (path / "results.jsonl").write_bytes(b"".join(map(encode, results)))
        (path / "run.json").write_text(_record(path.name, count).model_dump_json())
        with EvalLog(path / "results.eval", LogSpec.of(_record(path.name, count)).start()) as log:
            for result in results:
                log.append(member(result, Asked.of(SETTINGS)))
        runs.append(str(path))
    with contextlib.redirect_stdout(io.StringIO()):
        seconds = _cpu(lambda: merge_command(runs, directory / "merged"))
    return [figure("F9", "CPU to merge two runs, for each sample", seconds * 1e6 / (2 * (count // 2)), "µs")]


def _add(log: EvalLog, samples: list[EncodedSample], numbers: range) -> None:
    for number in numbers:
        sample = samples[number % len(samples)]
        name = f"q{number}"
        summary = sample.summary.replace(b'"id":"q"', f'"id":"{name}"'.encode(), 1)
        log.append(EncodedSample(sample.member._replace(name=f"samples/{name}_epoch_1.json"), summary))


def _record(name: str, samples: int) -> RunRecord:
    about = {"run_id": name, "created_at": BEGUN, "dataset": "benchmark.jsonl", "samples": samples, "epochs": 1}
    return RunRecord.model_validate({**about, "digest": "benchmark", "configuration": SETTINGS})


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many samples are made.")] = 500,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 6,
    samples: Annotated[int, typer.Option(min=2, help="How many samples one log is given.")] = 20_000,
    merge: Annotated[int, typer.Option(min=2, help="How many samples are merged.")] = 1_000,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure what a log costs."""
    with tempfile.TemporaryDirectory(prefix="rayconteur-benchmark-") as directory:
        found = [*made(rounds, turns), *kept(samples, Path(directory)), *merged(merge, Path(directory))]
    show(f"logs of {samples:,} samples", found, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
