"""`evaluate compare`: two runs on the same samples, as tables or as one JSON object.

The rule here: this is the door. What is compared and how is decided in `agent_core.evaluation.statistics`.
"""

from typing import Annotated

import typer

from drivers.evaluating.reckoning_options import ReckoningOptions, ScorerOptions
from drivers.options import grouped


@grouped
def compare_command(  # noqa: PLR0913, PLR0917 - two runs, two groups of options, two of its own
    a: Annotated[str, typer.Argument(metavar="A", help="The run to compare with: a directory or a results file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The run that is compared.")],
    scorers: ScorerOptions,
    reckoning: ReckoningOptions,
    flips: Annotated[
        int,
        typer.Option(
            "--flips", metavar="COUNT", min=0, help="How many changed samples are named (10).", show_default=False
        ),
    ] = 10,
    changed: Annotated[  # noqa: FBT002 - typer's way to say a flag
        bool, typer.Option("--changed", help="Compare also samples whose question or target has changed.")
    ] = False,
) -> int:
    """Compare two runs on the same samples.

    Samples are paired by id, their epochs reduced to one value. Prints for each scorer both means, the difference with
    its interval, an exact McNemar test (scores of 0 and 1) or a paired permutation test, corrected for several scorers
    (Holm), the smallest difference that the runs could have shown, and the samples that changed. Exit code: 0, or 2 if
    the runs cannot be compared.
    """
    from agent_core.evaluation.statistics.comparing import Asked, compare
    from drivers.evaluating.comparison_text import show
    from drivers.evaluating.results_reading import collect

    asked = Asked(tuple(scorers.scorer or ()), reckoning.reduce, changed, reckoning.resampling())
    run_a, run_b = collect(a, by=scorers.group_by), collect(b)
    comparison = compare(run_a, run_b, asked)
    if reckoning.json:
        print(comparison.model_dump_json(indent=2))
    else:
        show(comparison, (run_a, run_b), flips=flips, by=scorers.group_by or "")
    return 0
