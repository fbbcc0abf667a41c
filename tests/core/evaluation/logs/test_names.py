"""What samples are called in a log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.evaluation.logs.names import LONGEST, journal_number, log_id, member_name

HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../b",
    "a//b",
    ".",
    "..",
    "",
    "a\\b",
    "new\nline",
    "nul\0byte",
    "x" * 5_000,
    "é" * 200,
    "half \ud800 a pair",
    "PK\x03\x04",
]


@pytest.mark.parametrize("ordinary", ["q1", "17", "math/7", "a:b", "what? (2)", "naïve – 鯨", "a_epoch_2", "..."])
def test_an_ordinary_id_stays_as_it_is(ordinary: str) -> None:
    assert log_id(ordinary) == ordinary


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_id_becomes_part_of_one_plain_name(hostile: str) -> None:
    name = log_id(hostile)
    assert name != hostile
    assert not {"/", "\\", "\0", "\n"} & set(name)
    assert name not in {"", ".", ".."}
    assert len(member_name(name, 1).encode()) <= LONGEST


@given(st.text(), st.text(), st.integers(1, 30), st.integers(1, 30))
def test_no_two_samples_share_a_name(one: str, other: str, epoch: int, other_epoch: int) -> None:
    same = (one, epoch) == (other, other_epoch)
    assert (member_name(log_id(one), epoch) == member_name(log_id(other), other_epoch)) is same


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_id_that_is_what_another_one_became_is_changed_too(hostile: str) -> None:
    assert log_id(log_id(hostile)) != log_id(hostile)


def test_only_batches_of_summaries_have_numbers() -> None:
    names = ["_journal/summaries/12.json", "_journal/summaries/0.json", "_journal/start.json", "samples/1_epoch_1.json"]
    assert [journal_number(name) for name in names] == [12, None, None, None]
