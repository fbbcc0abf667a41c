"""One call of an actor, and what can become of it.

The rule here: it is answered, or it raises an error of this project, or `Gone`: the actor is dead, starts again or
never got the call. Whether to call again is for those who know what the call does.
"""

from typing import Any

from ray.exceptions import RayError, RayTaskError

from agent_core.errors import PlacementError, RayconteurError


class Gone(Exception):
    """The actor did not answer: it is dead or starts again, and the call may or may not have been performed."""


async def ask(actor: Any, method: str, *arguments: Any, task: str | None = None) -> Any:
    """Call a method and wait for its answer. `task` is what the dashboard calls it.

    Raises Gone, the RayconteurError that the method raised, or PlacementError for another failure of it.
    """
    call = getattr(actor, method)
    try:
        return await (call.options(name=task) if task else call).remote(*arguments)
    except RayTaskError as error:
        cause: object = error.cause
        raise (cause if isinstance(cause, RayconteurError) else _unexpected(method, cause)) from None
    except RayError as error:
        raise Gone(type(error).__name__) from error
    except Exception as error:
        raise _not_sent(error) from error


def tell(actor: Any, method: str, *arguments: Any, task: str | None = None) -> Any:
    """Call a method and wait for nothing; returns Ray's reference. `task` is what the dashboard calls it.

    Raises Gone if the call cannot be sent.
    """
    call = getattr(actor, method)
    try:
        return (call.options(name=task) if task else call).remote(*arguments)
    except Exception as error:
        raise _not_sent(error) from error


def _not_sent(error: Exception) -> Exception:
    """Ray raises a bare Exception for a call of an actor that it knows to be dead; what is no word of Ray's stays."""
    return Gone(str(error)) if type(error) is Exception or isinstance(error, RayError) else error


def _unexpected(method: str, cause: object) -> PlacementError:
    first = next(iter(str(cause).splitlines()), "")
    return PlacementError(
        f"An actor failed in '{method}' ({type(cause).__name__}: {first}). Its log is in the Ray dashboard.", "failed"
    )
