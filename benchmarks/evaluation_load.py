"""What the benchmarks of evaluation run: samples whose answers are the same everywhere, and a run of them, ready to go.

The rule here: all sides have the same samples, say the same to the same server, judge by the same scorer and keep a
log. A run that does not score every sample is no measurement.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent_core.entries import Opened
from agent_core.evaluation.configuration import Configuration, RunRecord
from agent_core.evaluation.coordinator import CoordinatorPlan
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.logs.sample import Asked
from agent_core.evaluation.logs.spec import LogSpec
from agent_core.evaluation.program import Given, Program, chat
from agent_core.evaluation.result import decode_head
from agent_core.evaluation.run import RunEnded, RunOrder
from agent_core.evaluation.runner import Plan
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.scoring.texts import Includes
from agent_core.evaluation.worker import WorkOrder
from agent_core.scripted import Knobs, Reply, Rule, Script

ANSWER = "The capital of Switzerland is Bern, and that is where its parliament sits."
TARGET = "Bern"
FURTHER = "Are you sure? Please say it again, and say why."


@dataclass(frozen=True, slots=True)
class Load:
    """So many samples of so many turns each, `at_once` of them under way."""

    samples: int
    turns: int
    at_once: int

    @property
    def calls(self) -> int:
        """How often the model is asked."""
        return self.samples * self.turns

    def as_line(self) -> bytes:
        """As a line of JSON, for another process."""
        return json.dumps(asdict(self)).encode() + b"\n"


def script(latency: float = 0.0, spread: float = 0.0) -> Script:
    """A model that always gives the same answer, after `latency` seconds: the median, if `spread` (a sigma) is set."""
    sigma = spread if latency else 0.0
    knobs = Knobs(first_byte_s=latency, first_byte_sigma=sigma)
    return Script(rules=(Rule(replies=(Reply(text=ANSWER),)),), knobs=knobs)


def question(number: int) -> str:
    """What the sample of that number asks."""
    return f"This is question {number}. What is the capital of Switzerland?"


def samples(load: Load) -> Iterator[Sample]:
    """The samples of a load."""
    for number in range(load.samples):
        yield Sample(
            id=f"q{number}",
            input=question(number),
            turns=(FURTHER,) * (load.turns - 1),
            target=TARGET,
            line=number + 1,
        )


def made_order(directory: Path, load: Load, opened: Opened, *, homes: int) -> RunOrder:
    """A run of the load with its files in a new directory below `directory`, as `evaluate run` makes it: log on."""
    run_id = f"load-{uuid.uuid4().hex[:8]}"
    place = directory / run_id
    place.mkdir()
    with RunIndex(place / "run.sqlite") as index, index.together():
        for sample in samples(load):
            index.add_sample(sample)
    scorer = Includes()
    configuration = Configuration(session=opened.config, task={"scorers": [scorer.name]})
    record = RunRecord(
        run_id=run_id,
        created_at=time.time(),
        dataset="load.jsonl",
        samples=load.samples,
        epochs=1,
        digest=configuration.digest,
        configuration=configuration.basis,
        task="load",
    )
    (place / "run.json").write_text(record.model_dump_json())
    plan = Plan(run_id=run_id, configuration=record.digest, retries=2)
    return RunOrder(
        index=place / "run.sqlite",
        results=place / "results.jsonl",
        record=place / "run.json",
        planned=load.samples,
        concurrency=load.at_once,
        plan=CoordinatorPlan(run_id, prime=False, homes=homes),
        work=WorkOrder(plan, Given(Program(chat, (scorer,))), opened, asked=Asked.of(record.configuration)),
        log=place / "results.eval",
        log_start=replace(LogSpec.of(record), scorers=(scorer.name,)).start(),
    )


def checked(ended: RunEnded, order: RunOrder) -> None:
    """Raise RuntimeError unless every sample has one result, and each is scored as right."""
    with order.results.open("rb") as lines:
        heads = [decode_head(line) for line in lines]
    right = {head.id for head in heads if head.outcome == "scored" and _value(head) == 1}
    if not len(right) == len(heads) == order.planned:
        said: Any = ended.failure or ended.status.summary
        raise RuntimeError(f"{len(right)} right of {len(heads)} results of {order.planned} samples: {said}")


def _value(head: Any) -> Any:
    return head.scores["includes"].value
