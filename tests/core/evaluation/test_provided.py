"""Samples that a program provides, and which of them are selected."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.provided import Provided
from agent_core.evaluation.rows import FieldNames
from agent_core.evaluation.sample import Sample
from agent_core.evaluation.selection import Selection
from agent_core.seeding import regular
from tests.core.said_before import BEFORE


def provided(items: Any, **fields: Any) -> Provided:
    return Provided(items, "task 'sums'", FieldNames(**fields))


def test_dictionaries_and_samples_mix_and_are_called_after_their_place() -> None:
    source = provided([{"question": "1+1?", "level": 1}, Sample(id="two", input="2+2?")], input="question")
    assert list(source.samples()) == [
        Sample(id="sample-1", input="1+1?", metadata={"level": 1}, line=1),
        Sample(id="two", input="2+2?", line=2),
    ]


def test_the_history_of_a_sample_is_one_that_a_session_can_begin_with() -> None:
    (sample,) = provided([Sample(id="one", input="And now?", history=BEFORE)]).samples()
    assert sample.history == regular(BEFORE)
    with pytest.raises(ConfigError, match="task 'sums' sample 1 has a 'history' that is no conversation: message 1 is"):
        list(provided([Sample(id="one", input="And now?", history=BEFORE[1:])]).samples())


def test_what_can_be_gone_through_once_is_read_again_all_the_same() -> None:
    made: list[int] = []

    def once() -> Iterator[dict[str, Any]]:
        for number in range(4):
            made.append(number)
            yield {"id": str(number), "input": f"{number}?"}

    source = provided(once())
    first = source.samples()
    assert next(first).id == "0"
    assert made == [0]
    assert [sample.id for sample in source.samples()] == ["0", "1", "2", "3"]
    assert [sample.id for sample in source.samples()] == ["0", "1", "2", "3"]
    assert made == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="another reader"):
        next(first)


def test_a_function_is_called_for_every_reading() -> None:
    calls: list[int] = []

    def make() -> list[dict[str, Any]]:
        calls.append(1)
        return [{"input": "a"}]

    source = provided(make)
    assert [len(list(source.samples())) for _ in range(2)] == [1, 1]
    assert len(calls) == 2


async def stream() -> Any:
    yield {"input": "a"}


@pytest.mark.parametrize("items", ["questions", {"input": "a"}, 7, stream, stream()], ids=list("abcde"))
def test_what_is_no_source_of_samples_is_refused(items: Any) -> None:
    with pytest.raises(ConfigError, match="task 'sums': samples come from an iterable"):
        list(provided(items).samples())


def failing() -> Iterator[dict[str, Any]]:
    yield {"input": "a"}
    raise RuntimeError("the service is down")


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"input": "a"}, "b"], "task 'sums' sample 2 is text where a Sample or a dictionary is wanted"),
        ([{"input": "a"}, {"inputs": "b"}], "sample 2 has no field 'input' or 'prompt' (it has: inputs)"),
        ([{"input": "a", "tags": {1, 2}}], "sample 1 holds set, which JSON cannot hold"),
        ([{"input": "\ud800"}], "sample 1 holds half of a surrogate pair"),
        ([Sample(id="a", input=" ")], "sample 1 has an empty 'input'"),
        (failing(), "sample 2 cannot be made.\n"),
        (failing(), 'raise RuntimeError("the service is down")\n  RuntimeError: the service is down'),
    ],
)
def test_a_sample_that_cannot_be_is_refused_with_its_place(items: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(provided(items).samples())
    assert said in str(caught.value)


def numbered(count: int) -> Iterator[Sample]:
    return (Sample.model_construct(id=f"s{number}", input=f"{number}?", line=number + 1) for number in range(count))


def ids(count: int = 100, **chosen: Any) -> list[str]:
    return [sample.id for sample in Selection(**chosen).of(lambda: numbered(count))]


def test_a_range_counts_from_zero_and_leaves_its_end_out() -> None:
    assert ids(start=10, stop=13) == ["s10", "s11", "s12"]
    assert ids(start=98) == ["s98", "s99"]


def test_ids_are_selected_in_the_order_of_the_dataset_and_have_to_be_there() -> None:
    assert ids(ids=frozenset({"s7", "s3"})) == ["s3", "s7"]
    with pytest.raises(ConfigError, match="--ids: the samples have none with the id 'nine'"):
        ids(ids=frozenset({"s7", "nine"}))


def test_the_same_seed_gives_the_same_order_whatever_the_dataset_was_sorted_by() -> None:
    shuffled = ids(shuffle=7)
    assert sorted(shuffled) == sorted(ids())
    assert shuffled not in (ids(), ids(shuffle=8))
    samples = list(numbered(100))
    random.Random(1).shuffle(samples)
    assert [sample.id for sample in Selection(shuffle=7).of(lambda: iter(samples))] == shuffled


def test_samples_that_are_added_part_no_others() -> None:
    before, after = ids(50, shuffle=7), ids(100, shuffle=7)
    assert [sample for sample in after if sample in set(before)] == before


def test_a_limit_takes_the_first_of_what_was_shuffled_and_a_range_is_taken_before() -> None:
    assert ids(shuffle=7, limit=3) == ids(shuffle=7)[:3]
    assert set(ids(stop=10, shuffle=7, limit=9)) < {f"s{number}" for number in range(10)}


def test_a_shuffled_sample_is_whole() -> None:
    whole = Sample(id="a", input="b", turns=("c",), choices=("d", "e"), target=["f"], metadata={"g": 1}, line=4)
    assert list(Selection(shuffle=1).of(lambda: iter([whole]))) == [whole]
