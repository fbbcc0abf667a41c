"""What Inspect learns of this project: the entry point `rayconteur` of the group `inspect_ai` names this module.

The rule here: registering is all that happens. Inspect reads this module when a name that begins with `rayconteur/` is
asked for, and calls what it registers. The names are given in full, since Inspect would make them from the name of the
Python package, of which there are several.
"""

from collections.abc import Callable
from typing import Any

from inspect_ai.hooks import Hooks, RunEnd, hooks
from inspect_ai.model import ModelAPI, modelapi
from inspect_ai.solver import Generate, Solver, TaskState, solver

from drivers.inspecting import inside
from drivers.inspecting.hosting import HOSTS, Hosted, RuntimeKind

NAME = "rayconteur/session"


@modelapi("rayconteur")
def rayconteur_model() -> type[ModelAPI]:
    """The model whose answers come from sessions."""
    from drivers.inspecting.model import SessionModel

    return SessionModel


@solver(name=NAME)
def session(
    model: str | None = None, runtime: RuntimeKind = "local", address: str | None = None, **fields: Any
) -> Solver:
    """Answer each sample through a session, in place of the task's own solver: `inspect eval --solver` of this name.

    `model` is `provider/name`, by default that of the evaluation. With `runtime` "local" the sessions are in the
    process of the evaluation, with "ray" on a cluster, whose `address` may be given. `fields` are those of
    SessionConfig, such as `base_url`, `max_tokens` or `system_prompt`, each an `-S name=value`. The tools of the task
    run in the process of the evaluation.
    """
    hosted = Hosted(model, runtime, address, fields)

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - a solver is handed both
        return await hosted.solve(state)

    return solve


@hooks(name="rayconteur", description="Ends the sessions of an evaluation with it.")
class EndSessions(Hooks):
    """Closes what the solver opened."""

    def enabled(self) -> bool:
        return HOSTS.open

    async def on_run_end(self, data: RunEnd) -> None:  # noqa: ARG002 - whichever run it was, nothing runs now
        await HOSTS.close()


def _named_in_full(made: Callable[..., Solver]) -> None:
    """Register under the very name: an installed package of another name would be put before it."""
    inside.registry_add(made, inside.RegistryInfo(type="solver", name=NAME))


_named_in_full(session)
