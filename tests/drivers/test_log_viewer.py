"""The log of a run in Inspect's own viewer, in a real browser: its samples are listed, and one opens with its words."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from agent_core.evaluation.results_file import Places
from drivers.evaluating.exporting import write_eval
from tests.drivers.report_world import HOSTILE, HOSTILE_ID, results, write_run

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)
if importlib.util.find_spec("inspect_ai") is None:
    pytest.skip("inspect_ai is not installed: pip install -e '.[inspect]'", allow_module_level=True)
SAMPLES = 20
FLAGS = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The viewer, serving the log of a run with failed samples and scored ones."""
    run = write_run(tmp_path / "run", SAMPLES, 1)
    (tmp_path / "logs").mkdir()
    write_eval(Places.of(str(run)), tmp_path / "logs" / "results.eval")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["view", "start", "--host", "127.0.0.1", "--port", str(port), "--log-dir", str(tmp_path / "logs")]
    with subprocess.Popen(
        [sys.executable, "-m", "inspect_ai", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
    ) as viewer:
        assert viewer.stdout is not None
        said: list[str] = []
        for line in viewer.stdout:
            said.append(line)
            if "http://" in line:
                break
        assert "http://" in said[-1], said
        yield f"http://127.0.0.1:{port}"
        viewer.kill()


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def test_inspects_viewer_opens_our_log_and_samples_of_it(address: str, page: Page) -> None:
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    made = list(results(SAMPLES, 1, 7))
    scored = next(one for one in made if one.outcome == "scored")
    page.goto(address)
    expect(page.get_by_text(f"{len(made)} rows", exact=True)).to_be_visible()
    page.get_by_text(scored.id, exact=True).first.click()
    expect(page.get_by_text(scored.input).first).to_be_visible()
    page.get_by_role("tab", name="Messages").click()
    expect(page.get_by_text("look_up").first).to_be_visible()
    page.goto(address)
    page.get_by_text(HOSTILE_ID, exact=True).first.click()
    expect(page.get_by_role("tab", name="Error")).to_be_visible()
    expect(page.get_by_text(HOSTILE[:30]).first).to_be_visible()
    assert troubles == []
