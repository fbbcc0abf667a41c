"""`evaluate statistics`: what the scores of one run say, as tables or as one JSON object.

The rule here: this is the door. What is said and how is decided in `agent_core.evaluation.statistics`.
"""

from drivers.evaluating.reckoning_options import ReckoningOptions, RunArgument, ScorerOptions
from drivers.options import grouped


@grouped
def statistics_command(run: RunArgument, scorers: ScorerOptions, reckoning: ReckoningOptions) -> int:
    """Say what the scores of a run are worth.

    Prints for each scorer, and each group of samples, the mean with its standard error (clustered by sample where there
    are epochs) and interval, how much of what was planned has a score and how far the rest could move the mean, and,
    with epochs, pass@k and pass^k.
    """
    from agent_core.evaluation.statistics.figures import run_figures
    from agent_core.evaluation.statistics.reducing import reducer_of
    from drivers.evaluating.results_reading import collect
    from drivers.evaluating.statistics_text import show

    collected = collect(run, by=scorers.group_by)
    reducer = reducer_of(reckoning.reduce, epochs=collected.epochs)
    figures = run_figures(collected, scorers=scorers.scorer or (), reducer=reducer, how=reckoning.resampling())
    if reckoning.json:
        print(figures.model_dump_json(indent=2))
    else:
        show(figures, by=scorers.group_by or "")
    return 0
