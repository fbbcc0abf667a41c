"""Numbers of a running cluster, as a real Prometheus sees them: each panel shows something, each rule is judged."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from agent_core.metering.instruments import INSTRUMENTS, Instrument
from benchmarks.screenshots import browser_at
from tests.actors.metrics_world import ROOT, Load, Prometheus, eventually, loaded_cluster, running_prometheus

pytestmark = [
    # A cluster, a Prometheus and two rounds of everything are made ready before the first test.
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus and promtool are not installed",
    ),
]

RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/rayconteur.json"
OF_RAY = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "instance", "job", "le", "__name__"}


def name_of(instrument: Instrument) -> str:
    """What Prometheus calls it, a histogram by its count."""
    suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[instrument.kind]
    return f"ray_{instrument.name}{suffix}"


def queries() -> dict[str, str]:
    """The queries of the dashboard by their panels, as Grafana sends them."""
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in panels
        for target in panel.get("targets", ())
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded() -> AsyncIterator[tuple[Load, Path]]:
    """A cluster with a load, and where Ray keeps its files."""
    async with loaded_cluster() as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(loaded: tuple[Load, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus that has seen two rounds of everything, with a killed actor at the end of the second."""
    load, ray = loaded
    async with running_prometheus(ray, tmp_path_factory.mktemp("prometheus")) as running:
        await load.round()
        # What a rate is taken of has to be seen before it grows.
        first = [name_of(instrument) for instrument in INSTRUMENTS]
        assert not await running.silent(first)
        await load.round()
        yield running


@pytest.mark.asyncio(loop_scope="module")
async def test_no_panel_of_the_dashboard_is_empty_after_a_load(prometheus: Prometheus) -> None:
    panels = queries()
    assert len(panels) > 30
    silent = await prometheus.silent(panels.values())
    assert not [panel for panel, query in panels.items() if query in silent]


@pytest.mark.asyncio(loop_scope="module")
async def test_every_rule_is_judged_and_finds_every_number_that_it_looks_at(prometheus: Prometheus) -> None:
    [group] = (await prometheus.get("rules"))["groups"]
    assert len(group["rules"]) == 5
    for rule in group["rules"]:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        looked_at = re.findall(r"ray_\w+(?:\{[^}]*\})?", rule["query"])
        assert looked_at
        assert not await prometheus.silent(set(looked_at)), rule["name"]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_the_load_did_is_what_was_counted(prometheus: Prometheus) -> None:
    # The killed actor takes along what it has not handed over, two seconds at most, and Ray what was not exported.
    least = {
        'sum(ray_rayconteur_turns_total{outcome="completed"})': 10,
        'sum(ray_rayconteur_turns_total{outcome="failed"})': 2,
        'sum(ray_rayconteur_turns_total{outcome="interrupted"})': 1,
        'sum(ray_rayconteur_provider_requests_total{status="429"})': 2,
        'sum(ray_rayconteur_provider_retries_total{kind="rate_limit"})': 2,
        'sum(ray_rayconteur_tool_calls_total{tool="add",outcome="ok"})': 2,
        'sum(ray_rayconteur_tool_calls_total{tool="fail",outcome="exception"})': 2,
        'sum(ray_rayconteur_compactions_total{strategy="llm",outcome="spliced"})': 2,
        'sum(ray_rayconteur_tokens_total{purpose="summary"})': 1,
        'sum(ray_rayconteur_actor_restarts_total{role="session"})': 1,
        "sum(ray_rayconteur_turns_resumed_total)": 1,
    }

    async def counted() -> bool:
        return all([await prometheus.value(query) >= number for query, number in least.items()])

    assert await eventually(counted), {query: await prometheus.value(query) for query in least}
    assert await prometheus.value('sum(ray_rayconteur_actor_restarts_total{role!="session"})') == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_no_tag_bears_the_id_of_a_session_or_of_a_turn(prometheus: Prometheus) -> None:
    found = await prometheus.get("series", **{"match[]": '{__name__=~"ray_rayconteur_.*"}'})
    tags = {tag for instrument in INSTRUMENTS for tag in instrument.tags}
    labels = {label for series in found for label in series if not label.startswith("otel_scope")}
    assert labels <= tags | OF_RAY
    values = {series[label] for series in found for label in series if label in tags}
    assert {"add", "completed", "claude-test"} <= values
    assert not [value for value in values if re.search(r"(one|two|three)-\d", value)]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_dashboard_goes_over_the_one_that_ray_shows_beside_its_core(loaded: tuple[Load, Path]) -> None:
    _, ray = loaded
    provisioning = ray / "session_latest/metrics/grafana/provisioning/dashboards/default.yml"

    async def written() -> bool:
        return provisioning.exists()

    assert await eventually(written)
    [provider] = yaml.safe_load(provisioning.read_text())["providers"]
    rays = Path(provider["options"]["path"]) / "data_grafana_dashboard.json"
    assert json.loads(rays.read_text())["uid"] == json.loads(DASHBOARD.read_text())["uid"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed: apt-get install chromium")
async def test_the_metrics_tab_of_rays_dashboard_asks_grafana_for_this_one(loaded: tuple[Load, Path]) -> None:
    load, _ = loaded
    uid = json.loads(DASHBOARD.read_text())["uid"]
    url = re.search(r"http://\S+", load.dashboard)
    assert url
    async with browser_at(url.group()) as page:
        await page.goto(f"{url.group()}/#/metrics")
        await page.get_by_role("tab", name="Ray Data").click()
        frame = page.locator(f"iframe[src*='/d/{uid}/']")
        await frame.wait_for()
        assert "var-datasource=Prometheus" in str(await frame.get_attribute("src"))

    async def wanted() -> bool:
        return any(path.startswith(f"/d/{uid}/") for path in load.grafana.wanted)

    assert await eventually(wanted)


def test_the_configuration_and_the_rules_are_right_and_each_alert_sounds_when_it_must() -> None:
    for arguments in (
        ["check", "rules", str(RULES)],
        ["check", "config", str(RULES.with_name("prometheus.yml"))],
        ["test", "rules", str(Path(__file__).with_name("alerts_test.yml"))],
    ):
        ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_document_has_every_metric_with_its_tags() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `rayconteur_")]
    told = {name.strip("`"): (kind, tags.replace("`", ""), about) for name, kind, tags, about in rows}
    assert told == {item.name: (item.kind, ", ".join(item.tags) or "none", item.description) for item in INSTRUMENTS}
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert re.findall(r"^\| `(Rayconteur\w+)`", text, flags=re.MULTILINE) == alerts


def test_every_instrument_is_on_the_dashboard_and_panels_do_not_overlap() -> None:
    shown = " ".join(queries().values())
    assert not [item.name for item in INSTRUMENTS if not re.search(rf"ray_{item.name}(_total|_bucket|\b)", shown)]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [(place["y"], place["x"] + column) for place in places for column in range(place["w"])]
    assert len(cells) == len(set(cells))
    assert max(column for _, column in cells) < 24
