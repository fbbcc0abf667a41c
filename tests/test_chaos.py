"""The chaos soak runs, kills what it says, and finds nothing wrong in the few seconds that it is given here."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import chaos_check

OPTIONS = {"minutes": 0.2, "sessions": 6, "dedicated": 1, "nodes": 2, "kill-every": 2, "turn-every": 1, "seed": 5}
KINDS = {value for name, value in vars(chaos_check).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.timeout(300)
async def test_a_short_soak_finds_nothing_wrong(repository: Path) -> None:
    chosen = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.chaos", *chosen, "--json"),
        cwd=repository,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in json.loads(out)}
    assert {name: row["value"] for name, row in rows.items() if name in KINDS} == dict.fromkeys(KINDS, 0)
    assert rows["killed in all"]["value"] >= 1
    assert rows["messages accepted"]["value"] >= 7
