"""The README's pictures of the Ray dashboard: a browser finds there what they are to show, and saves them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed: apt-get install chromium")
def test_the_dashboard_of_ray_shows_actors_turns_as_tasks_and_their_log(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.screenshots", "--docs", str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    saved = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in saved] == ["dashboard-actors.png", "dashboard-session.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in saved)
    assert {path.name for path in saved} <= {path.name for path in (repository / "docs").iterdir()}
