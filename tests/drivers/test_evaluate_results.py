"""The results file and what is shown of a run: whole lines only, one writer, and figures that fit 80 columns."""

import errno
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from actors.settings import actors_for
from agent_core.errors import ConfigError
from agent_core.evaluation.configuration import RunRecord
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.result import ResultHead, SampleOutcome, Timings
from agent_core.evaluation.results_file import Places, ResultsFile
from agent_core.evaluation.resume import sift
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.standing import OpenSample, RunStatus
from agent_core.evaluation.summary import Tally
from agent_core.messages import Usage
from drivers.evaluate import resume_command
from drivers.evaluating.ending import show, standing
from drivers.evaluating.options import RunOptions
from drivers.evaluating.progress import Meter, bar_of, line_of
from drivers.evaluating.running import packing
from drivers.evaluating.showing import count, dollars, duration, failure_line, rate, rows_of

RECORD = RunRecord(
    run_id="r", created_at=1.0, dataset="q.jsonl", samples=6, epochs=1, digest="c", configuration={"session": {}}
)


def head(number: int, outcome: SampleOutcome = "completed", **fields: object) -> ResultHead:
    values = {"input": "x", "timings": Timings(queued=0, started=0, ended=1), "configuration": "c", "attempts": 1}
    return ResultHead.model_validate({"id": f"q{number}", "epoch": 1, "outcome": outcome, **values, **fields})


def line(number: int, outcome: SampleOutcome = "completed") -> bytes:
    return head(number, outcome).model_dump_json(exclude_none=True).encode() + b"\n"


def resumed(path: Path, samples: int = 6) -> None:
    """Open the file as a resumed run does, begin, and close it."""
    with RunIndex() as index, ResultsFile(Places.of(str(path)), "resume") as file:
        for number in range(samples):
            index.add_sample(Sample(id=f"q{number}", input="?", line=number + 1))
        for _ in file.survey(sift(file.lines(), index, epochs=1, name=path.name)):
            pass
        file.begin(RECORD)


def test_an_out_with_an_ending_is_a_file_and_any_other_a_directory(tmp_path: Path) -> None:
    assert Places.of(f"{tmp_path}/new").results == tmp_path / "new" / "results.jsonl"
    assert Places.of(f"{tmp_path}/a.b/").results == tmp_path / "a.b" / "results.jsonl"
    assert Places.of(str(tmp_path)).record == tmp_path / "run.json"
    assert Places.of(f"{tmp_path}/mine.jsonl") == Places(tmp_path / "mine.jsonl", tmp_path / "mine.run.json")


def test_results_that_are_there_are_refused_with_both_ways_on(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(line(0))
    with pytest.raises(ConfigError, match=r"results\.jsonl is there already.*--resume.*--overwrite"):
        ResultsFile(Places.of(str(tmp_path)), "new")
    assert (tmp_path / "results.jsonl").read_bytes() == line(0)


def test_an_empty_file_is_nothing_to_be_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").touch()
    with ResultsFile(Places.of(str(tmp_path)), "new") as file:
        file.begin(RECORD)
        file.write(line(0))
    assert (tmp_path / "results.jsonl").read_bytes() == line(0)


def test_nothing_is_overwritten_before_the_run_begins(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(0))
    with ResultsFile(Places.of(str(path)), "overwrite"):
        pass
    assert path.read_bytes() == line(0)
    with ResultsFile(Places.of(str(path)), "overwrite") as file:
        file.begin(RECORD)
    assert path.read_bytes() == b""


def test_what_was_made_for_a_run_that_never_began_is_taken_away(tmp_path: Path) -> None:
    with ResultsFile(Places.of(str(tmp_path / "deep")), "new"):
        assert (tmp_path / "deep" / "results.jsonl").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    places = Places.of(str(tmp_path / "r.jsonl"))
    with ResultsFile(places, "new") as file:
        file.begin(RECORD)
        file.write(line(0))
        with pytest.raises(ConfigError, match="being written by another run"):
            ResultsFile(places, "resume")
    with ResultsFile(places, "resume"):
        pass


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(0) + line(1)[:-9])
    resumed(path)
    assert path.read_bytes() == line(0)


def test_a_last_line_that_only_lacks_its_end_is_given_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(0) + line(1)[:-1])
    resumed(path)
    assert path.read_bytes() == line(0) + line(1)


def test_lines_to_be_run_again_are_taken_out_and_every_other_byte_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    kept = [line(0), b" " + line(2), line(9), line(4, "model_failed")]
    path.write_bytes(
        kept[0] + line(1, "cancelled") + kept[1] + kept[2] + line(3, "infrastructure_failed") + kept[3] + line(5)[:20]
    )
    resumed(path)
    assert path.read_bytes() == b"".join(kept)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.jsonl", "r.run.json"]


def test_a_resume_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    before = line(1, "cancelled") + line(0) + b"not a result\n"
    path.write_bytes(before)
    with pytest.raises(ConfigError, match=r"r\.jsonl line 3 is no result"):
        resumed(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.jsonl"]


def test_after_lines_were_taken_out_the_file_still_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(1, "cancelled") + line(0))
    places = Places.of(str(path))
    with RunIndex() as index, ResultsFile(places, "resume") as file:
        index.add_sample(Sample(id="q1", input="?", line=1))
        for _ in file.survey(sift(file.lines(), index, epochs=1, name="r")):
            pass
        file.begin(RECORD)
        with pytest.raises(ConfigError, match="another run"):
            ResultsFile(places, "resume")
        file.write(line(1))
    assert path.read_bytes() == line(0) + line(1)


def test_a_line_that_does_not_fit_is_not_there_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.jsonl"
    real = os.write
    with ResultsFile(Places.of(str(path)), "new") as file:
        file.begin(RECORD)
        file.write(line(0))
        answers: Iterator[int] = iter([7])

        def full(descriptor: int, data: bytes) -> int:
            for fits in answers:
                return real(descriptor, data[:fits])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left") as caught:
            file.write(line(1))
        monkeypatch.undo()
        assert caught.value.filename == str(path)
        file.write(line(2))
    assert path.read_bytes() == line(0) + line(2)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_directory_that_may_not_be_written_is_the_users_to_change(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=r"Permission denied.*--out"):
        ResultsFile(Places.of(str(tmp_path)), "new")


def test_an_out_below_a_file_is_the_users_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written.*--out"):
        ResultsFile(Places.of(f"{tmp_path}/file/x.jsonl"), "new")


def test_a_file_being_written_can_be_asked_how_far_it_is(tmp_path: Path) -> None:
    places = Places.of(str(tmp_path))
    places.results.write_bytes(line(0) + line(1, "limit_hit") + line(2)[:30])
    places.record.write_text(RECORD.model_dump_json())
    summary = standing(places)
    assert (summary.planned, summary.outcomes["completed"], summary.outcomes["missing"]) == (6, 1, 4)


def filled() -> Tally:
    tally = Tally(1000)
    for number in range(700):
        tally.add(head(number, usage=Usage(input_tokens=12_345, output_tokens=678), cost=0.0123))
    for number, kind in enumerate(("rate_limit", "timeout", "bad_request"), start=700):
        error = {"boundary": "provider", "kind": kind, "message": "a long story " * 30}
        tally.add(head(number, "infrastructure_failed", error=error, attempts=3))
    tally.add(head(800, "limit_hit", limit="max_tokens"))
    tally.add(head(801, "cancelled"))
    return tally


def test_the_summary_fits_80_columns_and_names_what_failed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    show(filled().summary(), Places.of(f"{tmp_path}/r"), as_json=False)
    out = capsys.readouterr().out
    table = [text for text in out.splitlines() if "results:" not in text]
    assert max(len(text) for text in table) <= 80
    assert "700 of 1,000" in out
    for said in ("infrastructure failed", "limit hit", "missing", "q700: infrastructure failed, rate_limit: a long"):
        assert said in out


def test_what_summaries_took_stands_in_the_summary_only_where_there_were_any() -> None:
    summary = filled().summary()
    assert "for summaries" not in dict(rows_of(summary))
    spent = summary.model_copy(update={"summariser": Usage(input_tokens=12_345, output_tokens=678)})
    assert dict(rows_of(spent))["for summaries"] == "12.3k in, 678 out"


def test_the_summary_is_one_json_object_where_that_is_wanted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show(filled().summary(), Places.of(f"{tmp_path}/r"), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["planned"], shown["outcomes"]["completed"], shown["outcomes"]["missing"]) == (1000, 700, 295)
    assert shown["failures"][0]["id"] == "q700"


def test_the_bar_and_the_line_say_how_far_how_fast_and_how_long() -> None:
    now = [100.0]
    tally = filled()
    meter = Meter(lambda: now[0])
    meter.status = RunStatus(run_id="r", state="running", summary=tally.summary(), open=16)
    meter.read()
    for number in range(900, 920):
        tally.add(head(number))
    now[0] = 110.0
    slow = (
        OpenSample(id="q950", epoch=1, seconds=42.0, worker="w"),
        OpenSample(id="q951", epoch=1, seconds=1.0, worker="w"),
    )
    meter.status = RunStatus(
        run_id="r", state="running", summary=tally.summary(), open=16, rate_limited=3, slowest=slow
    )
    moment = meter.read()
    assert moment is not None
    assert (moment.done, moment.per_second, moment.left) == (725, 2.0, 137.5)
    for width in (80, 60, 50):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, record=True)
        console.print(bar_of(moment))
        text = console.export_text()
        assert all(len(row) <= width for row in text.splitlines())
        assert len(text.splitlines()) <= 5
        assert "slowest: q950 42 s" in text
        assert "q951" not in text
        for said in ("725/1,000", "72 %", "2/s", "2 min 18 s left", "3 infrastructure failed", "16 open", "3 × 429"):
            assert said in text, "no figure is cut, or parted from what it is of"
            assert said in line_of(moment) or said == "72 %"


def test_what_a_run_waits_for_is_said_on_the_bar_and_on_the_line() -> None:
    meter = Meter(lambda: 1.0)
    meter.status = RunStatus(run_id="r", state="running", summary=Tally(5).summary(), waits_for="no room")
    moment = meter.read()
    assert moment is not None
    console = Console(file=io.StringIO(), width=80, force_terminal=True, record=True)
    console.print(bar_of(moment))
    assert "waits: no room" in console.export_text()
    assert line_of(moment).endswith("waits: no room")


def test_nothing_is_said_of_a_rate_that_is_not_known() -> None:
    meter = Meter(lambda: 1.0)
    assert meter.read() is None
    meter.status = RunStatus(run_id="r", state="running", summary=Tally(5).summary())
    moment = meter.read()
    assert moment is not None
    assert (moment.per_second, moment.left) == (None, None)
    assert "left" not in line_of(moment)


@pytest.mark.parametrize(
    ("write", "figure", "wanted"),
    [
        (count, 0, "0"),
        (count, 9999, "9,999"),
        (count, 12_345, "12.3k"),
        (count, 123_456, "123k"),
        (count, 999_900, "1.0M"),
        (duration, 0.1234, "0.12 s"),
        (duration, 9.97, "10 s"),
        (duration, 61, "1 min 1 s"),
        (duration, 7300, "2 h 1 min"),
        (duration, None, "-"),
        (dollars, 0.00123, "$0.0012"),
        (dollars, 1234.5, "$1,234.50"),
        (dollars, None, "-"),
        (rate, 3.456, "3.46/s"),
        (rate, 0.1, "6/min"),
        (rate, None, "-"),
    ],
)
def test_figures_are_written_for_people(write: Callable[[float | None], str], figure: float, wanted: str) -> None:
    assert write(figure) == wanted


def test_what_is_not_known_is_a_dash() -> None:
    rows = dict(rows_of(Tally(3).summary()))
    assert (rows["cost"], rows["latency"]) == ("-", "p50 -, p95 -")


def test_a_failure_is_one_line_whatever_its_message() -> None:
    failed = head(1, "model_failed", error={"boundary": "provider", "kind": "bad_request", "message": "a\nb\n  c"})
    tally = Tally(1)
    tally.add(failed)
    assert failure_line(tally.summary().failures[0]) == "q1: model failed, bad_request: a b c"


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        (["run", "q.jsonl", "--out", "o", "--overwrite"], "resume runs/q-1"),
        (["run", "-", "--out", "o", "--overwrite"], "run - --out o --resume"),
        (["run", "-", "-s", "be brief", "-oX"], "run - -s 'be brief' -oX --resume"),
        (["run", "-", "--resume", "--out=o"], "run - --out=o --resume"),
        (["run", "-"], "run - --out runs/q-1/ --resume"),
    ],
)
def test_the_command_to_go_on_needs_only_the_place_unless_samples_were_piped_in(given: list[str], ends: str) -> None:
    assert resume_command(given, "runs/q-1/") == f"python -m drivers.evaluate {ends}"


def test_sessions_are_packed_on_few_actors_that_hold_them_all() -> None:
    assert packing(RunOptions(concurrency=16)) == 16
    assert packing(RunOptions(concurrency=1)) == 2
    assert packing(RunOptions(concurrency=64, sessions_per_actor=16)) == 16
    assert [actors_for(at_once, at_once, cpus=2) for at_once in (16, 100, 101, 1_000)] == [1, 1, 2, 2]
    assert actors_for(1_000, 1_000, cpus=64) == 10
    assert actors_for(64, 16, cpus=1) == 4
    with pytest.raises(ConfigError, match=re.escape("--actors 2 with --sessions-per-actor 4 hold 8")):
        packing(RunOptions(concurrency=16, actors=2, sessions_per_actor=4))
