"""Where a tool's code is found again: by name and digest, or by the hash of what was stored."""

import importlib
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from agent_core.errors import ToolError, ToolUnavailable
from agent_core.tools import InMemoryBlobs, ToolReference, publish, resolve, tool
from agent_core.tools.identity import digest_of
from tests.core.tools import sample_tools

SOURCE = '''
from agent_core.tools import tool

@tool(timeout={timeout})
def act(number: int) -> int:
    """{doc}"""
    # {comment}
    return number + {step}
'''


class Module:
    """A module file that a test rewrites and imports anew."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.py"
        self.name = name

    def write(self, text: str) -> Any:
        self.path.write_text(text)
        sys.modules.pop(self.name, None)
        importlib.invalidate_caches()
        return importlib.import_module(self.name)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Module:
    monkeypatch.syspath_prepend(tmp_path)
    # Otherwise a file that is rewritten within the clock's grain is read from its old bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Module(tmp_path, f"made_by_{request.node.name.partition('[')[0]}")


def source(timeout: int = 1, doc: str = "Act.", comment: str = "one", step: int = 1) -> str:
    return SOURCE.format(timeout=timeout, doc=doc, comment=comment, step=step)


async def test_a_tool_of_a_module_is_named_and_found_again() -> None:
    reference = sample_tools.subtract.definition.reference
    assert reference is not None
    assert (reference.module, reference.name) == ("tests.core.tools.sample_tools", "subtract")
    assert reference.pickled is None
    assert await resolve(reference, InMemoryBlobs()) is sample_tools.subtract


async def test_a_function_made_a_tool_under_another_name_is_found_by_that_name(module: Module) -> None:
    made = module.write(
        "from agent_core.tools import tool\ndef _act(x: int) -> int:\n    return x\nact = tool(_act, name='shown')\n"
    )
    reference = made.act.definition.reference
    assert reference.name in {"_act", "act"}
    assert (await resolve(reference, InMemoryBlobs()))(3) == 3


async def test_a_plain_function_of_a_module_is_named() -> None:
    (definition,) = await publish([sample_tools.plain], InMemoryBlobs())
    assert definition.reference is not None
    assert definition.reference.name == "plain"
    assert (await resolve(definition.reference, InMemoryBlobs()))("a") == "a"


async def test_a_closure_is_stored_once_by_its_hash_and_brings_its_values() -> None:
    step = 40

    @tool
    def act(number: "int" = 2) -> int:
        """Act."""
        return number + step

    blobs = InMemoryBlobs()
    (first,) = await publish([act], blobs)
    (again,) = await publish([act], blobs)
    assert first == again
    assert first.reference is not None
    assert first.reference.pickled is not None
    assert first.reference.module is None
    found = await resolve(first.reference, blobs)
    assert found() == 42
    assert found is not act
    assert found.definition.input_schema == act.definition.input_schema


async def test_a_function_of_main_is_stored_by_value() -> None:
    space = {"__name__": "__main__"}
    exec("def act(x: int) -> int:\n    return helper(x)\ndef helper(x):\n    return x + 1", space)
    blobs = InMemoryBlobs()
    (definition,) = await publish([tool(space["act"])], blobs)  # type: ignore[arg-type]
    assert definition.reference is not None
    assert definition.reference.pickled is not None
    assert (await resolve(definition.reference, blobs))(1) == 2


async def test_a_tool_that_calls_itself_can_be_stored_by_value() -> None:
    space: dict[str, Any] = {"__name__": "__main__", "tool": tool}
    exec("@tool\ndef count(n: int = 3) -> int:\n    return 0 if n == 0 else 1 + count(n - 1)", space)
    blobs = InMemoryBlobs()
    (definition,) = await publish([space["count"]], blobs)
    assert definition.reference is not None
    assert (await resolve(definition.reference, blobs))() == 3


def test_code_that_cannot_be_carried_is_refused_with_the_mend() -> None:
    lock = threading.Lock()

    @tool
    def act() -> bool:
        """Act."""
        return lock.locked()

    with pytest.raises(ToolError, match=r"tool 'act' lives in no module, .* Move it to a module"):
        _ = act.definition


async def test_stored_code_that_is_gone_is_unavailable() -> None:
    @tool
    def act() -> None:
        """Act."""

    reference = act.definition.reference
    assert reference is not None
    with pytest.raises(ToolUnavailable, match="gone from the store"):
        await resolve(reference, InMemoryBlobs())


async def test_stored_code_that_cannot_be_loaded_is_unavailable() -> None:
    blobs = InMemoryBlobs()
    with pytest.raises(ToolUnavailable, match="cannot be loaded here"):
        await resolve(ToolReference(pickled=await blobs.put(b"nonsense")), blobs)
    with pytest.raises(ToolUnavailable, match="is int, not a tool"):
        await resolve(ToolReference(pickled=await blobs.put(pickle.dumps(3))), blobs)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (ToolReference(module="no_such_module_anywhere", name="act"), "does not import where tools run"),
        (ToolReference(module="tests.core.tools.sample_tools", name="gone"), "has no tool named 'gone' any more"),
        (ToolReference(module="tests.core.tools.sample_tools", name="NOT_A_TOOL"), "has no tool named"),
    ],
)
async def test_a_name_that_leads_nowhere_is_unavailable(reference: ToolReference, said: str) -> None:
    with pytest.raises(ToolUnavailable, match=said):
        await resolve(reference, InMemoryBlobs())


async def test_changed_code_is_unavailable(module: Module) -> None:
    reference = module.write(source(step=1)).act.definition.reference
    module.write(source(step=2))
    with pytest.raises(ToolUnavailable, match="has changed since"):
        await resolve(reference, InMemoryBlobs())


async def test_new_options_words_and_comments_do_not_make_it_another_tool(module: Module) -> None:
    reference = module.write(source()).act.definition.reference
    module.write(source(timeout=9, doc="Other words.", comment="another"))
    assert (await resolve(reference, InMemoryBlobs()))(1) == 2


def test_a_function_without_source_has_no_digest() -> None:
    space: dict[str, Any] = {}
    exec("def act(x: int) -> int:\n    return x", space)
    assert digest_of(space["act"]) == ""


def test_tools_of_a_module_travel_by_name() -> None:
    for dumps in (pickle.dumps, cloudpickle.dumps):
        data = dumps(sample_tools.add)
        assert len(data) < 200
        assert pickle.loads(data) is sample_tools.add
