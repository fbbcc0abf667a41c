"""Scorers: what makes a score of an answer, and how several of them are run side by side.

`texts.py`, `patterns.py`, `numeric.py`, `json_path.py`, `tool_calls.py`, `choosing.py` and `graded.py` are the scorers
that a task can name, `function.py` makes one of a user's function. `specs.py` finds the one that a flag or a file
names, `judging.py` runs them, `rescoring.py` runs them over results that are there already.

The rule here: whatever a scorer does, the sample keeps its answer, the other scorers their scores, and nobody waits for
it. Each scorer is data, so it travels to any worker and stands in the configuration.

The public names are imported when they are first asked for, since a run needs few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_core.evaluation.scoring.choosing import MultipleChoice
    from agent_core.evaluation.scoring.function import FunctionScorer, scorer
    from agent_core.evaluation.scoring.graded import ModelGradedFact, ModelGradedQA
    from agent_core.evaluation.scoring.json_path import JsonPath
    from agent_core.evaluation.scoring.judging import judge_all
    from agent_core.evaluation.scoring.numeric import Numeric
    from agent_core.evaluation.scoring.patterns import Regex
    from agent_core.evaluation.scoring.rescoring import Rescoring, rescored
    from agent_core.evaluation.scoring.specs import described, scorer_of, scorers_of
    from agent_core.evaluation.scoring.texts import Exact, Includes, Match
    from agent_core.evaluation.scoring.tool_calls import ExpectedCall, ToolCalls

__all__ = [
    "Exact",
    "ExpectedCall",
    "FunctionScorer",
    "Includes",
    "JsonPath",
    "Match",
    "ModelGradedFact",
    "ModelGradedQA",
    "MultipleChoice",
    "Numeric",
    "Regex",
    "Rescoring",
    "ToolCalls",
    "described",
    "judge_all",
    "rescored",
    "scorer",
    "scorer_of",
    "scorers_of",
]

_HOME = {
    "Exact": "texts",
    "ExpectedCall": "tool_calls",
    "FunctionScorer": "function",
    "Includes": "texts",
    "JsonPath": "json_path",
    "Match": "texts",
    "ModelGradedFact": "graded",
    "ModelGradedQA": "graded",
    "MultipleChoice": "choosing",
    "Numeric": "numeric",
    "Regex": "patterns",
    "Rescoring": "rescoring",
    "ToolCalls": "tool_calls",
    "described": "specs",
    "judge_all": "judging",
    "rescored": "rescoring",
    "scorer": "function",
    "scorer_of": "specs",
    "scorers_of": "specs",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{home}"), name)
