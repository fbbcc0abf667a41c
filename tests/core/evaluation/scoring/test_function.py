"""Functions of users as scorers: what they return, where they run, and what they may do to nobody."""

import asyncio
import importlib.util
import os
import pickle
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.score import Score
from agent_core.evaluation.scoring import FunctionScorer, scorer
from agent_core.evaluation.scoring import processes as scorer_processes
from agent_core.evaluation.scoring.judging import judge_all
from agent_core.evaluation.scoring.processes import processes_here
from agent_core.testing import ManualClock
from tests.core.evaluation.scoring import sample_scorers
from tests.core.evaluation.scoring.world import answered, judged, refused, until_slept, value


@pytest.fixture(autouse=True)
async def processes() -> AsyncIterator[None]:
    """The child processes of a test end with it."""
    yield
    await processes_here().aclose()


def returning(given: Any) -> FunctionScorer:
    async def made(_: Any) -> Any:
        return given

    return scorer(made)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (True, 1.0),
        (0.25, 0.25),
        (7, 7.0),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (Score(value=0.5, answer="x"), 0.5),
    ],
)
async def test_numbers_truth_and_scores_are_scores(given: Any, wanted: float) -> None:
    score = await judged(returning(given), "yes")
    assert (score.value, type(score.value)) == (wanted, float)


@dataclass
class Loud:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (float("nan"), "nonsense"),
        (float("inf"), "nonsense"),
        (10**400, "nonsense"),
        ("1.0", "nonsense"),
        (None, "nonsense"),
        ([1.0], "nonsense"),
        ({}, "nonsense"),
        ({1: 1.0}, "nonsense"),
        ({"x" * 1000: 1.0}, "nonsense"),
        (np.array([1.0, 2.0]), "nonsense"),
        (Loud(), "nonsense"),
        (Score(), "nonsense"),
        (Score(value=float("nan")), "nonsense"),
        (Score.model_construct(value=object()), "nonsense"),
        (Score(value=1, answer="x" * 200_000), "too_long"),
        (Score(value=1, explanation="x" * 200_000), "too_long"),
        (Score(value=1, metadata={"x": "x" * 200_000}), "too_long"),
        (Score(value=1, metadata={"x": "\ud800"}), "nonsense"),
    ],
)
async def test_nonsense_is_an_error_that_says_what_it_was(given: Any, kind: str) -> None:
    error = await refused(returning(given), "yes")
    assert (error.boundary, error.kind) == ("scorer", kind)
    assert len(error.message) < 500


async def test_a_mapping_is_several_scores_and_one_bad_one_spoils_no_other() -> None:
    scores = await judge_all([sample_scorers.obedient], answered("go on"), timeout=60.0, clock=ManualClock())
    assert [*scores] == ["obedient.a", "obedient.b", "obedient.c"]
    assert (scores["obedient.a"].value, scores["obedient.b"].explanation) == (1, "half")
    error = scores["obedient.c"].error
    assert error is not None
    assert "str: 'nonsense'" in error.message


async def test_a_synchronous_one_runs_in_another_process_that_stays_and_an_asynchronous_one_here() -> None:
    clock = ManualClock()
    first, second = [
        (await judge_all([sample_scorers.where], answered("x"), timeout=60.0, clock=clock))["process.id"].value
        for _ in range(2)
    ]
    assert first == second != os.getpid()
    assert await value(sample_scorers.here, "x") == os.getpid()


ENDS = [
    ("exit", "SystemExit", "enough"),
    ("interrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
    ("raise", "LookupError", 'raise LookupError("no such thing")'),
    ("nan", "nonsense", "nan"),
    ("none", "nonsense", "None"),
    ("text", "nonsense", "str: '0.5'"),
    ("long", "too_long", "200,000 characters"),
    ("leave", "killed", "exit code 3"),
]


async def test_whatever_a_synchronous_one_does_is_an_error_of_its_score() -> None:
    for answer, kind, said in ENDS:
        error = await refused(sample_scorers.obedient, answer)
        assert (error.boundary, error.kind) == ("scorer", kind)
        assert said in error.message
        if answer != "leave":
            # What it prints gets in nobody's way.
            assert await value(sample_scorers.obedient, "shout") == 1


async def test_one_that_ends_its_process_leaves_those_beside_it_alone() -> None:
    answers = ["leave", "four", "leave", "more or less"]
    scores = await asyncio.gather(
        *(judged(sample_scorers.obedient if answer == "leave" else sample_scorers.length, answer) for answer in answers)
    )
    assert [score.value for score in scores] == [None, 4, None, 12]


async def test_one_that_hangs_is_killed_while_the_others_go_on() -> None:
    clock = ManualClock()
    hanging = asyncio.create_task(
        judge_all([sample_scorers.obedient, sample_scorers.here], answered("hang"), timeout=5.0, clock=clock)
    )
    # Both wait for the clock: the process has been told what to judge.
    await until_slept(clock, 3)
    (process,) = [psutil.Process(pid) for pid in processes_here().pids]
    clock.advance(5.0)
    scores = await hanging
    error = scores["obedient"].error
    assert error is not None
    assert (error.boundary, error.kind) == ("scorer", "timeout")
    assert scores["here"].value == os.getpid()
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.002)
    assert await value(sample_scorers.length, "four") == 4


async def test_one_that_a_process_cannot_import_is_carried(tmp_path: Path) -> None:
    known = {"yes": 0.75}

    def looked_up(answered: Any) -> float:
        return known[answered.answer]

    assert await value(scorer(looked_up), "yes") == 0.75
    file = tmp_path / "odd_task.py"
    file.write_text(
        "from agent_core.evaluation.scoring import scorer\nBEST = 0.5\n"
        "def half(): return BEST\n@scorer\ndef mine(answered): return half()\n"
    )
    spec = importlib.util.spec_from_file_location("task_of_no_path", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["task_of_no_path"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        assert await value(module.mine, "x") == 0.5
    finally:
        del sys.modules["task_of_no_path"]


async def test_one_that_cannot_be_carried_is_an_error_that_says_what_to_do() -> None:
    lock = threading.Lock()

    def waits(_: Any) -> float:
        with lock:
            return 1.0

    error = await refused(scorer(waits), "x")
    assert error.kind == "unavailable"
    assert "make what it refers to inside the function" in error.message


async def test_processes_that_nobody_needed_for_a_while_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_processes, "KEPT", 0.05)
    assert await value(sample_scorers.length, "four") == 4
    while processes_here().pids:
        await asyncio.sleep(0.01)
    assert await value(sample_scorers.length, "four") == 4


def test_a_scorer_survives_pickling_by_its_name_or_by_its_code() -> None:
    assert pickle.loads(pickle.dumps(sample_scorers.length)) is sample_scorers.length
    made = scorer(sample_scorers.plain)
    again = pickle.loads(cloudpickle.dumps(made))
    assert (again.name, again(answered("yes"))) == ("plain", True)


@pytest.mark.parametrize("wrong", [int, 5, "no function", lambda: 1.0, sample_scorers.length])
def test_what_is_no_function_of_an_answer_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="scorer: "):
        scorer(wrong)


def test_one_that_yields_is_refused() -> None:
    def yields(_: Any) -> Any:
        yield 1.0

    with pytest.raises(ConfigError, match="yields"):
        scorer(yields)
