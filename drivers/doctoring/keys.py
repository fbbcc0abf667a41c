"""Checks of models: their keys, the local model, and on request one tiny question to one of them.

The rule here: of a key it is said where it is and whether it is there. Its value is read by the module that calls the
provider, and by nothing here.
"""

import time
from contextlib import AsyncExitStack
from typing import Any

from agent_core.errors import ConfigError, RayconteurError
from drivers.doctoring.checks import Check
from drivers.doctoring.findings import Finding, ok, problem, skipped, warning
from drivers.doctoring.subject import Subject, is_elsewhere
from drivers.options import KEY_VARIABLES, KEYLESS_MODEL

QUESTION = "Reply with the word: ready"
FEW_TOKENS = 16
_LONGEST = 30.0
_LONGEST_LOCAL = 90.0


async def keys(subject: Subject) -> Finding:
    """The keys of the providers, on this machine."""
    from agent_core.providers.keys import resolve_key

    there: list[str] = []
    providers: dict[str, Any] = dict(KEY_VARIABLES)
    for provider, variable in providers.items():
        try:
            resolve_key(provider, None)  # type: ignore[arg-type]
        except ConfigError as error:
            if error.kind == "bad_key":
                return problem(f"${variable} holds a line break or control character", "Write the key alone into it.")
        else:
            there.append(variable)
    return judge_keys(there, list(KEY_VARIABLES.values()), elsewhere=is_elsewhere(subject.place))


def judge_keys(there: list[str], known: list[str], *, elsewhere: bool) -> Finding:
    """Which of the known variables are set."""
    missing = [f"${name}" for name in known if name not in there]
    if there:
        told = ", ".join(f"${name} is set" for name in there)
        return ok(told + (f"; {', '.join(missing)} not" if missing else ""))
    if elsewhere:
        return skipped(f"{' and '.join(missing)} are not set here; on a cluster the nodes need them")
    return warning(
        f"{' and '.join(missing)} are not set",
        f"Set the one of your provider, say where a key is (--api-key env:NAME), or use {KEYLESS_MODEL}.",
    )


async def chosen(subject: Subject) -> Finding:
    """What the model that would be spoken to needs, before it is spoken to."""
    model = subject.model.chosen_model
    config = subject.model.fields()
    if not is_elsewhere(subject.place):
        subject.model.check_key()
    try:
        subject.model.check_window()
    except ConfigError as error:
        return warning(f"{model}: the size of its window is not known", error.message.split(". ", 1)[-1])
    if subject.model.tools:
        subject.model.loaded_tools()
    where = f" at {config['base_url']}" if "base_url" in config else ""
    return ok(f"{model}{where}: nothing that it needs is missing here")


async def local(_: Subject) -> Finding:
    """The model that needs no key."""
    from agent_core.local_model.installed import check_installed

    try:
        check_installed()
    except ConfigError:
        return ok(f"not installed; only {KEYLESS_MODEL} needs it (`make setup` installs it)")
    return ok(f"{KEYLESS_MODEL} is installed")


async def answer(subject: Subject) -> Finding:
    """One tiny question, which costs a few tokens."""
    if not subject.asks_model:
        return skipped("no model was asked (--model PROVIDER/NAME asks one)")
    if is_elsewhere(subject.place) and subject.model.api_key is None:
        try:
            subject.model.check_key()
        except ConfigError:
            return skipped("the key is not on this machine: ask from one of the cluster's")
    from agent_core.config import SessionConfig

    fields = subject.model.fields()
    if not {"max_tokens", "thinking"} & fields.keys():
        fields["max_tokens"] = FEW_TOKENS
    config = SessionConfig.of(**{**fields, "timeout": _LONGEST})
    began = time.perf_counter()
    try:
        told = await _asked(config)
    except RayconteurError as error:
        return problem(f"{config.model}: {error.message}", _MENDS.get(error.kind, "See what the provider says."))
    return ok(f"{config.model} answered in {time.perf_counter() - began:.1f} s ({told})")


_MENDS = {
    "authentication": "Check the key, and that it is one of this provider and server.",
    "bad_request": "Check the model's name, --wire and --base-url (with /v1 for the OpenAI wires).",
    "connection": "Check the network, a proxy, and --base-url.",
    "timeout": "Check the network, a proxy, and --base-url.",
    "rate_limit": "Wait, or raise the limit with the provider.",
    "overloaded": "Wait: the provider is busy.",
    "missing_key": "Set it here, or say where it is: --api-key env:NAME or file:PATH.",
}


async def _asked(config: Any) -> str:
    """What was answered, in figures. Raises ProviderError; one request is made, and none again."""
    from agent_core.clock import SystemClock
    from agent_core.content import TextBlock
    from agent_core.local_model import LocalModelServer
    from agent_core.messages import SessionId, TurnId, UserMessage
    from agent_core.ports import ModelRequest, ResponseStopped, UsageUpdate
    from agent_core.providers.addressed import AddressedModel
    from agent_core.providers.dispatch import ProviderModel

    session, turn = SessionId("doctor"), TurnId("u1")
    question = UserMessage(id="m1", session_id=session, turn_id=turn, content=(TextBlock(text=QUESTION),))
    tokens, stopped = "", "nothing"
    async with AsyncExitStack() as stack:

        async def started() -> str:
            return await (await stack.enter_async_context(LocalModelServer())).ready()

        model = ProviderModel(SystemClock())
        stack.push_async_callback(model.aclose)
        request = ModelRequest(config, [question], session, turn, config.system_prompt, max_tokens=config.max_tokens)
        async for event in AddressedModel(model, started).stream(request):
            match event:
                case UsageUpdate(usage):
                    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out, "
                case ResponseStopped(reason):
                    stopped = reason
                case _:
                    pass
    return f"{tokens}ended by {stopped}"


CHECKS = (
    Check("models", "keys", keys),
    Check("models", "local", local),
    Check("models", "chosen", chosen),
    Check("models", "answer", answer, _LONGEST_LOCAL),
)
