"""What Inspect learns of this project: the entry point `rayconteur` of the group `inspect_ai` names this module.

The rule here: registering is all that happens. Inspect reads this module when a name that begins with `rayconteur/` is
asked for, and calls what it registers. The names are given in full, since Inspect would make them from the name of the
Python package, of which there are several.
"""

from collections.abc import Callable
from typing import Any

from inspect_ai.hooks import Hooks, RunEnd, SampleEnd, hooks
from inspect_ai.solver import Generate, Solver, TaskState, solver

from drivers.inspecting import inside
from drivers.inspecting.hosting import HOSTS
from drivers.inspecting.model import answered_by_sessions

NAME = "rayconteur/session"


@solver(name=NAME)
def session(model: str | None = None, **fields: Any) -> Solver:
    """Answer each sample through a session, in place of the task's own solver: `inspect eval --solver` of this name.

    `model` is `provider/name`, by default that of the evaluation, with its address. `fields` are those of
    SessionConfig, such as `base_url`, `context_limit` or `system_prompt`, each an `-S name=value`; with `runtime=ray`
    the sessions are on a cluster, at the `address` if one is given, and otherwise in the process of the evaluation.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - a solver is handed both
        return await answered_by_sessions(state, model, fields)

    return solve


@hooks(name="rayconteur", description="Ends the sessions of samples, and of the evaluation, with them.")
class EndSessions(Hooks):
    """Closes what was opened for an evaluation."""

    def enabled(self) -> bool:
        return HOSTS.open

    async def on_sample_end(self, data: SampleEnd) -> None:
        await HOSTS.end(data.sample_id)

    async def on_run_end(self, data: RunEnd) -> None:  # noqa: ARG002 - whichever run it was, nothing runs now
        await HOSTS.close()


def _named_in_full(made: Callable[..., Solver]) -> None:
    """Register under the very name: an installed package of another name would be put before it."""
    inside.registry_add(made, inside.RegistryInfo(type="solver", name=NAME))


_named_in_full(session)
