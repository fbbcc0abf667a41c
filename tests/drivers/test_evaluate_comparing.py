"""`evaluate statistics`, `compare` and `gate` as a user runs them: what they print, refuse and exit with."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.result import Result, Timings, encode
from agent_core.evaluation.score import Score
from drivers import errors
from drivers.evaluating.comparing import compare_command
from drivers.evaluating.gating import gate_command
from drivers.evaluating.statistics import statistics_command

TIMINGS = Timings(queued=0, started=1, ended=2)
TOPICS = ("law", "[bold]math[/]")


@dataclass
class Ended:
    """What a program printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """What was printed on stdout, its white space made one."""
        return " ".join(self.out.split())


class Desk:
    """A directory with runs, and the programs that read them."""

    def __init__(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.here, self._capsys = here, capsys
        self._app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        for name, command in (("statistics", statistics_command), ("compare", compare_command), ("gate", gate_command)):
            self._app.command(name)(command)

    def run(self, *arguments: str) -> Ended:
        code = errors.run(self._app, program="evaluate", arguments=arguments)
        captured = self._capsys.readouterr()
        # A command to copy stands on one line, however long.
        lines = [line for line in captured.out.splitlines() if not line.startswith("How they differ:")]
        assert "--json" in arguments or max(map(len, lines), default=0) <= 80
        return Ended(code, captured.out, captured.err)

    def write(self, name: str, scores: Mapping[str, Sequence[float | None]], *, planned: int | None = None) -> str:
        """A run whose scorer `accuracy` said this of every epoch; None is what the infrastructure failed."""
        out = self.here / name
        out.mkdir()
        with (out / "results.jsonl").open("wb") as file:
            for number, (sample, values) in enumerate(scores.items()):
                for epoch, value in enumerate(values, start=1):
                    file.write(encode(result(sample, epoch, value, TOPICS[number % 2])))
        epochs = max(map(len, scores.values()), default=1)
        record = RunRecord(
            run_id="r", created_at=0.0, dataset="d", samples=planned or len(scores), epochs=epochs, digest="c",
            configuration={},
        )  # fmt: skip
        (out / "run.json").write_text(record.model_dump_json())
        return str(out)


def result(sample: str, epoch: int, value: float | None, topic: str) -> Result:
    return Result(
        id=sample,
        epoch=epoch,
        outcome="infrastructure_failed" if value is None else "scored",
        attempts=1,
        input=sample,
        metadata={"topic": topic},
        scores={} if value is None else {"accuracy": Score(value=value)},
        timings=TIMINGS,
        configuration="c",
    )


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


@pytest.fixture
def runs(desk: Desk) -> tuple[str, str]:
    """40 samples, 30 right; then the same and one more, of which 4 were lost, 2 gained, and one failed."""
    before: dict[str, Sequence[float | None]] = {f"q{n}": [float(n < 30)] for n in range(40)}
    after: dict[str, Sequence[float | None]] = {f"q{n}": [float(4 <= n < 32)] for n in range(41)}
    after["q39"] = [None]
    desk.write("a", before)
    desk.write("b", after)
    return "a", "b"


def test_two_runs_are_compared_on_one_screen(desk: Desk, runs: tuple[str, str]) -> None:
    done = desk.run("compare", *runs, "--group-by", "topic", "--flips", "2")
    assert (done.code, done.err) == (0, "")
    assert "40 samples are in both." in done.out
    assert "1 are in B only: q40." in done.out
    # Paired are 39: 30 right before, 28 after; exact test of 2 gained and 4 lost: 2 * (1 + 6 + 15) / 64.
    assert re.search(r"accuracy +39 +0\.769 +0\.718 +-0\.051 +\[-0\.\d{3}, \+0\.\d{3}\] +0\.688", done.out)
    assert "4 lower in B, 2 higher; McNemar exact p 0.688, permutation p 0.688." in done.words
    assert "they have a score 1 in A only." in done.words
    assert "lower : q0, q1 and 2 more" in done.out
    assert "higher: q30, q31" in done.out
    assert "[bold]math[/]" in done.out


def test_the_comparison_as_json_is_one_object_with_every_figure(desk: Desk, runs: tuple[str, str]) -> None:
    figures = desk.run("compare", *runs, "--json").json
    one = figures["scorers"]["accuracy"]
    assert figures["matched"] == {"both": 40, "only_in_a": [], "only_in_b": ["q40"], "changed": []}
    assert one["overall"]["mcnemar"] == {"gained": 2, "lost": 4, "p": pytest.approx(0.6875)}
    assert one["overall"]["p"] == one["holm_p"] == pytest.approx(0.6875)
    assert one["overall"]["detectable"] > 0.1
    assert len(one["flips"]) == 6
    assert desk.run("compare", *runs, "--json").json == figures


def test_a_run_is_told_with_intervals_coverage_and_pass_rates(desk: Desk) -> None:
    scores: dict[str, Sequence[float | None]] = {f"q{n}": [1.0, float(n % 2), float(n < 5)] for n in range(10)}
    scores["q9"] = [1.0, None, 0.0]
    desk.write("run", scores, planned=11)
    done = desk.run("statistics", "run", "--group-by", "topic")
    assert (done.code, done.err) == (0, "")
    assert "10 samples in 3 epochs each, 33 planned" in done.words
    assert "(29 scored, 1 infrastructure failed, 3 missing)" in done.words
    # Nine samples of (1 + n % 2 + (n < 5)) / 3 and one of 1 / 2; of 33 planned 29 have a score, 19 of them 1.
    mean = (sum((1 + n % 2 + (n < 5)) / 3 for n in range(9)) + 0.5) / 10
    assert re.search(
        rf"accuracy +10 +{mean:.3f} +0\.\d{{3}} +\[0\.\d{{3}}, 0\.\d{{3}}\] +87\.9 % +0\.576-0\.697", done.out
    )
    assert re.search(r"k = 3 +1\.000 .* 0\.222 .* 9\n", done.out)
    assert "[bold]math[/]" in done.out
    assert desk.run("statistics", "run/results.jsonl", "--json").json["scorers"]["accuracy"]["coverage"] == {
        "planned": 33, "scored": 29, "if_wrong": pytest.approx(19 / 33), "if_right": pytest.approx(23 / 33),
        "share": pytest.approx(29 / 33),
    }  # fmt: skip


@pytest.mark.parametrize("width", [60, 50])
def test_in_a_narrow_terminal_whole_columns_are_left_out_and_no_figure_is_cut(
    desk: Desk, runs: tuple[str, str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for command in (("statistics", "b", "--group-by", "topic"), ("compare", *runs, "--group-by", "topic")):
        done = desk.run(*command)
        assert (done.code, done.err) == (0, "")
        assert max(map(len, done.out.splitlines())) <= width
        assert "…" not in done.out
        assert "Not shown, for want of room: " in done.out
    assert re.search(r"accuracy +(39 +)?0\.769 +0\.718 +-0\.051 +\[-0\.\d{3}, \+0\.\d{3}\] +0\.688", done.out)


@pytest.mark.parametrize(
    ("conditions", "code", "said"),
    [
        (["--min", "accuracy>=0.7"], 0, "pass accuracy >= 0.7 0.700"),
        (["--min", "accuracy=70%", "--max", "accuracy<=0.6"], 1, "FAIL accuracy <= 0.6 0.700"),
        (["--min", "accuracy>=0.8", "--judge-by", "significant"], 0, "pass accuracy >= 0.8"),
        (["--min", "accuracy>=0.7", "--judge-by", "proven"], 1, "FAIL accuracy >= 0.7"),
        (["--max-drop", "0.05", "--against", "a"], 1, "FAIL accuracy drop <= 0.05 0.051"),
        (["--max-drop", "accuracy=0.06", "--against", "a"], 0, "0.769 -> 0.718, 39 pairs"),
        (["--max-drop", "0.05", "--against", "a", "--judge-by", "significant"], 0, "Passed: 1 conditions"),
        (["--max-infrastructure-failures", "0"], 1, "FAIL infrastructure failures <= 0 1 1 of 41"),
        (["--max-infrastructure-failures", "3%"], 0, "pass infrastructure failures <= 0.03 0.024"),
        (["--min-coverage", "0.97"], 0, "pass coverage of accuracy >= 0.97 0.976 of 41 planned"),
        (["--min-coverage", "98%"], 1, "Failed: 1 of 1 conditions"),
    ],
)
def test_the_gates_exit_code_is_its_verdict_and_it_prints_what_was_held_against_what(
    desk: Desk, runs: tuple[str, str], conditions: list[str], code: int, said: str
) -> None:
    done = desk.run("gate", "b", *conditions)
    assert (done.code, done.err) == (code, "")
    assert said in done.words
    assert desk.run("gate", "b", *conditions, "--json").json["passed"] == (code == 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gate", "b"], "No condition is given"),
        # What is left where a shell took `>=0.8` for a redirection.
        (["gate", "b", "--min", "accuracy"], "Quote it for the shell"),
        (["gate", "b", "--min", "accuracy<=1"], "a scorer and its bound are wanted"),
        (["gate", "b", "--min", "accuracy>=much"], "'much' is no number"),
        (["gate", "b", "--min", "acuracy>=1"], "It has accuracy"),
        (["gate", "b", "--max-drop", "0.1"], "--against"),
        (["gate", "b", "--min", "accuracy=1", "--against", "a"], "--max-drop"),
        (["gate", "b", "--max-drop", "accuracy>=1", "--against", "a"], "--max-drop NAME=0.02"),
        (["gate", "b", "--max-infrastructure-failures", "1.5"], "a whole number"),
        (["gate", "b", "--min-coverage", "95"], "from 0 to 1"),
        (["gate", "b", "--judge-by", "luck", "--min-coverage", "1"], "luck"),
        (["compare", "a", "nowhere"], "nowhere/results.jsonl is not there"),
        (["compare", "a", "b", "--scorer", "f1"], "no scorer 'f1'"),
        (["compare", "a", "b", "--group-by", "tpoic"], "Group by one of: topic"),
        (["compare", "a", "b", "--reduce", "best"], "'best' is no way to reduce epochs"),
        (["compare", "a", "notes.txt"], "is no result"),
        (["compare", "a", "empty.jsonl"], "holds no results yet"),
        (["statistics", "-"], "standard output"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_what_to_do(
    desk: Desk, runs: tuple[str, str], arguments: list[str], said: str
) -> None:
    (desk.here / "notes.txt").write_text("some notes\n")
    (desk.here / "empty.jsonl").write_text("")
    done = desk.run(*arguments)
    assert (done.code, done.out) == (errors.USER_MISTAKE, "")
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_run_that_is_being_written_and_one_without_its_record_can_be_read(desk: Desk, runs: tuple[str, str]) -> None:
    results = desk.here / "b" / "results.jsonl"
    (desk.here / "b" / "run.json").unlink()
    with results.open("ab") as file:
        file.write(b'{"id":"q41","ep')
    done = desk.run("gate", "b", "--min-coverage", "0.9")
    assert done.code == 0
    assert "of 41 found; the plan is not there" in done.words


def test_answers_that_nothing_scored_have_no_figures_but_coverage(desk: Desk) -> None:
    desk.write("run", {"q0": [1.0]})
    line = encode(result("q0", 1, 1.0, "law").model_copy(update={"outcome": "completed", "scores": {}}))
    (desk.here / "run" / "results.jsonl").write_bytes(line)
    assert "Nothing scored these answers" in desk.run("statistics", "run").words
    assert "pass coverage of answers >= 1 1.000" in desk.run("gate", "run", "--min-coverage", "1").words
