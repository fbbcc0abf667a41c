"""Steer a turn while it runs, and interrupt another: `python -m examples.steer_and_interrupt [MODEL]`."""

import sys

from actors import Runtime, tool
from agent_core.cursor import Cursor
from drivers.errors import run_main


@tool
async def population(city: str) -> int:
    """Look up the population of a city."""
    return 2_800_000 + len(city)


async def main(model: str = "local/smollm2") -> None:
    """Speak to the first turn before its next model call, and stop the second in the middle of its text."""
    async with Runtime() as rt:
        session = await rt.session(model=model, tools=[population])
        first, steered, story = await session.submit("What is the population of Vienna?"), "", 0
        async for cursor, event in session.events(after=Cursor()):
            if event.kind == "tool_batch" and not steered:
                steered = await session.submit("Say hello, and then tell me the number.", when="next_step")
            elif event.kind == "text_chunk":
                print(event.text, end="", flush=True)
                story += event.turn_id != first
                if story == 5:
                    await session.interrupt("keep")
            elif event.kind == "turn_ended":
                print(f"\n[{event.turn_id} {event.outcome}; go on from {cursor}]", getattr(event.error, "message", ""))
                if event.turn_id != first:
                    break
                await session.submit("Tell me a long story about a dragon.")
        now = await session.status()
        print(f"{now.state}, {now.messages} messages, {now.context_used} of {now.context_limit} tokens")


if __name__ == "__main__":
    sys.exit(run_main(main, __doc__ or ""))
