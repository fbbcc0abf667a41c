"""Evaluation: many samples, each in a session of its own, and one honest outcome for each of them.

`tasks.py` says what a task is, `sample.py` and `dataset.py` what is asked, `agents/` by whom, `scoring/` how it is
judged, `configuration.py` how it is asked, `result.py` and `verdict.py` what came of it. `run.py` has the files of a
run open, `index.py` and `resume.py` know what is still to do, `coordinator.py` hands it out, `worker.py` takes it
beside the sessions, `runner.py` does it and `summary.py` counts; `statistics/` and `logs/` are for what is there. The
rule here: every sample and epoch ends in exactly one outcome, a failure is data, and nothing held in memory grows with
the number of samples.

What a task file needs is imported from here, and only when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_core.evaluation.agents.react import React as react  # noqa: N813 - it is called like a function
    from agent_core.evaluation.limits import RunLimits, SampleLimits
    from agent_core.evaluation.program import Agent, chat
    from agent_core.evaluation.rows import FieldNames
    from agent_core.evaluation.sample import Sample
    from agent_core.evaluation.score import Answered, Score, Scorer
    from agent_core.evaluation.scoring import scorer, scorer_of
    from agent_core.evaluation.tasks import Task, task
    from agent_core.session_protocol import Session

__all__ = [
    "Agent",
    "Answered",
    "FieldNames",
    "RunLimits",
    "Sample",
    "SampleLimits",
    "Score",
    "Scorer",
    "Session",
    "Task",
    "chat",
    "react",
    "scorer",
    "scorer_of",
    "task",
]

_HOME = {
    "Agent": ("agent_core.evaluation.program", "Agent"),
    "Answered": ("agent_core.evaluation.score", "Answered"),
    "FieldNames": ("agent_core.evaluation.rows", "FieldNames"),
    "RunLimits": ("agent_core.evaluation.limits", "RunLimits"),
    "Sample": ("agent_core.evaluation.sample", "Sample"),
    "SampleLimits": ("agent_core.evaluation.limits", "SampleLimits"),
    "Score": ("agent_core.evaluation.score", "Score"),
    "Scorer": ("agent_core.evaluation.score", "Scorer"),
    "Session": ("agent_core.session_protocol", "Session"),
    "Task": ("agent_core.evaluation.tasks", "Task"),
    "chat": ("agent_core.evaluation.program", "chat"),
    "react": ("agent_core.evaluation.agents.react", "React"),
    "scorer": ("agent_core.evaluation.scoring", "scorer"),
    "scorer_of": ("agent_core.evaluation.scoring", "scorer_of"),
    "task": ("agent_core.evaluation.tasks", "task"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)
