"""The options that bound what a sample and a run may take.

The rule here: as in `drivers.options`, a group is data that typer fills; what was not given is None and leaves the
task's own limit, or none.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent_core.evaluation.limits import RunLimits, SampleLimits

LIMITS_PANEL = "Limits"


def _option(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **settings)


@dataclass(frozen=True)
class SampleLimitOptions:
    """What one attempt at a sample may take. Times are in seconds, costs in US dollars."""

    max_turns: Annotated[
        int | None,
        _option(
            "--max-turns", panel=LIMITS_PANEL, metavar="COUNT", min=1, help="Messages that a sample's model is sent."
        ),
    ] = None
    max_messages: Annotated[
        int | None,
        _option(
            "--max-messages", panel=LIMITS_PANEL, metavar="COUNT", min=1, help="Messages of a sample, all of them."
        ),
    ] = None
    token_limit: Annotated[
        int | None,
        _option(
            "--token-limit", panel=LIMITS_PANEL, metavar="TOKENS", min=1, help="Tokens of all requests of a sample."
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        _option(
            "--time-limit",
            "--timeout",
            panel=LIMITS_PANEL,
            metavar="SECONDS",
            min=0.001,
            help="How long an attempt at a sample may take.",
        ),
    ] = None
    working_time_limit: Annotated[
        float | None,
        _option(
            "--working-time-limit",
            panel=LIMITS_PANEL,
            metavar="SECONDS",
            min=0.001,
            help="The same without waiting for permits, rate limits and retries.",
        ),
    ] = None
    cost_limit: Annotated[
        float | None,
        _option("--cost-limit", panel=LIMITS_PANEL, metavar="DOLLARS", min=0.000001, help="What a sample may cost."),
    ] = None

    def over(self, limits: "SampleLimits") -> "SampleLimits":
        """The task's `SampleLimits`, those that were given in place of its own."""
        given = {
            "turns": self.max_turns,
            "messages": self.max_messages,
            "tokens": self.token_limit,
            "time": self.time_limit,
            "working_time": self.working_time_limit,
            "cost": self.cost_limit,
        }
        return limits.model_copy(update={name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class RunLimitOptions:
    """What a whole run may take; one that hits a limit takes no more samples and can be resumed."""

    run_token_limit: Annotated[
        int | None,
        _option("--run-token-limit", panel=LIMITS_PANEL, metavar="TOKENS", min=1, help="Tokens of the whole run."),
    ] = None
    run_cost_limit: Annotated[
        float | None,
        _option(
            "--run-cost-limit", panel=LIMITS_PANEL, metavar="DOLLARS", min=0.000001, help="What the whole run may cost."
        ),
    ] = None
    run_time_limit: Annotated[
        float | None,
        _option(
            "--run-time-limit", panel=LIMITS_PANEL, metavar="SECONDS", min=0.001, help="How long the run may take."
        ),
    ] = None
    max_failures: Annotated[
        int | None,
        _option(
            "--max-failures",
            panel=LIMITS_PANEL,
            metavar="COUNT",
            min=1,
            help="Stop after so many samples that the infrastructure failed.",
        ),
    ] = None

    def limits(self) -> "RunLimits":
        """These as `RunLimits`."""
        from agent_core.evaluation.limits import RunLimits

        return RunLimits(
            tokens=self.run_token_limit,
            cost=self.run_cost_limit,
            time=self.run_time_limit,
            infrastructure_failures=self.max_failures,
        )
