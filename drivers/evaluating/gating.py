"""`evaluate gate`: holds a run against conditions and says so with its exit code, for CI.

The rule here: 0 if every condition is met, 1 if one is not, 2 if they cannot be held against anything.
"""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent_core.errors import ConfigError
from drivers.errors import FAILURE
from drivers.evaluating.reckoning_options import ReckoningOptions, RunArgument
from drivers.options import grouped

if TYPE_CHECKING:
    from agent_core.evaluation.statistics.gating import Allowed, Conditions, Threshold

_BOUND = re.compile(r"(?P<scorer>.*?)\s*(?P<sign>>=|<=|=)\s*(?P<number>[^=<>]*)")


@dataclass(frozen=True)
class ConditionOptions:
    """What a run has to meet."""

    min: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="'SCORER>=X'", help="The least mean of a scorer (or SCORER=X); again for more."),
    ] = None
    max: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="'SCORER<=X'", help="The highest mean of a scorer (or SCORER=X)."),
    ] = None
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            "--max-drop",
            metavar="X|SCORER=X",
            help="How far a mean may be below the baseline's on the same samples: every scorer's, or one's.",
        ),
    ] = None
    against: Annotated[
        str | None, typer.Option("--against", metavar="BASELINE", help="The run that --max-drop is held against.")
    ] = None
    max_infrastructure_failures: Annotated[
        str | None,
        typer.Option(
            "--max-infrastructure-failures",
            metavar="COUNT|SHARE%",
            help="How many samples the infrastructure may have failed: a count, or a share of the planned as 1%.",
        ),
    ] = None
    min_coverage: Annotated[
        str | None,
        typer.Option(
            "--min-coverage", metavar="SHARE", help="The least share of the planned with a score: 0.95 or 95%."
        ),
    ] = None
    judge_by: Annotated[
        Literal["point", "significant", "proven"],
        typer.Option(
            "--judge-by",
            help="point: the value decides. significant: a condition fails only if the whole 95 % interval does."
            " proven: it passes only if the whole interval does.",
        ),
    ] = "point"

    def conditions(self) -> "Conditions":
        """The conditions. Raises ConfigError: there is none, or one cannot be understood."""
        from agent_core.evaluation.statistics.gating import Conditions

        failures = self.max_infrastructure_failures
        made = Conditions(
            minimum=tuple(_threshold("--min", text, ">=") for text in self.min or ()),
            maximum=tuple(_threshold("--max", text, "<=") for text in self.max or ()),
            drops=tuple(_drop(text) for text in self.max_drop or ()),
            infrastructure_failures=None if failures is None else _allowed(failures),
            coverage=None if self.min_coverage is None else _share(self.min_coverage),
            judging=self.judge_by,
        )
        if not made.any:
            raise ConfigError(
                "No condition is given. Give one or more of --min 'SCORER>=X', --max 'SCORER<=X', --max-drop X"
                " --against BASELINE, --max-infrastructure-failures COUNT, --min-coverage SHARE."
            )
        if bool(self.max_drop) != bool(self.against):
            raise ConfigError("--max-drop and --against belong together: a drop is held against a baseline.")
        return made


@grouped
def gate_command(run: RunArgument, conditions: ConditionOptions, reckoning: ReckoningOptions) -> int:
    """Hold a run against conditions, for CI.

    Prints what was held against what. Exit code: 0 if every condition is met, 1 if one is not, 2 if something was asked
    for wrongly, such as a scorer that the run does not have.
    """
    from agent_core.evaluation.statistics.comparing import Asked
    from agent_core.evaluation.statistics.gating import hold
    from drivers.evaluating.gate_text import show
    from drivers.evaluating.results_reading import collect

    wanted = conditions.conditions()
    asked = Asked(reduce=reckoning.reduce, how=reckoning.resampling())
    baseline = collect(conditions.against) if conditions.against is not None else None
    gate = hold(collect(run), wanted, asked, baseline=baseline)
    if reckoning.json:
        print(gate.model_dump_json(indent=2))
    else:
        show(gate)
    return 0 if gate.passed else FAILURE


def _threshold(flag: str, text: str, sign: str) -> "Threshold":
    from agent_core.evaluation.statistics.gating import Threshold

    found = _BOUND.fullmatch(text.strip())
    if found is None or not found["scorer"] or found["sign"] not in (sign, "="):
        raise ConfigError(
            f"{flag} {text}: a scorer and its bound are wanted. Quote it for the shell, {flag} 'NAME{sign}0.8', or"
            f" write {flag} NAME=0.8."
        )
    return Threshold(_number(flag, text, found["number"]), found["scorer"])


def _drop(text: str) -> "Threshold":
    from agent_core.evaluation.statistics.gating import Threshold

    found = _BOUND.fullmatch(text.strip())
    if found is None:
        return Threshold(_number("--max-drop", text, text))
    if not found["scorer"] or found["sign"] == ">=":
        raise ConfigError(
            f"--max-drop {text}: write --max-drop 0.02 for every scorer, or --max-drop NAME=0.02 for one."
        )
    return Threshold(_number("--max-drop", text, found["number"]), found["scorer"])


def _allowed(text: str) -> "Allowed":
    from agent_core.evaluation.statistics.gating import Allowed

    number = _number("--max-infrastructure-failures", text, text)
    is_share = text.strip().endswith("%")
    if number < 0 or (not is_share and number != int(number)):
        raise ConfigError(
            f"--max-infrastructure-failures {text}: a whole number such as 5, or a share of the planned such as 1%, is"
            " wanted."
        )
    return Allowed(number, is_share)


def _share(text: str) -> float:
    number = _number("--min-coverage", text, text)
    if not 0 <= number <= 1:
        raise ConfigError(f"--min-coverage {text}: a share from 0 to 1, or from 0% to 100%, is wanted.")
    return number


def _number(flag: str, text: str, number: str) -> float:
    """The number, a percentage as a share. Raises ConfigError."""
    number = number.strip()
    try:
        value = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{flag} {text}: '{number}' is no number. Write one such as 0.8 or 80%.")
    return value
