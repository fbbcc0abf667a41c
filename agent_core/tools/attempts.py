"""One attempt at a call: the input is checked, the code found, the tool run where its kind runs.

The rule here: an attempt gives a `CallEnd` or is cancelled; no tool's exception comes through.
"""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from agent_core.errors import ToolUnavailable
from agent_core.ports import ToolInvocation
from agent_core.tools.blobs import BlobStore
from agent_core.tools.context import ToolContext
from agent_core.tools.definition import ToolReference
from agent_core.tools.output import CallEnd, bad_input_text, end_of_bad_arguments, end_of_error, end_of_value
from agent_core.tools.pool import ChildPool
from agent_core.tools.processes import Child, ChildDied
from agent_core.tools.resolving import AnyTool, code_of, load
from agent_core.tools.validation import InputCheck
from agent_core.tracing.context import continued


class Attempts:
    """Runs attempts. `load_timeout` is in seconds, for importing the module of a tool that is not loaded yet."""

    def __init__(self, pool: ChildPool, blobs: BlobStore, load_timeout: float) -> None:
        self._pool = pool
        self._blobs = blobs
        self._load_timeout = load_timeout
        self._check = InputCheck()
        self._tools: dict[str, AnyTool] = {}
        self._loading: dict[str, asyncio.Task[AnyTool]] = {}
        self._codes: dict[str, bytes] = {}

    def register(self, tools: Sequence[AnyTool]) -> None:
        """Keep tools of this process: the asynchronous ones run as they are, the code of the others is at hand."""
        for tool in tools:
            reference = tool.definition.reference or ToolReference()
            if tool.asynchronous:
                self._tools[_key(reference)] = tool
            if tool.code is not None and reference.pickled is not None:
                self._codes[reference.pickled] = tool.code

    def refusal(self, invocation: ToolInvocation) -> CallEnd | None:
        """Why a call is not to be run at all; None if it may be."""
        definition = invocation.definition
        if definition.reference is None:
            return CallEnd(
                "unavailable", f"Tool '{definition.name}' has no code here: its results come from outside the session."
            )
        problem = self._check.error(definition, invocation.call.input)
        return None if problem is None else CallEnd("bad_input", bad_input_text(definition.name, problem))

    async def run(self, invocation: ToolInvocation, attempt: int, started: Callable[[], None]) -> CallEnd:
        """Run the tool once; `started` is called when its own code is about to begin, waiting and loading over."""
        definition = invocation.definition
        reference = definition.reference or ToolReference()
        try:
            if definition.asynchronous:
                return await self._in_loop(invocation, reference, attempt, started)
            return await self._in_child(invocation, reference, attempt, started)
        except ToolUnavailable as error:
            return CallEnd("unavailable", f"Tool '{definition.name}' is not available: {error}")
        except ChildDied as error:
            return CallEnd(
                "killed", f"Tool '{definition.name}' did not finish, what it did until then stays done: {error}"
            )

    async def aclose(self) -> None:
        """Stop waiting for modules that are being imported."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def _in_loop(
        self, invocation: ToolInvocation, reference: ToolReference, attempt: int, started: Callable[[], None]
    ) -> CallEnd:
        key = _key(reference)
        tool = self._tools.get(key)
        if tool is None:
            tool = await self._loaded(key, reference)
        values = invocation.call.input
        try:
            positional, named = tool.parameters.bind(values, _context(invocation, attempt))
        except ValidationError as error:
            return end_of_bad_arguments(tool, error)
        started()
        try:
            with continued(invocation.traceparent):
                value = await tool.function(*positional, **named)
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its result, sys.exit() too
            return end_of_error(tool, error)
        return end_of_value(tool, values, value, invocation.definition.output_limit)

    async def _in_child(
        self, invocation: ToolInvocation, reference: ToolReference, attempt: int, started: Callable[[], None]
    ) -> CallEnd:
        child = await self._pool.borrow()
        try:
            key = _key(reference)
            if key not in child.loaded:
                await self._load_into(child, key, reference)
            started()
            context = _context(invocation, attempt)
            return await child.call(key, invocation.call.input, context, invocation.definition.output_limit)
        finally:
            self._pool.give_back(child)

    async def _load_into(self, child: Child, key: str, reference: ToolReference) -> None:
        try:
            async with asyncio.timeout(self._load_timeout):
                await child.load(key, reference, await self._code(reference))
        except TimeoutError:
            raise ToolUnavailable(self._too_slow()) from None

    async def _loaded(self, key: str, reference: ToolReference) -> AnyTool:
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, reference))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        try:
            async with asyncio.timeout(self._load_timeout):
                # Shielded, since other calls wait for the same module.
                return await asyncio.shield(task)
        except TimeoutError:
            raise ToolUnavailable(self._too_slow()) from None

    async def _load(self, key: str, reference: ToolReference) -> AnyTool:
        code = await self._code(reference)
        # In a thread, since importing a module may take seconds that the loop does not have.
        tool = await asyncio.to_thread(load, reference, code)
        if not tool.asynchronous:
            raise ToolUnavailable("it is no longer an async function. Give the session its tools anew.")
        self._tools[key] = tool
        return tool

    async def _code(self, reference: ToolReference) -> bytes | None:
        return self._codes.get(reference.pickled or "") or await code_of(reference, self._blobs)

    def _too_slow(self) -> str:
        return f"its module was not imported within {self._load_timeout:g} s. Import slow packages inside the function."


def _key(reference: ToolReference) -> str:
    return reference.pickled or f"{reference.module}:{reference.name}:{reference.digest}"


def _context(invocation: ToolInvocation, attempt: int) -> ToolContext:
    return ToolContext(
        session_id=invocation.session_id,
        turn_id=invocation.turn_id,
        tool_use_id=invocation.call.id,
        dedupe_key=invocation.key,
        attempt=attempt,
        traceparent=invocation.traceparent,
    )
