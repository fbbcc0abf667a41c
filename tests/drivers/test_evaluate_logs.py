"""`evaluate export` and `evaluate merge` as a user runs them: what they write, refuse and exit with."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.reading import result_of
from agent_core.evaluation.result import Result, Timings, decode, encode
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.core.evaluation.logs.world import STARTED, record, result


@dataclass
class Ended:
    """What a program printed and its exit code."""

    code: int
    out: str
    err: str


class Desk:
    """A directory with runs, and the program that reads them."""

    def __init__(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.here, self._capsys = here, capsys

    def evaluate(self, *words: str | Path) -> Ended:
        self._capsys.readouterr()
        code = errors.run(app, program=PROGRAM, arguments=[str(word) for word in words])
        printed = self._capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    def run(self, name: str, *results: Result, samples: int = 2, epochs: int = 1) -> Path:
        """A run with these results; returns its directory."""
        directory = self.here / name
        directory.mkdir(parents=True)
        (directory / "results.jsonl").write_bytes(b"".join(map(encode, results)))
        told = record(Path(name).name, samples=samples, epochs=epochs)
        (directory / "run.json").write_text(told.model_dump_json())
        return directory

    def logged(self, name: str, *results: Result, samples: int = 2) -> Path:
        """A run with a log."""
        directory = self.run(name, *results, samples=samples)
        assert self.evaluate("export", directory, "--format", "eval").code == 0
        return directory


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def members(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: json.loads(file.read(name)) for name in file.namelist()}


def lines(directory: Path) -> list[Result]:
    return [decode(line) for line in (directory / "results.jsonl").read_bytes().splitlines()]


def later(sample_id: str, **fields: Any) -> Result:
    return result(sample_id, timings=Timings(queued=STARTED, started=STARTED, ended=STARTED + 999), **fields)


def test_a_run_is_exported_as_a_log(desk: Desk) -> None:
    run = desk.run("book", result("q1"), result("q2", value=0.0))
    ended = desk.evaluate("export", run, "--format", "eval")
    assert (ended.code, ended.out) == (0, f"2 results: {run / 'results.eval'}\n")
    written = members(run / "results.eval")
    assert written["header.json"]["status"] == "success"
    assert written["header.json"]["eval"]["dataset"]["sample_ids"] == ["q1", "q2"]
    assert written["samples/q1_epoch_1.json"]["messages"][0]["content"] == "Answer from the book."
    with LogFile(run / "results.eval") as log:
        assert [result_of(log.content(sample)).answer for sample in log.samples()] == [
            each.answer for each in lines(run)
        ]


def test_a_run_is_exported_as_a_table(desk: Desk) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = desk.run("book", result("q1"), result("q2", value=0.0))
    assert (
        desk.evaluate("export", run, "--format", "parquet", "--transcripts", "--to", desk.here / "t.parquet").code == 0
    )
    table = parquet.read_table(desk.here / "t.parquet")
    assert table.column("score_includes").to_pylist() == [1.0, 0.0]
    assert json.loads(table.column("transcript")[0].as_py())[0]["id"] == "u1"
    assert json.loads(table.schema.metadata[b"rayconteur"])["run_id"] == "book"


def test_a_run_under_way_is_exported_as_far_as_it_is(desk: Desk) -> None:
    run = desk.run("book", result("q1"), samples=2)
    with (run / "results.jsonl").open("ab") as file:
        file.write(encode(result("q2"))[:100])
    assert desk.evaluate("export", run, "--format", "eval").out.startswith("1 results")
    assert members(run / "results.eval")["header.json"]["status"] == "cancelled"


def test_results_without_a_record_are_exported_all_the_same(desk: Desk) -> None:
    (desk.here / "mine.jsonl").write_bytes(encode(result("q1")) + encode(result("q1", 2)))
    assert desk.evaluate("export", desk.here / "mine.jsonl", "--format", "eval").code == 0
    header = members(desk.here / "mine.eval")["header.json"]
    assert (header["eval"]["task"], header["eval"]["config"]["epochs"], header["status"]) == ("mine", 2, "success")


def test_an_export_replaces_nothing_unless_told_and_never_the_results(desk: Desk) -> None:
    run = desk.logged("book", result("q1"))
    before = (run / "results.eval").read_bytes()
    ended = desk.evaluate("export", run, "--format", "parquet", "--to", run / "results.eval")
    assert (ended.code, "--overwrite" in ended.err) == (2, True)
    assert (run / "results.eval").read_bytes() == before
    ended = desk.evaluate("export", run, "--format", "eval", "--to", run / "results.jsonl", "--overwrite")
    assert (ended.code, "the results themselves" in ended.err) == (2, True)
    assert desk.evaluate("export", run, "--format", "eval", "--overwrite").code == 0


@pytest.mark.parametrize("form", ["eval", "parquet"])
def test_what_is_no_result_is_refused_with_its_line_and_leaves_nothing_behind(desk: Desk, form: str) -> None:
    run = desk.run("book", result("q1"))
    with (run / "results.jsonl").open("ab") as file:
        file.write(b'{"id":"q2"}\n')
    ended = desk.evaluate("export", run, "--format", form)
    assert (ended.code, "line 2 is no result" in ended.err) == (2, True)
    assert sorted(path.name for path in run.iterdir()) == ["results.jsonl", "run.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "nowhere", "--format", "eval"], "nowhere"),
        (["export", "book", "--format", "csv"], "csv"),
        (["export", "book", "--format", "eval", "--to", "nowhere/log.eval"], "nowhere"),
        (["merge", "book"], "--out"),
        (["merge", "book", "nowhere", "--out", "merged"], "nowhere"),
        (["merge", "book", "gone.eval", "--out", "merged"], "gone.eval"),
        (["merge", "empty.shards"], "no shards"),
        (["merge", "book", "--out", "book"], "already"),
        (["merge", "book", "--out", "book", "--overwrite"], "one of the runs"),
    ],
)
def test_mistakes_are_told_and_leave_nothing_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    desk.run("book", result("q1"))
    (desk.here / "empty.shards").mkdir()
    monkeypatch.chdir(desk.here)
    before = {path: path.is_file() and path.read_bytes() for path in desk.here.rglob("*")}
    ended = desk.evaluate(*words)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert {path: path.is_file() and path.read_bytes() for path in desk.here.rglob("*")} == before


def test_runs_become_one_with_each_result_once(desk: Desk) -> None:
    one = desk.logged("one", result("q1"), result("q2", value=0.0), samples=3)
    two = desk.run("two", later("q2", value=1.0), result("q3"), samples=3)
    ended = desk.evaluate("merge", one, two, "--out", desk.here / "all")
    assert (ended.code, "3 of 3 results; 0 missing; 1 of which there were two that differ." in ended.out) == (0, True)
    merged = desk.here / "all"
    assert [(each.id, each.scores["includes"].value) for each in lines(merged)] == [("q1", 1), ("q2", 1), ("q3", 1)]
    written = members(merged / "results.eval")
    assert [each["id"] for each in written["summaries.json"]] == ["q1", "q2", "q3"]
    assert written["samples/q2_epoch_1.json"]["scores"]["includes"]["value"] == 1.0
    ledger = json.loads((merged / "merge.json").read_text())
    assert [(each["run_id"], each["results"], each["taken"]) for each in ledger["sources"]] == [
        ("one", 2, 1),
        ("two", 2, 2),
    ]
    assert ledger["first_conflicts"] == [
        {"id": "q2", "epoch": 1, "taken": str(two), "left": str(one), "because": "later"}
    ]
    assert json.loads((merged / "run.json").read_text())["samples"] == 3
    assert sorted(path.name for path in merged.iterdir()) == ["merge.json", "results.eval", "results.jsonl", "run.json"]


def test_samples_of_logs_are_copied_as_they_lie_there(desk: Desk) -> None:
    one, two = desk.logged("one", result("q1")), desk.logged("two", result("q2"))
    assert desk.evaluate("merge", one, two, "--out", desk.here / "all").code == 0
    copied = (desk.here / "all" / "results.eval").read_bytes()
    for directory, name in ((one, "q1"), (two, "q2")):
        with zipfile.ZipFile(directory / "results.eval") as file:
            about = file.getinfo(f"samples/{name}_epoch_1.json")
        whole = (directory / "results.eval").read_bytes()
        begin = about.header_offset
        assert whole[begin : begin + 30 + len(about.filename) + about.compress_size] in copied


def test_what_is_missing_makes_the_exit_code_and_is_counted(desk: Desk) -> None:
    run = desk.run("one", result("q1"), samples=3)
    ended = desk.evaluate("merge", run, "--out", desk.here / "all", "--json")
    ledger = json.loads(ended.out)
    assert (ended.code, ledger["planned"], ledger["present"], ledger["missing"]) == (1, 3, 1, 2)
    assert members(desk.here / "all" / "results.eval")["header.json"]["status"] == "cancelled"


def test_runs_of_different_configurations_are_merged_only_when_forced(desk: Desk) -> None:
    one, two = desk.run("one", result("q1")), desk.run("two", result("q2", configuration="f00d"))
    ended = desk.evaluate("merge", one, two, "--out", desk.here / "all")
    assert (ended.code, "--force" in ended.err, (desk.here / "all").exists()) == (2, True, False)
    assert desk.evaluate("merge", one, two, "--out", desk.here / "all", "--force").code == 0


def test_shards_that_are_logs_alone_become_a_log_beside_them_and_results(desk: Desk) -> None:
    shards = desk.here / "book.shards"
    for name, sample_id in (("0", "q1"), ("1", "q2")):
        directory = desk.logged(f"book.shards/{name}", result(sample_id))
        (directory / "results.jsonl").unlink()
        (directory / "run.json").unlink()
    ended = desk.evaluate("merge", shards)
    assert ended.code == 0, ended.err
    written = members(desk.here / "book.eval")
    assert [each["shard"] for each in written["header.json"]["eval"]["shards"]["ledger"]] == ["0", "1"]
    assert {"samples/q1_epoch_1.json", "samples/q2_epoch_1.json"} <= written.keys()
    expected = [result("q1"), result("q2")]
    plain = {"transcript", "history"}
    assert [each.model_dump(exclude=plain) for each in lines(desk.here / "book")] == [
        each.model_dump(exclude=plain) for each in expected
    ]


def test_a_merged_run_is_merged_and_exported_again(desk: Desk) -> None:
    one, two = desk.logged("one", result("q1"), samples=3), desk.run("two", result("q2"), samples=3)
    assert desk.evaluate("merge", one, two, "--out", desk.here / "both").code == 1
    three = desk.run("three", result("q3"), samples=3)
    assert desk.evaluate("merge", desk.here / "both", three, "--out", desk.here / "all").code == 0
    assert desk.evaluate("export", desk.here / "all", "--format", "eval", "--overwrite").code == 0
    assert len(members(desk.here / "all" / "results.eval")["summaries.json"]) == 3


def test_logs_of_inspect_are_merged_with_each_other_and_with_ours(desk: Desk) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log", reason="Inspect is not installed: pip install inspect-ai")
    one, two = desk.logged("one", result("q1")), desk.logged("two", result("q2"))
    theirs = desk.here / "theirs.eval"
    inspect_log.write_eval_log(inspect_log.read_eval_log(str(one / "results.eval")), str(theirs))
    assert desk.evaluate("merge", theirs, two, "--out", desk.here / "all").code == 0
    log = inspect_log.read_eval_log(str(desk.here / "all" / "results.eval"))
    assert (log.status, [each.id for each in log.samples]) == ("success", ["q1", "q2"])
    assert [(entry.shard, entry.status, entry.samples) for entry in log.eval.shards.ledger] == [
        ("theirs.eval", "cancelled", 1),
        ("two", "cancelled", 1),
    ]
    assert [each.id for each in lines(desk.here / "all")] == ["q1", "q2"]
