"""Every benchmark runs and tells its figures. Values are not looked at, but for those that no machine can change."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from actors.cluster import connect, disconnect
from benchmarks.figures import figure, quantile

TINY: dict[str, list[str]] = {
    "turns": ["--width", "2", "--turns", "2", "--rounds", "1"],
    "turns --paced": ["--width", "2", "--turns", "2", "--rounds", "1", "--pace", "0.002"],
    "first_token": ["--streams", "2", "--tokens", "4", "--blocks", "1", "--seconds", "0.3"],
    "memory": ["--sessions", "5"],
    "density": ["--turns", "4", "--tokens", "2", "--rate", "20"],
    "opening": ["--sessions", "2", "--entries", "8"],
    "recovery": ["--sessions", "2", "--rounds", "1"],
    "compaction": ["--sessions", "2", "--seconds", "5", "--scale", "0.01", "--way", "grace", "--history", "500"],
    "local_chat": ["--turns", "2", "--max-tokens", "8", "--pause", "0"],
    "retention": ["--seeds", "1", "--stretches", "2", "--turns", "3"],
    "streams": ["--sessions", "2", "--tokens", "4", "--rounds", "1", "--seconds", "0.3"],
    "journal_bytes": ["--calls", "4", "--size", "3000", "--tokens", "4000"],
    "eval_log": ["--rounds", "2", "--turns", "2", "--samples", "4", "--merge", "4"],
    "evaluation": [
        *("--samples", "6", "--turns", "2", "--at-once", "4", "--rounds", "1"),
        *("--open", "4", "--seconds", "0.05", "--few", "10", "--many", "30"),
    ],
    "evaluation_inspect": ["--samples", "4", "--turns", "2", "--at-once", "4", "--rounds", "1"],
    "model_server": ["--requests", "20", "--readers", "2", "--rounds", "1"],
}
"""The arguments that make each program quick."""

FIGURES: dict[str, set[str]] = {
    "turns": {"2 in flight: over the stream helper", "2 in flight: ours", "2 in flight: ours, session actor"},
    "turns --paced": {"2 in flight: over the stream helper", "2 in flight: over the stream helper on aiohttp"},
    "first_token": {"added to the first token, median", "added to the first token, p99", "machine busy with ours"},
    "memory": {"a session that is open", "a session after a turn, beyond its transcript", "of them answered"},
    "density": {"completed with their whole text", "requests that the model had at once", "CPU a turn", "wall"},
    "opening": {"open, median", "open, p99", "re-activate 9 entries, p99"},
    "recovery": {"all sessions answer again, worst round", "messages lost, doubled or changed"},
    "compaction": {
        "2 sessions, grace: added to a turn, p99",
        "2 sessions, grace: waits below the hard mark",
        "splice into 500 messages, 100 of them standing",
    },
    "local_chat": {"turns that failed", "turns that waited for a summary", "a turn beside no summary, median"},
    "retention": {"llm: number, after 1", "llm, tight: path, after 2", "mechanical: context left by a compaction"},
    "streams": {"tokens a second at full speed", "added to the first token at that load, p95"},
    "journal_bytes": {"SQLite: the file grew by", "that is so many times as much in the file"},
    "eval_log": {
        "CPU to make a sample of 2 turns with a call in each",
        "CPU to add a sample to a log",
        "CPU to end a log, for each sample",
        "CPU to merge two runs, for each sample",
    },
    "evaluation": {
        "ours on Ray: a sample of one turn, beyond the bare SDK",
        "ours on Ray: a further turn, beyond the bare SDK",
        "ours, one process: a sample of one turn, beyond the bare SDK",
        "ours on Ray: 4 samples at once, 2 turns of 0.05 s",
        "program: grown from 10 to 30 samples",
    },
    "evaluation_inspect": {
        "one turn, ours on Ray: samples a CPU second over Inspect's",
        "2 turns, ours, one process: samples a CPU second over Inspect's",
        "2 turns, Inspect: CPU a sample",
    },
    "model_server": {"/v1/messages, 32 deltas, of one core", "/v1/responses, whole, on the wall"},
}
"""What each must tell, at the least."""

CERTAIN = {
    "of them answered": 5,
    "completed with their whole text": 4,
    "messages lost, doubled or changed": 0,
    "llm: number, after 1": 100,
    "2 sessions, grace: waits below the hard mark": 0,
    "turns that failed": 0,
    "turns that waited for a summary": 0,
    "readers that came to the end": 2,
}
"""Figures that a slow machine has no part in."""


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """A Ray that all programs join, in place of one for each."""
    # Ray's daemons end with the thread that started them, and that thread ends with its loop.
    with asyncio.Runner() as loop:
        cluster = loop.run(connect("local", "benchmarks", dashboard=False))
        yield
        disconnect(cluster)


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("name", FIGURES)
def test_a_benchmark_tells_its_figures(name: str) -> None:
    program, *options = name.split()
    if program == "evaluation_inspect":
        pytest.importorskip("inspect_ai")
    app = typer.Typer()
    app.command()(import_module(f"benchmarks.{program}").main)
    run = CliRunner().invoke(app, [*options, *TINY[name], "--json"], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    rows: list[dict[str, Any]] = json.loads(run.stdout)
    missing = FIGURES[name] - {row["name"] for row in rows}
    assert not missing, f"benchmarks.{program} does not tell: {', '.join(sorted(missing))}"
    assert all(row["met"] is not None for row in rows if row["goal"])
    seen = {row["name"]: row["value"] for row in rows}
    assert {figure: seen[figure] for figure in seen.keys() & CERTAIN.keys()}.items() <= CERTAIN.items()


@pytest.mark.timeout(300)
def test_an_evaluation_that_loses_a_node_ends_with_one_result_of_each_sample(repository: Path) -> None:
    # In a process of its own, which joins no other Ray.
    options = ("--samples", "24", "--turns", "2", "--at-once", "8", "--seconds", "0.3", "--json")
    command = (sys.executable, "-m", "benchmarks.evaluation_kill", *options)
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    seen = {row["name"]: row["value"] for row in json.loads(run.stdout)}
    assert seen["node killed: sessions open on it"] >= 1
    assert (seen["node killed: samples with a result"], seen["node killed: results too many"]) == (24, 0)
    assert seen["node killed: samples in the log"] == 24


def test_a_goal_is_a_bound_on_the_value() -> None:
    assert figure("F", "a", 2.0, "x", "<= 2.0").met is True
    assert figure("F", "a", 2.1, "x", "<= 2.0").met is False
    assert figure("F", "a", 9_999, "/s", ">= 10000").met is False
    assert figure("F", "a", 1, "").met is None


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([7.0], 0.99)) == (50.0, 99.0, 7.0)
    with pytest.raises(ValueError, match="Nothing was measured"):
        quantile([], 0.5)
