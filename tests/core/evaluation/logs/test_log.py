"""Logs as they are written: what is in them, however often their writer was lost."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.logs.closing import Ending
from agent_core.evaluation.logs.log import EvalLog
from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.sample import member
from agent_core.evaluation.score import Score
from tests.core.evaluation.logs.world import ASKED, result, start


def members(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: json.loads(file.read(name)) for name in file.namelist()}


def write(path: Path, *values: float | None, epochs: int = 1, ending: Ending | None = None) -> dict[str, Any]:
    """A finished log with these scores, the epochs of each sample one after another; returns its members."""
    with EvalLog(path, start(samples=len(values) // epochs, epochs=epochs)) as log:
        for number, value in enumerate(values):
            log.append(member(result(f"q{number // epochs}", number % epochs + 1, value=value), ASKED))
        log.finish(ending or Ending())
    return members(path)


def test_a_log_has_the_members_that_readers_look_for(tmp_path: Path) -> None:
    assert set(write(tmp_path / "log", 1.0, 0.0)) == {
        "_journal/start.json",
        "_journal/summaries/1.json",
        "_journal/summaries/2.json",
        "samples/q0_epoch_1.json",
        "samples/q1_epoch_1.json",
        "summaries.json",
        "header.json",
    }


def test_figures_are_means_over_samples_with_their_error(tmp_path: Path) -> None:
    (score,) = write(tmp_path / "log", 1.0, 0.0, 1.0, 1.0)["header.json"]["results"]["scores"]
    figures = {name: metric["value"] for name, metric in score["metrics"].items()}
    assert figures == pytest.approx({"mean": 0.75, "stderr": 0.25})


def test_epochs_of_a_sample_become_one_value(tmp_path: Path) -> None:
    written = write(tmp_path / "log", 1.0, 0.0, 1.0, None, None, None, epochs=2)
    (reduced,) = written["reductions.json"]
    assert [(each["sample_id"], each["value"]) for each in reduced["samples"][:2]] == [("q0", 0.5), ("q1", 1.0)]
    (score,) = written["header.json"]["results"]["scores"]
    assert score["metrics"]["mean"]["value"] == 0.75
    assert (score["scored_samples"], score["unscored_samples"], score["reducer"]) == (2, 1, "mean")


def test_figures_that_are_given_are_told_in_place_of_ours(tmp_path: Path) -> None:
    ending = Ending(metrics={"includes": {"accuracy": 0.9}}, status="cancelled", error="The budget was spent.")
    header = write(tmp_path / "log", 1.0, ending=ending)["header.json"]
    (score,) = header["results"]["scores"]
    assert score["metrics"] == {"accuracy": {"name": "accuracy", "value": 0.9}}
    assert (header["status"], header["error"]["message"]) == ("cancelled", "The budget was spent.")


def test_usage_is_added_up_over_samples(tmp_path: Path) -> None:
    (usage,) = write(tmp_path / "log", 1.0, 0.0, 0.0)["header.json"]["stats"]["model_usage"].values()
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_cost"]) == (60, 18, 0.75)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are shown only when a test says so."""
    monkeypatch.setattr("agent_core.evaluation.logs.log.SMALLEST_BATCH", 1_000)


@pytest.mark.usefixtures("late")
def test_what_was_added_and_not_shown_is_there_when_the_log_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = EvalLog(path, start(samples=3))
    log.append(member(result("q1"), ASKED))
    log.flush()
    log.append(member(result("q2"), ASKED))
    assert set(members(path)) == {"_journal/start.json", "samples/q1_epoch_1.json", "_journal/summaries/1.json"}
    log.close()
    with EvalLog(path, start(samples=3)) as log:
        assert [("q1", 1) in log, ("q2", 1) in log, ("q3", 1) in log] == [True, True, False]
        log.append(member(result("q3"), ASKED))
        log.finish(Ending())
    written = members(path)
    assert [each["id"] for each in written["summaries.json"]] == ["q1", "q2", "q3"]
    direct = json.loads(member(result("q2"), ASKED).summary)
    assert written["summaries.json"][1] == direct


@pytest.mark.usefixtures("late")
def test_a_sample_that_is_written_again_counts_once_and_as_it_was_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with EvalLog(path, start()) as log:
        log.append(member(result("q1", value=0.0), ASKED))
        log.append(member(result("q2", value=0.0), ASKED))
        log.append(member(result("q2", value=1.0), ASKED))
        log.flush()
        log.append(member(result("q1", value=1.0), ASKED))
        log.finish(Ending())
    written = members(path)
    assert [each["scores"]["includes"]["value"] for each in written["summaries.json"]] == [1.0, 1.0]
    assert written["samples/q1_epoch_1.json"]["scores"]["includes"]["value"] == 1.0
    assert written["header.json"]["stats"]["model_usage"]["anthropic/claude-sonnet-5"]["input_tokens"] == 40


def test_early_samples_are_shown_at_once_and_later_ones_in_batches_that_grow_with_their_number(tmp_path: Path) -> None:
    path, shown = tmp_path / "log", list[int]()
    with EvalLog(path, start(samples=200)) as log:
        for number in range(200):
            log.append(member(result(f"q{number}"), ASKED))
            with zipfile.ZipFile(path) as file:
                shown.append(sum(name.startswith("samples/") for name in file.namelist()))
    assert shown[:20] == list(range(1, 21))
    assert all(number + 1 - seen <= seen / 10 for number, seen in enumerate(shown))
    assert len(set(shown)) < 80


def test_a_finished_log_that_is_added_to_is_finished_no_more(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with EvalLog(path, start()) as log:
        log.append(member(result("q1"), ASKED))
        log.finish(Ending())
        log.append(member(result("q2"), ASKED))
        assert "header.json" not in members(path)
        log.discard("q1", 1)
        log.finish(Ending())
    assert [each["id"] for each in members(path)["summaries.json"]] == ["q2"]


def test_a_finished_log_that_is_gone_on_with_is_under_way_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1.0)
    with EvalLog(path, start(samples=2)) as log:
        log.append(member(result("q1", value=0.0), ASKED))
    assert not {"header.json", "summaries.json"} & set(members(path))
    with EvalLog(path, start(samples=2)) as log:
        log.finish(Ending())
    assert members(path)["header.json"]["results"]["total_samples"] == 2


def test_batches_of_summaries_are_written_before_they_grow_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_core.evaluation.logs.log.SMALLEST_BATCH", 1_000)
    monkeypatch.setattr("agent_core.evaluation.logs.log.LARGEST_BATCH", 1_500)
    written = write(tmp_path / "log", *[1.0] * 7)
    batches = [each for name, each in written.items() if name.startswith("_journal/summaries/")]
    assert len(batches) > 2
    assert [each["id"] for batch in batches for each in batch] == [f"q{number}" for number in range(7)]
    assert len(written["summaries.json"]) == 7


def test_samples_of_hostile_ids_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    hostile = ["a/../b", "a-..-b", "../b", "x" * 9_000, "x" * 9_001, "PK\x03\x04", "half \ud800", "half ?", "", "鯨/1"]
    with EvalLog(path, start(samples=len(hostile))) as log:
        for sample_id in hostile:
            log.append(member(result("q").model_copy(update={"id": sample_id}), ASKED))
        log.finish(Ending())
        assert all((sample_id, 1) in log for sample_id in hostile)
    names = [name for name in members(path) if name.startswith("samples/")]
    assert len(names) == len(hostile)
    assert not [name for name in names if ".." in name.split("/")]


def test_no_score_and_scores_that_are_no_numbers_are_no_figures(tmp_path: Path) -> None:
    path = tmp_path / "log"
    failed = Score(value=None)
    with EvalLog(path, start()) as log:
        log.append(member(result("q1", outcome="unscored", scores={"judge": failed}), ASKED))
        log.append(member(result("q2", outcome="completed", scores={}), ASKED))
        log.finish(Ending())
    (score,) = members(path)["header.json"]["results"]["scores"]
    assert (score["metrics"], score["scored_samples"], score["unscored_samples"]) == ({}, 0, 1)


def test_a_log_is_read_though_its_directory_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1.0, 0.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"summaries.json", whole.index(b"header.json") - 900)])
    with LogFile(path) as log:
        assert log.status == "started"
        assert [sample.entry.name for sample in log.samples()] == ["samples/q0_epoch_1.json", "samples/q1_epoch_1.json"]
        assert [json.loads(log.summary(sample))["id"] for sample in log.samples()] == ["q0", "q1"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nothing of the kind", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_log_is_refused_to_readers(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no log that can be read"):
        LogFile(path)


def test_a_spoilt_member_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 1.0)
    spoilt = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        at = file.getinfo("samples/q0_epoch_1.json").header_offset
    spoilt[at + 200] ^= 0xFF
    path.write_bytes(spoilt)
    with LogFile(path) as log, pytest.raises(ConfigError, match=r"samples/q0_epoch_1\.json"):
        log.content(next(log.samples()))
