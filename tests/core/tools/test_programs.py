"""Tools that live in a program's own file, as in a script or a notebook."""

import subprocess
import sys
from pathlib import Path

PROGRAM = '''
from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass

from pydantic import BaseModel

from agent_core.tools import InMemoryBlobs, LocalToolExecutor, ToolContext, publish, tool
from tests.core.tools.harness import invocation, run_all


class Colour(enum.Enum):
    RED = "red"


class Place(BaseModel):
    name: str
    colour: Colour
    inside: Place | None = None


@dataclass
class Size:
    width: int


@tool(compact_summary=lambda values, output: short(output))
def paint(place: Place, size: Size, context: ToolContext) -> Place:
    """Paint it."""
    return decorated(place, size)


@tool
async def look(place: Place) -> str:
    """Look at it."""
    return paint.name + place.colour.value


def decorated(place: Place, size: Size) -> Place:
    return Place(name=place.name * size.width, colour=Colour.RED, inside=place)


def short(output: Place) -> str:
    return output.name[:3]


async def main() -> None:
    blobs = InMemoryBlobs()
    painted, looked = await publish([paint, look], blobs)
    executor = LocalToolExecutor(blobs=blobs)
    place = {"name": "ab", "colour": "red"}
    reports = await run_all(
        executor, invocation(painted, place=place, size={"width": 2}), invocation(looked, place=place)
    )
    for report in reports:
        print(report.outcome, report.result.content, report.result.compact_summary)
    await executor.aclose()


if __name__ == "__main__":
    asyncio.run(main())
'''


def test_tools_of_a_program_run_with_all_that_it_defines(repository: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, str(program)],
        cwd=repository,
        env={"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        'ok {"name":"abab","colour":"red","inside":{"name":"ab","colour":"red","inside":null}} aba',
        "ok paintred None",
    ]
