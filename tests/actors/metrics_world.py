"""A real Prometheus over a real cluster under load, for the test of metrics.

The rule here: both run apart from the tests' own cluster and end with the test, by their own process ids.
"""

import asyncio
import json
import math
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

ROOT = Path(__file__).resolve().parent.parent.parent
_PATIENCE = 60.0
_END = 30.0


class Prometheus:
    """Asks a Prometheus that scrapes every second."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer. A query that is wrong is an AssertionError with what Prometheus says of it."""
        async with self._http.get(f"{self._url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    async def values(self, query: str) -> list[float]:
        """What a query finds now; what is not a number is nothing."""
        found = await self.get("query", query=query)
        values = [float(series["value"][1]) for series in found["result"]]
        return [value for value in values if not math.isnan(value)]

    async def value(self, query: str) -> float:
        """The one value of a query, zero if there is none."""
        values = await self.values(query)
        assert len(values) <= 1, query
        return values[0] if values else 0.0

    async def silent(self, queries: Iterable[str]) -> list[str]:
        """The queries that still find nothing when time is over."""
        left = list(queries)

        async def none_left() -> bool:
            left[:] = [query for query in left if not await self.values(query)]
            return not left

        await eventually(none_left)
        return left


async def eventually(claim: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the claim comes true within a minute."""
    until = asyncio.get_running_loop().time() + _PATIENCE
    while asyncio.get_running_loop().time() < until:
        if await claim():
            return True
        await asyncio.sleep(0.5)
    return await claim()


class GrafanaStandIn:
    """Answers as Grafana and Prometheus do to what asks whether they are there, and remembers what else was wanted."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.url = ""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path:
            case "/api/health":
                return web.json_response({"database": "ok"})
            case "/api/v1/query":
                return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})
            case _:
                self.wanted.append(request.path_qs)
                return web.Response(text="<p>a dashboard</p>", content_type="text/html")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while entered."""
        runner = web.ServerRunner(web.Server(self._answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


class Load:
    """The program under load, see `metered_load.py`. `dashboard` says where Ray's is."""

    dashboard = ""

    def __init__(self, process: asyncio.subprocess.Process, grafana: GrafanaStandIn) -> None:
        self._process, self.grafana = process, grafana

    async def told(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the load has ended: see its error above"
        return json.loads(line)

    async def round(self) -> None:
        """Everything once more."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"again\n")
        await self._process.stdin.drain()
        await self.told()


@asynccontextmanager
async def loaded_cluster() -> AsyncIterator[tuple[Load, Path]]:
    """A cluster of its own with the program on it, and the directory where Ray keeps that cluster's files."""
    grafana = GrafanaStandIn()
    async with grafana.running(), _loaded_cluster(grafana) as loaded:
        yield loaded


@asynccontextmanager
async def _loaded_cluster(grafana: GrafanaStandIn) -> AsyncIterator[tuple[Load, Path]]:
    # The sockets that Ray makes there allow no longer path.
    place = tempfile.mkdtemp(prefix="rc-", dir="/tmp")
    (dashboards := Path(place, "dashboards")).mkdir()
    environment = {
        **os.environ,
        "RAY_TMPDIR": place,
        "RAY_METRICS_GRAFANA_DASHBOARD_OUTPUT_DIR": str(dashboards),
        "RAY_GRAFANA_DATA_DASHBOARD_UID": "rayconteur",
        "RAY_GRAFANA_HOST": grafana.url,
        "RAY_PROMETHEUS_HOST": grafana.url,
        "RAY_metrics_report_interval_ms": "1000",
    }
    command = [sys.executable, "-m", "tests.actors.metered_load", f"{place}/data"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT, env=environment)
    load = Load(process, grafana)
    try:
        load.dashboard = (await load.told())["dashboard"]
        yield load, Path(place) / "ray"
    finally:
        await _end(process)
        shutil.rmtree(place, ignore_errors=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _END)
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def running_prometheus(ray: Path, place: Path) -> AsyncIterator[Prometheus]:
    """Prometheus with the project's own configuration, for this cluster and quicker."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "deploy/prometheus/alerts.yml")]
    discovered = config["scrape_configs"][0]["file_sd_configs"][0]
    discovered["files"] = [str(ray / Path(discovered["files"][0]).name)]
    discovered["refresh_interval"] = "1s"
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={place}/prometheus.yml",
        f"--storage.tsdb.path={place}/numbers",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(http, f"http://{address}")
            assert await eventually(lambda: _scrapes(prometheus)), "Prometheus does not find the cluster"
            yield prometheus
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), _END)


async def _scrapes(prometheus: Prometheus) -> bool:
    try:
        return bool(await prometheus.values("ray_node_cpu_utilization"))
    except (aiohttp.ClientError, AssertionError):
        return False
