"""Samples of Inspect and samples of a run, made into each other.

The rule here: a sample travels whole. What this project's own has no field for (messages of the system or of tools,
files, a sandbox) is in its metadata under `inspect`, and is taken out again before the task's own code sees it.
"""

from collections.abc import Iterator
from typing import Any, cast

from inspect_ai import Task
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import ChatMessage, ChatMessageUser
from inspect_ai.util import SandboxEnvironmentSpec
from pydantic import JsonValue, TypeAdapter
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agent_core.content import text_of
from agent_core.errors import ConfigError
from agent_core.evaluation.sample import Sample
from drivers.inspecting.messages import blocks_of, history_of

CARRIED = "inspect"
_CHAT: TypeAdapter[list[ChatMessage]] = TypeAdapter(list[ChatMessage])
_EMPTY = "(no words)"


def samples_of(task: Task) -> Iterator[Sample]:
    """The samples of a task in their order; one without an id is called after its place, from 1, as Inspect does.

    Raises ConfigError for one that cannot travel: metadata that is no JSON, or a message that sessions cannot say.
    """
    for number, sample in enumerate(task.dataset, start=1):
        yield _sample(number, sample)


def _sample(number: int, given: InspectSample) -> Sample:
    name = str(given.id if given.id is not None else number)
    carried = given.model_dump(
        mode="json", exclude_none=True, exclude={"id", "choices", "target", "metadata", "input"}, exclude_defaults=True
    )
    question, history = given.input, ()
    if not isinstance(question, str):
        carried["input"] = [message.model_dump(mode="json", exclude_none=True, exclude={"id"}) for message in question]
        last = question[-1] if question and isinstance(question[-1], ChatMessageUser) else None
        history = history_of(question[:-1]) if last is not None else ()
        question = text_of(blocks_of(last.content)) if last is not None else ""
    metadata = _json(name, given.metadata or {})
    return Sample(
        id=name,
        input=question if question.strip() else _EMPTY,
        history=history,
        choices=tuple(given.choices or ()),
        target=list(given.target) if isinstance(given.target, list) else given.target,
        metadata={**metadata, CARRIED: carried} if carried else metadata,
        line=number,
    )


def _json(name: str, metadata: dict[str, Any]) -> dict[str, JsonValue]:
    try:
        return to_jsonable_python(metadata)
    except PydanticSerializationError as error:
        raise ConfigError(f"The metadata of sample '{name}' cannot be written as JSON ({error}). Mend it.") from None


def _messages(carried: dict[str, Any]) -> dict[str, Any]:
    if "input" not in carried:
        return carried
    return {**carried, "input": _CHAT.validate_python(carried["input"])}


def inspect_id(name: str) -> str | int:
    """The id as Inspect has it, where samples without one, and most that have one, are numbered."""
    return int(name) if name.isascii() and name.isdecimal() and str(int(name)) == name else name


def inspect_sample(sample: Sample) -> InspectSample:
    """The sample as its task wrote it."""
    metadata = dict(sample.metadata)
    carried: dict[str, Any] = dict(cast("dict[str, Any]", metadata.pop(CARRIED, {})))
    if "sandbox" in carried:
        carried["sandbox"] = SandboxEnvironmentSpec(**carried["sandbox"])
    fields: dict[str, Any] = {
        "id": inspect_id(sample.id),
        "input": sample.input,
        "target": sample.target if sample.target is not None else "",
        "choices": list(sample.choices) or None,
        "metadata": metadata or None,
    }
    return InspectSample(**{**fields, **_messages(carried)})
