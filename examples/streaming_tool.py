"""A session with a tool, streaming to the terminal: `python -m examples.streaming_tool [MODEL [QUESTION]]`."""

import sys

from actors import Runtime, tool
from drivers.errors import run_main


@tool
async def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny and 21 degrees in {city}"


async def main(model: str = "local/smollm2", question: str = "What is the weather in Paris?") -> None:
    """Ask one question, and show what happens as it happens."""
    async with Runtime() as rt:
        print(rt.description, rt.dashboard_hint, sep="\n")
        session = await rt.session(model=model, tools=[weather])
        async for event in session.send(question):
            match event.kind:
                case "text_chunk":
                    print(event.text, end="", flush=True)
                case "tool_batch":
                    print(*(f"[{call.name} {call.input}]" for call in event.calls))
                case "tool_settled":
                    print(f"[{event.outcome}: {event.result.content}]")
                case "turn_ended":
                    print(f"\n[{event.outcome}]", event.error.message if event.error else "")


if __name__ == "__main__":
    sys.exit(run_main(main, __doc__ or ""))
