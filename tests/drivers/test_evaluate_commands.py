"""The commands of `evaluate` one after another, as a user goes from one to the next, right and wrong."""

import asyncio
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.evaluation.logs.names import log_id
from agent_core.scripted.request import ParsedRequest
from agent_core.scripted.script import Reply, Script
from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.drivers.evaluate_world import MODEL, Done, World, stalling, world
from tests.drivers.forked import ForkServer

ROWS = [{"id": f"q{n}", "input": f"question <{n}>", "target": f"<{n}>"} for n in range(6)]
TASK = """
import asyncio
from agent_core.evaluation import Task, scorer, task

async def agent(session, sample):
    if sample.id == "exits":
        raise SystemExit(3)
    if sample.id == "cancels":
        raise asyncio.CancelledError
    return sample.id

@scorer
async def halves(answered):
    return {"b\\ud800": 1.0}

@task
def leaving():
    samples = [{"id": name, "input": "x"} for name in ("exits", "stays", "cancels")]
    return Task(dataset=samples, agent=agent, scorers=[halves])
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A model that says its question again."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def answer(request: ParsedRequest) -> Reply:
        return Reply(text=f"it is {request.text}")

    server = ScriptedServer(brain=answer)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    yield server.url
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


class Desk:
    """A directory that a user works in."""

    def __init__(self, url: str, capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capfd, self._patch = capfd, patch
        self.asking = ["-m", MODEL, "--base-url", url, "--context-limit", "100000", "--in-process", "--no-report"]

    def evaluate(self, *words: str) -> Done:
        # What a run was asked with is put on record as the program was given it.
        self._patch.setattr("sys.argv", ["evaluate", *words])
        self._capfd.readouterr()
        code = errors.run(app, program=PROGRAM, arguments=words)
        printed = self._capfd.readouterr()
        assert "Traceback" not in printed.err
        return Done(code, printed.out, printed.err)

    def run(self, out: str, *more: str, samples: str = "questions.jsonl") -> Done:
        return self.evaluate("run", samples, *self.asking, "--out", out, *more)


@pytest.fixture
def desk(url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Desk(url, capfd, monkeypatch)


def covered(results: Path) -> list[tuple[str, int]]:
    """The samples and epochs that there are results of, which the log beside them has too, each once."""
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    with zipfile.ZipFile(results.with_suffix(".eval")) as log:
        names = [name for name in log.namelist() if name.startswith("samples/")]
        summaries: list[dict[str, Any]] = json.loads(log.read("summaries.json"))
        counted = json.loads(log.read("header.json"))["results"]["total_samples"]
    logged = sorted((summary["id"], summary["epoch"]) for summary in summaries)
    found = sorted((row["id"], row["epoch"]) for row in rows)
    assert len(names) == len(set(names)) == len(found)
    assert logged == sorted((log_id(sample_id), epoch) for sample_id, epoch in found)
    assert len(set(found)) == len(found) <= counted
    return found


def logged(log: Path) -> set[str]:
    """The samples that an `.eval` log holds."""
    with zipfile.ZipFile(log) as archive:
        return {Path(name).name.rpartition("_epoch_")[0] for name in archive.namelist() if name.startswith("samples/")}


def everything(epochs: int = 1) -> list[tuple[str, int]]:
    return [(str(row["id"]), epoch) for row in ROWS for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("place", ["empty", "nowhere.jsonl", "other.jsonl", "torn.txt"])
@pytest.mark.parametrize(
    "command",
    [
        *(["resume"], ["replay", "-s", "x"], ["status"], ["pause"], ["cancel"], ["requeue"], ["statistics"]),
        *(["score", "--scorer", "exact"], ["report"], ["compare", "other.jsonl"], ["gate", "--min-coverage", "1"]),
        *(["merge", "--out", "merged"], ["export", "--format", "eval"]),
    ],
    ids=lambda command: command[0],
)
def test_what_is_no_run_is_refused_by_every_command_and_stays(desk: Desk, command: list[str], place: str) -> None:
    Path("empty").mkdir()
    contents = {"other.jsonl": '{"question": 1}\n', "torn.txt": "a line\nand one without an end"}
    for name, text in contents.items():
        Path(name).write_text(text)
    before = sorted(Path().rglob("*"))
    done = desk.evaluate(command[0], place, *command[1:])
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert place in done.err
    assert "unexpected" not in done.err
    assert sorted(Path().rglob("*")) == before
    assert {name: Path(name).read_text() for name in contents} == contents


def test_results_are_taken_out_of_the_log_too_and_had_again(desk: Desk) -> None:
    assert desk.run("out", "--scorer", "includes", "--epochs", "2").code == 0
    results = Path("out/results.jsonl")
    assert covered(results) == everything(2)
    assert desk.evaluate("requeue", "out", "--ids", "q1,nobody").code == 2
    assert covered(results) == everything(2)
    done = desk.evaluate("requeue", "out", "--ids", "q1,q4")
    assert "4 results taken out" in done.out
    assert covered(results) == [key for key in everything(2) if key[0] not in {"q1", "q4"}]
    assert "no sample ended as cancelled or infrastructure_failed" in desk.evaluate("requeue", "out").out
    assert desk.evaluate("resume", "out", "--json").code == 0
    assert covered(results) == everything(2)


def test_a_run_goes_on_from_anywhere_and_by_the_name_of_its_results(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.run("out", "--scorer", "includes", "--limit", "2").code == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert "replay" in desk.evaluate("resume", "../out", "-onew").err
    done = desk.evaluate("resume", "../out/results.jsonl", "--limit", "6", "--json")
    assert (done.code, json.loads(done.out)["earlier"]) == (0, 2), done.err
    monkeypatch.chdir(tmp_path)
    assert covered(Path("out/results.jsonl")) == everything()
    assert list(Path("elsewhere").iterdir()) == []
    assert not Path("out/results.run.json").exists()


def test_what_a_resumed_or_replayed_run_is_told_besides_is_read_from_where_it_is_typed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert desk.run("out", "--scorer", "includes", "--limit", "2").code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "some.txt").write_text("q4\n")
    (elsewhere / "prompt.txt").write_text("be brief")
    (elsewhere / "mine.py").write_text("def long(answered):\n    return len(answered.answer) > 3\n")
    monkeypatch.chdir(elsewhere)
    words = ("--limit", "6", "--ids=@some.txt", "--force", "--json")
    assert desk.evaluate("resume", "../out", *words).code == 0
    monkeypatch.chdir(elsewhere)
    done = desk.evaluate("replay", "../out", "-s@prompt.txt", "--scorer", "mine.py:long", "--out", "new")
    assert done.code == 0, done.err
    record = json.loads((elsewhere / "new" / "run.json").read_text())
    assert record["configuration"]["session"]["system_prompt"] == "be brief"
    assert {key[0] for key in covered(elsewhere / "new" / "results.jsonl")} == {"q4"}


def test_a_sample_that_left_the_dataset_counts_nowhere_and_keeps_its_line(desk: Desk) -> None:
    assert desk.run("out", "--scorer", "includes").code == 0
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:4]))
    assert desk.evaluate("resume", "out", "--force", "--json").code == 0
    assert len(Path("out/results.jsonl").read_text().splitlines()) == 6
    status = json.loads(desk.evaluate("status", "out", "--json").out)
    assert (status["planned"], status["outcomes"]["scored"], status["other_lines"]) == (4, 4, 2)
    figures = json.loads(desk.evaluate("statistics", "out", "--json").out)
    assert (figures["samples"], figures["planned"]) == (4, 4)
    assert logged(Path("out/results.eval")) == {f"q{n}" for n in range(4)}
    assert "4 results" in desk.evaluate("export", "out", "--format", "parquet").out
    assert "no sample ended as" in desk.evaluate("requeue", "out", "--outcome", "cancelled").out
    assert desk.evaluate("requeue", "out", "--ids", "q5").code == 2
    assert "4 of 4 results" in desk.evaluate("merge", "out", "--out", "merged").out
    assert logged(Path("merged/results.eval")) == {f"q{n}" for n in range(4)}
    # It counts again once it is back.
    Path("questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert json.loads(desk.evaluate("resume", "out", "--json").out)["earlier"] == 6
    assert covered(Path("out/results.jsonl")) == everything()


def test_a_replay_changes_what_is_named_and_nothing_else(desk: Desk) -> None:
    # A flag before an argument, a value that looks like an option, a resumed run: none may be taken for another.
    asked = [
        "run",
        "--no-report",
        "questions.jsonl",
        *desk.asking,
        "--system=-only",
        "--out",
        "out",
        "--scorer=includes",
    ]
    assert desk.evaluate(*asked).code == 0
    assert desk.evaluate("resume", "out").code == 0
    done = desk.evaluate("replay", "out", "--no-report", "-sshort, to the point", "--out", "new")
    assert done.code == 0, done.err
    assert "6 samples are in both" in done.out
    assert covered(Path("new/results.jsonl")) == everything()
    again = json.loads(Path("new/run.json").read_text())
    assert again["configuration"]["session"]["system_prompt"] == "short, to the point"
    assert "--resume" not in again["command"]
    refused = desk.evaluate("replay", "out", "-s", "x", "--out", "new")
    assert refused.code == 2
    assert "is there already" in refused.err


def test_a_replay_that_cannot_be_compared_says_so_and_keeps_its_exit_code(desk: Desk) -> None:
    assert desk.run("out", "--scorer", "includes").code == 0
    done = desk.evaluate("replay", "out", "--scorer", "exact", "--out", "new")
    assert done.code == 0
    assert "Not compared: The runs have no scorer in common" in done.err
    as_json = desk.evaluate("replay", "out", "-s", "x", "--json", "--out", "newer")
    assert json.loads(as_json.out)["outcomes"]["scored"] == 6
    assert "evaluate compare" in as_json.err


def test_an_agent_that_exits_or_cancels_itself_ends_its_own_sample_alone(desk: Desk) -> None:
    Path("leaving.py").write_text(TASK)
    done = desk.run("out", samples="leaving.py")
    assert done.code == 1, done.err
    results = {row["id"]: row for row in map(json.loads, Path("out/results.jsonl").read_text().splitlines())}
    assert results["exits"]["error"]["message"].startswith("The agent left by SystemExit: 3.")
    assert results["cancels"]["error"]["message"].startswith("The agent cancelled itself.")
    # A name that cannot be printed is a scorer's mistake, not the end of the program.
    assert results["stays"]["outcome"] == "unscored"
    assert "nonsense" in json.dumps(results["stays"]["scores"])
    assert len(covered(Path("out/results.jsonl"))) == 3


def test_ids_of_any_text_come_through_every_command(desk: Desk) -> None:
    names = ["a/b/../c", "..", "/", "é/日本\n\t🙂", "x\u202ey", "[bold]q[/bold]", "a,b", "L" * 5000]
    rows = [{"id": name, "input": f"question <{n}>", "target": f"<{n}>"} for n, name in enumerate(names)]
    Path("names.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert desk.run("out", "--scorer", "includes", samples="names.jsonl").code == 0
    for command in (["score", "--scorer", "exact"], ["status", "--json"], ["statistics"], ["merge", "--out", "merged"]):
        done = desk.evaluate(command[0], "out", *command[1:])
        assert done.code == 0, done.err
        assert max(map(len, done.out.splitlines())) <= 80
    assert desk.evaluate("export", "out", "--format", "parquet").code == 0
    for results in (Path("out/results.jsonl"), Path("merged/results.jsonl")):
        assert {sample_id for sample_id, _ in covered(results)} == set(names)
    Path("ids.txt").write_text("a,b\n")
    assert "1 results taken out" in desk.evaluate("requeue", "out", "--ids", "@ids.txt").out


def test_a_range_that_holds_nothing_is_named(desk: Desk) -> None:
    done = desk.run("out", "--range", "50:60")
    assert done.code == 2
    assert "--range" in done.err
    assert not Path("out").exists()


async def test_a_run_under_way_is_read_by_all_and_written_by_none_else(forks: ForkServer, tmp_path: Path) -> None:
    script = Script(rules=(stalling("<3>", 1),))
    async with world(forks, tmp_path, script) as this:
        this.ask(4)
        process = await this.start(this.arguments("--scorer", "includes", "--concurrency", "4"))
        try:
            await _has(this, 3)
            for word, said in (
                *(("resume", "takes no orders"), ("cancel", "takes no orders"), ("requeue", "takes no orders")),
                ("score", "is being written by another run"),
            ):
                done = await _command(this, word, *(["--scorer", "exact"] if word == "score" else []))
                assert (done.code, said in done.err) == (2, True), done.err
            done = await _command(this, "status", "--json")
            assert json.loads(done.out)["outcomes"]["missing"] == 1
        finally:
            process.kill()
            await process.wait()
        # A killed run can be judged anew before it goes on.
        assert (await _command(this, "score", "--scorer", "exact")).code == 0
        done = await _command(this, "resume")
        assert done.code == 0, done.err
        assert covered(this.results_path) == [(f"q{n}", 1) for n in range(4)]


async def _has(this: World, count: int) -> None:
    while not this.results_path.exists() or len(this.results_path.read_bytes().splitlines()) < count:
        await asyncio.sleep(0.05)


async def _command(this: World, word: str, *more: str) -> Done:
    return await this.ended(await this.start([word, str(this.out), *more]))
