"""Nodes that say what they are for get the actors that belong there; nothing waits for such a node."""

import asyncio
import json
import sys
from pathlib import Path


async def test_actors_are_on_nodes_of_their_role_unless_what_they_need_is_elsewhere(
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
    roles: dict[str, str] = json.loads(out.splitlines()[-1])
    pooled = [name for name in roles if name.startswith("tools/") and name.count("/") == 2]
    assert {roles[name] for name in roles if name.startswith("sessions/")} == {"sessions"}
    assert {roles["tools/0"], roles["tools/1"]} == {"tools"}
    assert [roles[name] for name in pooled] == ["sessions"]
