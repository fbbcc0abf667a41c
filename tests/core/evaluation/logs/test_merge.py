"""Which of several results counts, and which logs are the shards of a task."""

import os
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.logs.closing import Ending
from agent_core.evaluation.logs.log import EvalLog
from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.merge import Coverage, Merge, MergeSource
from agent_core.evaluation.logs.sample import member
from agent_core.evaluation.logs.shards import ledger_entry, shards_of
from agent_core.evaluation.result import Result, Timings, decode, encode
from tests.core.evaluation.logs.world import ASKED, STARTED, record, result, start


def source(path: Path, *results: Result, samples: int = 2, epochs: int = 1) -> MergeSource:
    path.write_bytes(b"".join(map(encode, results)))
    return MergeSource(path.name, path, record=record(path.name, samples=samples, epochs=epochs))


def ending(at: float, **fields: Any) -> dict[str, Any]:
    return {"timings": Timings(queued=STARTED, started=STARTED, ended=STARTED + at), **fields}


def lost(sample_id: str, at: float) -> Result:
    return result(sample_id, **ending(at, outcome="infrastructure_failed", scores={}, answer=None))


def chosen(*sources: MergeSource, force: bool = False) -> list[Result]:
    with Merge(force=force) as merge:
        for each in sources:
            merge.add(each)
        return [decode(each.line) for each in merge.chosen()]


def test_each_sample_and_epoch_is_chosen_once_in_the_order_in_which_it_came(tmp_path: Path) -> None:
    one = source(tmp_path / "one", result("q1"), result("q1", 2), result("q2", 2), epochs=2)
    two = source(tmp_path / "two", result("q2", 2), result("q2"), result("q3"), epochs=2)
    assert [(each.id, each.epoch) for each in chosen(one, two)] == [
        ("q1", 1),
        ("q1", 2),
        ("q2", 2),
        ("q2", 1),
        ("q3", 1),
    ]
    assert (two.repeated, one.overruled, two.overruled) == (1, 0, 0)


@pytest.mark.parametrize("turned", [False, True])
def test_a_final_result_beats_one_that_is_not_though_it_is_earlier(tmp_path: Path, *, turned: bool) -> None:
    sources = [source(tmp_path / "one", result("q1", **ending(1))), source(tmp_path / "two", lost("q1", at=9))]
    (winner,) = chosen(*(reversed(sources) if turned else sources))
    assert winner.outcome == "scored"
    assert [each.overruled for each in sources] == [0, 1]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_final_results_the_later_one_counts(tmp_path: Path, *, turned: bool) -> None:
    early, late = result("q1", **ending(1), value=0.0), result("q1", **ending(2), value=1.0)
    sources = [source(tmp_path / "one", early), source(tmp_path / "two", late)]
    assert chosen(*(reversed(sources) if turned else sources)) == [late]


def test_conflicts_are_told_with_their_reason(tmp_path: Path) -> None:
    with Merge() as merge:
        merge.add(source(tmp_path / "one", lost("q1", at=9), result("q2", **ending(1))))
        merge.add(source(tmp_path / "two", result("q1", **ending(1)), result("q2", **ending(2))))
        assert (merge.conflicting, merge.conflicts) == (
            2,
            [
                {"id": "q1", "epoch": 1, "taken": "two", "left": "one", "because": "final"},
                {"id": "q2", "epoch": 1, "taken": "two", "left": "one", "because": "later"},
            ],
        )
        assert (merge.taken(0), merge.taken(1)) == (0, 2)


def test_what_is_missing_is_known_by_name_where_the_samples_are_known(tmp_path: Path) -> None:
    with Merge() as merge:
        merge.expect(iter(["q1", "q2", "q3"]))
        merge.add(source(tmp_path / "one", result("q1"), result("q2", 2), epochs=2))
        assert merge.coverage == Coverage(samples=3, epochs=2, present=2)
        assert list(merge.missing()) == [("q2", 1), ("q3", 1), ("q1", 2), ("q3", 2)]


def test_results_that_a_run_does_not_ask_for_any_more_are_not_merged(tmp_path: Path) -> None:
    one = source(tmp_path / "one", result("q1"), result("q1", 2), result("gone"), samples=1)
    one.record = record(samples=1, left_out=["gone"])
    assert [(each.id, each.epoch) for each in chosen(one)] == [("q1", 1)]


def test_the_record_says_how_many_samples_there_are_though_none_of_them_is_known(tmp_path: Path) -> None:
    with Merge() as merge:
        merge.add(source(tmp_path / "one", result("q1"), samples=5))
        assert merge.coverage.planned == 5


def test_another_configuration_is_refused_with_what_differs_unless_forced(tmp_path: Path) -> None:
    one, two = source(tmp_path / "one", result("q1")), source(tmp_path / "two", result("q2", configuration="f00d"))
    two.record = record(configuration={"session": {"model": "openai/gpt-5"}})
    with pytest.raises(ConfigError, match=r"(?s)one with c0ffee.*two with f00d.*model: .*gpt-5.*--force"):
        chosen(one, two)
    assert len(chosen(one, two, force=True)) == 2


def test_another_question_under_the_same_id_is_refused_unless_forced(tmp_path: Path) -> None:
    one = source(tmp_path / "one", result("q1"))
    two = source(tmp_path / "two", result("q1", 2, input="Another?"), epochs=2)
    with pytest.raises(ConfigError, match="Sample 'q1' is not the same in one and in two"):
        chosen(one, two)
    assert len(chosen(one, two, force=True)) == 2


def test_a_torn_last_line_is_left_out_and_a_line_that_is_no_result_is_refused(tmp_path: Path) -> None:
    one = source(tmp_path / "one", result("q1"))
    whole = one.results.read_bytes()
    one.results.write_bytes(whole + whole[: len(whole) // 2])
    assert len(chosen(one)) == 1
    one.results.write_bytes(whole + b"{}\n" + whole)
    with pytest.raises(ConfigError, match=f"at byte {len(whole)}, holds no result"):
        chosen(one)


def test_a_sample_is_copied_from_a_log_only_if_it_is_of_the_very_result(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with EvalLog(path, start()) as log:
        log.append(member(result("q1"), ASKED))
        log.append(member(result("q2", value=0.0), ASKED))
    rescored = source(tmp_path / "one", result("q1"), result("q2", value=1.0))
    with LogFile(path) as log, Merge() as merge:
        rescored.log = log
        merge.add(rescored)
        assert [each.logged is not None for each in merge.chosen()] == [True, False]


def test_the_newest_attempt_of_each_shard_counts(tmp_path: Path) -> None:
    directory = tmp_path / "book.shards"
    attempts = {
        "10": ["2026-01-01T00-00-00+00-00_book_a.eval"],
        "9": ["2026-01-02T00-00-00+00-00_book_b.eval", "2026-01-01T00-00-00+00-00_book_c.eval"],
        "extra": ["2026-01-01T00-00-00+00-00_book_d.eval", "2026-01-01T00-00-00+00-00_book_d-recovered.eval", "z.eval"],
        ".hidden": ["x.eval"],
        "empty": ["notes.txt"],
    }
    for shard, names in attempts.items():
        (directory / shard).mkdir(parents=True)
        for age, name in enumerate(names):
            (directory / shard / name).touch()
            os.utime(directory / shard / name, (age, age))
    assert [(shard.name, shard.log.name) for shard in shards_of(directory)] == [
        ("9", "2026-01-02T00-00-00+00-00_book_b.eval"),
        ("10", "2026-01-01T00-00-00+00-00_book_a.eval"),
        ("extra", "2026-01-01T00-00-00+00-00_book_d-recovered.eval"),
    ]


def test_the_ledger_says_what_a_shard_was_when_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with EvalLog(path, start()) as log:
        log.append(member(result("q1"), ASKED))
        log.finish(Ending(status="error", error="The disk was full."))
    with LogFile(path) as log:
        entry = ledger_entry("3", log, samples=1)
    assert (entry["shard"], entry["status"], entry["error"]["message"]) == ("3", "error", "The disk was full.")
    assert (entry["samples"], entry["selected"], entry["size"]) == (1, 0, path.stat().st_size)
