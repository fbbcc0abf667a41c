"""Resuming: whatever was left behind, each sample and epoch has one result afterwards and nothing final runs again."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.config import SessionConfig
from agent_core.errors import ConfigError, ErrorInfo
from agent_core.evaluation.configuration import Configuration, differences
from agent_core.evaluation.identity import session_id_of
from agent_core.evaluation.index import RunIndex
from agent_core.evaluation.result import FINAL, Result, SampleOutcome, Timings, decode, decode_head, encode
from agent_core.evaluation.resume import Line, mismatches, outstanding, sift
from agent_core.evaluation.sample import Assignment, Sample

OUTCOMES: tuple[SampleOutcome, ...] = (
    "completed", "model_failed", "infrastructure_failed", "limit_hit", "cancelled",
)  # fmt: skip


def sample(number: int) -> Sample:
    return Sample(id=f"q{number}", input=f"question {number}", target=number, line=number + 1)


def result(of: Sample, epoch: int = 1, outcome: SampleOutcome = "completed", configuration: str = "c0") -> Result:
    return Result(
        id=of.id,
        epoch=epoch,
        outcome=outcome,
        attempts=1,
        input=of.input,
        target=of.target,
        timings=Timings(queued=1.0, started=2.0, ended=3.0),
        configuration=configuration,
    )


def indexed(samples: Iterable[Sample]) -> RunIndex:
    index = RunIndex()
    for one in samples:
        assert index.add_sample(one) is None
    return index


def test_a_duplicate_id_is_told_with_the_line_that_has_it() -> None:
    with RunIndex() as index:
        assert index.add_sample(Sample(id="a", input="?", line=3)) is None
        assert index.add_sample(Sample(id="b", input="?", line=4)) is None
        assert index.add_sample(Sample(id="a", input="?", line=9)) == 3
        assert index.samples == 2


def test_a_result_is_read_as_it_was_written() -> None:
    whole = result(sample(1)).model_copy(
        update={
            "metadata": {"nothing": None},
            "error": ErrorInfo(boundary="provider", kind="timeout", message="slow"),
        }
    )
    assert decode(encode(whole)) == whole
    assert encode(whole).count(b"\n") == 1
    assert decode_head(encode(whole)).sample_digest == sample(1).digest


def test_half_a_character_in_an_answer_does_not_cost_the_result() -> None:
    broken = result(sample(1)).model_copy(update={"answer": "cut \ud83d"})
    assert decode(encode(broken)).answer == "cut ?"


lines = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3), st.sampled_from(OUTCOMES)), max_size=40)


@given(lines, st.integers(0, 5), st.integers(1, 3), st.integers(0, 200))
def test_after_a_resume_every_sample_and_epoch_has_exactly_one_result(
    past: list[tuple[int, int, SampleOutcome]], samples: int, epochs: int, cut: int
) -> None:
    asked = [sample(number) for number in range(samples)]
    written = [encode(result(sample(number), epoch, outcome)) for number, epoch, outcome in past]
    if written and cut:
        written[-1] = written[-1][: -min(cut, len(written[-1]) - 1)]
    with indexed(asked) as index:
        sifted = list(sift(written, index, epochs=epochs, name="results.jsonl"))
        assert [line.raw for line in sifted] == written
        standing = [line.head for line in sifted if line.fate == "kept" and line.head]
        again = list(outstanding(asked, index, epochs=epochs))
        covered = [(head.id, head.epoch) for head in standing] + [(one.sample.id, one.epoch) for one in again]
        assert sorted(covered) == sorted((one.id, epoch) for one in asked for epoch in range(1, epochs + 1))
        assert all(head.outcome in FINAL for head in standing)
        assert all(one.attempt >= 1 for one in again)


def test_a_sample_that_is_run_again_counts_on_from_its_attempts() -> None:
    asked = [sample(0), sample(1)]
    failed = result(asked[0], outcome="infrastructure_failed").model_copy(update={"attempts": 3})
    with indexed(asked) as index:
        (line,) = sift([encode(failed)], index, epochs=1, name="r")
        assert line.fate == "dropped"
        assert list(outstanding(asked, index, epochs=1)) == [Assignment(asked[0], 1, 4), Assignment(asked[1], 1, 1)]


def test_the_line_that_a_kill_left_torn_is_known_and_its_sample_run_again() -> None:
    asked = [sample(0), sample(1)]
    whole, torn = encode(result(asked[0])), encode(result(asked[1]))[:-20]
    with indexed(asked) as index:
        sifted = list(sift([whole, torn], index, epochs=1, name="r"))
        assert [line.fate for line in sifted] == ["kept", "torn"]
        assert sifted[1] == Line(torn, "torn")
        assert [one.sample.id for one in outstanding(asked, index, epochs=1)] == ["q1"]


@pytest.mark.parametrize("torn_at", [1, 5, 7, 8])
def test_a_line_torn_in_its_first_bytes_is_known_too(torn_at: int) -> None:
    with indexed([sample(0)]) as index:
        (line,) = sift([encode(result(sample(0)))[:torn_at]], index, epochs=1, name="r")
        assert line.fate == "torn"


@pytest.mark.parametrize("foreign", [b"# my notes", b"id,input\n", b'{"id": "q0"}\n', b"\n"])
def test_a_file_of_another_kind_is_refused_and_not_taken_for_a_torn_line(foreign: bytes) -> None:
    with indexed([sample(0)]) as index, pytest.raises(ConfigError, match=r"notes\.txt line 2 .*--overwrite"):
        list(sift([encode(result(sample(0))), foreign], index, epochs=1, name="notes.txt"))


def test_results_of_samples_that_are_not_asked_for_stand_and_do_not_count() -> None:
    with indexed([sample(0)]) as index:
        others = [encode(result(sample(9))), encode(result(sample(0), epoch=2))]
        assert [line.fate for line in sift(others, index, epochs=1, name="r")] == ["foreign", "foreign"]
        assert len(list(outstanding([sample(0)], index, epochs=1))) == 1


def test_a_changed_sample_and_a_changed_configuration_are_told() -> None:
    asked = [sample(0), sample(1), sample(2)]
    with indexed(asked) as index:
        past = [encode(result(asked[0])), encode(result(asked[1])), encode(result(asked[2], configuration="c1"))]
        list(sift(past, index, epochs=1, name="r"))
        now = [asked[0], asked[1].model_copy(update={"input": "mended"}), asked[2]]
        found = [(one.sample_id, one.what) for one in mismatches(now, index, epochs=1, configuration="c0")]
        assert found == [("q1", "sample"), ("q2", "configuration")]


def test_the_digest_of_a_configuration_changes_with_what_changes_an_answer_and_with_nothing_else() -> None:
    plain = Configuration(session=SessionConfig(model="openai/gpt-5"))
    same = Configuration(
        session=SessionConfig(model="openai/gpt-5", api_key="env:OTHER", streaming=False, request_class="batch")
    )
    longer = Configuration(session=SessionConfig(model="openai/gpt-5", max_tokens=99), task={"limits": {"time": 5.0}})
    assert plain.digest == same.digest
    assert plain.digest != longer.digest
    assert differences(plain.basis, longer.basis) == ["limits.time: not set -> 5.0", "max_tokens: not set -> 99"]


def test_every_way_to_compact_is_another_configuration_that_says_its_kind() -> None:
    ways: list[dict[str, object] | None] = [
        None,
        {"kind": "threshold"},
        {"kind": "threshold", "keep_recent_turns": 5},
        {"kind": "llm"},
        {"kind": "llm", "keep_recent_turns": 5},
        {"kind": "llm", "model": "openai/gpt-5"},
    ]
    made = [Configuration(session=SessionConfig.of(model="local/fake", compaction=way)) for way in ways]
    assert len({one.digest for one in made}) == len(ways)
    usual = Configuration(session=SessionConfig(model="local/fake"))
    assert made[3].digest == usual.digest, "to say what holds anyway changes nothing"
    assert differences(usual.basis, made[0].basis) == ['compaction.kind: not set -> "none"']
    assert differences(usual.basis, made[1].basis) == ['compaction.kind: not set -> "threshold"']
    assert differences(made[2].basis, made[4].basis) == ['compaction.kind: "threshold" -> "llm"']
    keyed = SessionConfig.of(model="local/fake", compaction={"model": "openai/gpt-5", "api_key": "env:OTHER"})
    assert Configuration(session=keyed).digest == made[5].digest


def test_an_attempt_has_the_same_session_whenever_it_is_made_and_no_other_attempt_has_it() -> None:
    one = Assignment(sample(0), 1)
    strange = Assignment(Sample(id="a/b c\n" * 50, input="x"), 1)
    assert session_id_of("run", "c0", one, 1) == session_id_of("run", "c0", one, 1)
    ids = {
        session_id_of("run", "c0", one, 1),
        session_id_of("run", "c0", one, 2),
        session_id_of("run", "c0", Assignment(sample(0), 2), 1),
        session_id_of("run", "c1", one, 1),
        session_id_of("run2", "c0", one, 1),
        session_id_of("run", "c0", strange, 1),
    }
    assert len(ids) == 6
    assert len(session_id_of("run", "c0", strange, 1)) < 100
