"""The README's pictures of the Ray dashboard: `make bench NAME=screenshots`. Needs Chromium.

The rule here: what is shown has happened. Sessions on a local cluster speak with the scripted model and use a tool; one
turn fails, one is under way. Then a real browser looks at the dashboard's own pages and saves them in `docs/`.
"""

import argparse
import asyncio
import importlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partialmethod
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright
from playwright.async_api import TimeoutError as NotShown

from actors import Runtime
from actors.finding import listed_actors
from agent_core.errors import ProviderError
from agent_core.scripted import Knobs
from agent_core.scripted.server import ScriptedServer
from benchmarks.rig import MODEL
from examples.streaming_tool import weather

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH, HEIGHT, _TALL = 1360, 900, 1330
_CITIES = ("Rome", "Oslo", "Paris", "Cairo")
_PACKED = 12
# As root, which a container often is, Chromium starts only without its sandbox.
_FLAGS = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
_LOADED_MS, _SETTLED_MS, _LOADS = 30_000, 1_500, 4


async def converse(runtime: Runtime, server: ScriptedServer, key: Path) -> None:
    """Let things happen: turns with tools, one that fails, one that is under way."""
    config: dict[str, Any] = {"model": f"anthropic/{MODEL}", "base_url": server.url, "api_key": f"file:{key}"}
    holiday = await runtime.session("holiday", tools=[weather], **config)
    for city in _CITIES:
        await holiday.ask(f'call weather {{"city": "{city}"}}')
    desk = [await runtime.session(f"desk-{n}", sessions_per_actor=100, **config) for n in range(_PACKED)]
    await asyncio.gather(*(session.ask(f"question {n}") for n, session in enumerate(desk)))
    # The server knows this wire at another address only.
    await holiday.set_model("openai/gpt-6.2-sol")
    with suppress(ProviderError):
        await holiday.ask("nobody answers")
    server.knobs = Knobs(first_byte_s=60.0)
    patient, asked = await runtime.session("archive", **config), server.stats.requests
    await patient.submit("what takes long")
    await server.seen(asked + 1)


async def token() -> str:
    """What the dashboard asks for."""
    ray = str(Path(sys.executable).with_name("ray"))
    process = await asyncio.create_subprocess_exec(ray, "get-auth-token", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().split()[-1]


@asynccontextmanager
async def browser_at(url: str) -> AsyncIterator[Page]:
    """A page of a browser that has the cluster's token."""
    headers = {"Authorization": f"Bearer {await token()}"}
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        size = {"width": WIDTH, "height": HEIGHT}
        context = await chromium.new_context(viewport=size, extra_http_headers=headers)  # type: ignore[arg-type]
        page = await context.new_page()
        page.set_default_timeout(_LOADED_MS)
        await page.goto(url)
        yield page
        await chromium.close()


async def opened(page: Page, url: str, shown: str) -> None:
    """Open a page of the dashboard that shows this. It is loaded again where its parts were not there yet."""
    await page.goto(url)
    for _ in range(_LOADS):
        with suppress(NotShown):
            return await page.get_by_text(shown).first.wait_for(timeout=_LOADED_MS / _LOADS)
        await page.reload()
    return await page.get_by_text(shown).first.wait_for()


async def look(page: Page, url: str, docs: Path) -> list[Path]:
    """Save each picture; their paths."""
    saved: list[Path] = []

    async def save(name: str, height: int) -> None:
        await page.set_viewport_size({"width": WIDTH, "height": height})
        await page.wait_for_timeout(_SETTLED_MS)
        saved.append(docs / f"dashboard-{name}.png")
        await page.screenshot(path=saved[-1])

    await opened(page, f"{url}/#/actors", "sessions/0")
    await save("actors", HEIGHT)
    actors = {actor.name: actor.id for actor in await asyncio.to_thread(listed_actors)}
    await opened(page, f"{url}/#/actors/{actors['session/0']}", "session=holiday turn=u1")
    await page.get_by_text("Tasks History").click()
    # The list is in no order, and has ten rows. Its last filter is for the kind of task.
    kind = page.get_by_role("combobox").last
    await kind.fill("SessionActor.turn")
    await kind.press("Enter")
    await page.get_by_text("holiday u1", exact=True).first.wait_for()
    await page.mouse.wheel(0, _TALL)
    await save("session", _TALL)
    return saved


def listen_anywhere() -> None:
    """Have Ray's agent, which the dashboard reads logs by, take a free port: another cluster may have the usual one."""
    parameters: Any = importlib.import_module("ray._private.parameter").RayParams
    parameters.__init__ = partialmethod(parameters.__init__, dashboard_agent_listen_port=0)


async def main(docs: Path) -> None:
    """Run it all."""
    listen_anywhere()
    with tempfile.TemporaryDirectory() as directory:
        async with (
            ScriptedServer() as server,
            Runtime("local", data_dir=directory, session_actors=2) as runtime,
        ):
            url = re.search(r"http://\S+", runtime.dashboard_hint)
            if url is None:
                sys.exit("The dashboard of Ray did not start: install `ray[default]`.")
            (key := Path(directory, "key")).write_text("none")
            await converse(runtime, server, key)
            async with browser_at(url.group()) as page:
                for path in await look(page, url.group(), docs):
                    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pictures are saved")
    if shutil.which("chromium") is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    asyncio.run(main(parser.parse_args().docs))
