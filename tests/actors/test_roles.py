"""Nodes get the actors that belong there, and give them to others when they are drained; nothing waits for a node."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.actors.three_nodes import ACTORS, TALE


async def test_actors_are_on_nodes_of_their_role_and_go_where_room_is_as_nodes_are_drained_and_come(
    repository: Path, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.actors.three_nodes", str(tmp_path)),
        cwd=repository,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    at_first, drained = told["at first"], told["after the drain"]
    pooled = [name for name in at_first if name.startswith("tools/") and name.count("/") == 2]
    assert {at_first["tools/0"], at_first["tools/1"]} == {"tools"}
    assert [at_first[name] for name in pooled] == ["sessions2"]
    assert _spread(at_first) == {"sessions1": ACTORS // 2, "sessions2": ACTORS // 2}
    assert _spread(drained) == {"sessions2": ACTORS}
    assert _spread(told["after a node came"]) == {"sessions2": ACTORS // 2, "sessions3": ACTORS // 2}
    assert told["answers"] == [f"You said: {TALE}"] * 8 + ["You said: Hello."] * 8


def _spread(places: dict[str, str]) -> Counter[str]:
    return Counter(role for name, role in places.items() if name.startswith("sessions/"))
