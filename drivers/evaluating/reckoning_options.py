"""The options that `statistics`, `compare` and `gate` share: what is reckoned with, and how.

The rule here: as in `drivers.options`, a group is data that typer fills; nothing heavy is imported to parse it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent_core.evaluation.statistics.resampling import Resampling

RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="What --out of the run named: a directory or a results file."),
]


@dataclass(frozen=True)
class ReckoningOptions:
    """How epochs become one value, how resampling is seeded, and how the figures are printed."""

    reduce: Annotated[
        str,
        typer.Option(
            "--reduce",
            metavar="HOW",
            help="What makes one value of a sample's epochs: mean, median, mode, max, at-least-K, pass@K or pass^K"
            " (mean).",
            show_default=False,
        ),
    ] = "mean"
    seed: Annotated[
        int, typer.Option("--seed", metavar="NUMBER", min=0, help="Seed of all resampling (0).", show_default=False)
    ] = 0
    json: Annotated[bool, typer.Option("--json", help="Print all figures as one JSON object.")] = False

    def resampling(self) -> "Resampling":
        """How resampling is done."""
        from agent_core.evaluation.statistics.resampling import Resampling

        return Resampling(seed=self.seed)


@dataclass(frozen=True)
class ScorerOptions:
    """Which scorers are looked at, and by what samples are grouped."""

    scorer: Annotated[
        list[str] | None,
        typer.Option("--scorer", metavar="NAME", help="Only this scorer; again for more.", show_default=False),
    ] = None
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="FIELD",
            help="A metadata field: figures for each of its values too (a.b looks into objects).",
            show_default=False,
        ),
    ] = None
