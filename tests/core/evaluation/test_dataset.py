"""Reading datasets: what becomes a sample, and how a line that cannot is refused."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ConfigError
from agent_core.evaluation.dataset import Dataset, FieldNames
from agent_core.evaluation.sample import Sample


def read(text: str | bytes, dataset: Dataset | None = None) -> list[Sample]:
    data = text if isinstance(text, bytes) else text.encode()
    return list((dataset or Dataset("questions.jsonl")).samples(data.splitlines(keepends=True)))


def refusal(text: str | bytes, dataset: Dataset | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, dataset)
    return str(caught.value)


def test_a_sample_has_its_fields_and_keeps_the_others_as_metadata() -> None:
    line = '{"id": "q1", "input": "2+2?", "target": 4, "metadata": {"level": 1}, "topic": "sums"}\n'
    assert read(line) == [
        Sample(id="q1", input="2+2?", target=4, metadata={"topic": "sums", "level": 1}, line=1),
    ]


def test_prompt_will_do_for_input() -> None:
    assert read('{"prompt": "hello"}')[0].input == "hello"


def test_fields_can_be_named() -> None:
    dataset = Dataset("q.jsonl", fields=FieldNames(input="question", id="key", target="answer"))
    (sample,) = read('{"key": 7, "question": "Why?", "answer": ["a", "b"]}', dataset)
    assert (sample.id, sample.input, sample.target) == ("7", "Why?", ["a", "b"])


def test_a_sample_without_an_id_is_called_after_its_line_whatever_stands_before_it() -> None:
    samples = read('\n{"input": "a"}\n   \n{"input": "b", "id": ""}\n')
    assert [sample.id for sample in samples] == ["line-2", "line-4"]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert read(b'\xef\xbb\xbf{"input": "a"}')[0].input == "a"
    assert read(b"\xef\xbb\xbfid,input\n1,a\n", Dataset("q.csv", "csv"))[0].id == "1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"input": "a"', "not valid JSON"),
        ("just words", "not valid JSON"),
        ('"text"', "holds text where an object"),
        ("[1]", "holds a list where an object"),
        ('{"question": "a", "n": 1}', "it has: question, n"),
        ('{"input": 5}', "a number as its 'input'"),
        ('{"input": [{"role": "user"}]}', "a list as its 'input'"),
        ('{"input": "  "}', "empty 'input'"),
        ('{"input": "a", "id": 1.5}', "a number as its 'id'"),
        ('{"input": "a", "id": true}', "true or false as its 'id'"),
        ('{"input": "a", "metadata": "x"}', "'metadata' that is no JSON object"),
        ('{"input": "\\ud800"}', "surrogate"),
        (b'{"input": "\xff"}', "not UTF-8 at byte 12"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_what_is_wrong(line: str | bytes, said: str) -> None:
    bad = line if isinstance(line, bytes) else line.encode()
    good = b"".join(b'{"input": "a"}\n' for _ in range(2999))
    text = refusal(good + bad + b"\n")
    assert text.startswith("questions.jsonl line 3000 ")
    assert said in text


def test_a_missing_field_that_was_named_says_which_flag_names_it() -> None:
    dataset = Dataset("q.jsonl", fields=FieldNames(id="key"))
    assert "--id-field" in refusal('{"input": "a"}', dataset)
    assert "--target-field" in refusal('{"input": "a"}', Dataset("q.jsonl", fields=FieldNames(target="gold")))
    assert "--input-field" in refusal('{"text": "a"}')


def test_csv_is_read_with_quotes_and_newlines_and_called_after_the_line_it_begins_on() -> None:
    text = 'input,target,topic\r\n"two\nlines, ""quoted""",x,sums\r\n\r\nplain,,\r\n'
    first, second = read(text, Dataset("q.csv", "csv"))
    assert (first.input, first.id, first.metadata) == ('two\nlines, "quoted"', "line-2", {"topic": "sums"})
    assert (second.input, second.id) == ("plain", "line-5")


def test_csv_metadata_is_a_json_object() -> None:
    dataset = Dataset("q.tsv", "tsv")
    assert read('input\tmetadata\na\t{"k":1}\n', dataset)[0].metadata == {"k": 1}
    assert "no JSON object" in refusal("input\tmetadata\na\tk=1\n", dataset)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,input\n1,a\n2\n", "line 3 has 1 cells where the header has 2 columns"),
        ("id,input\n1,a,b\n", "line 2 has 3 cells"),
        ("id,id\n1,2\n", "line 1 names the column 'id' twice"),
        ('id,input\n1,"open\nstill open\n', "line 2 is not valid CSV"),
        ("question\na\n", "it has: question"),
    ],
)
def test_a_bad_table_is_refused_with_the_line_of_its_row(text: str, said: str) -> None:
    assert said in refusal(text, Dataset("q.csv", "csv"))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"input": st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)},
            optional={
                "target": st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.integers(),
                "metadata": st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.booleans()),
            },
        )
    )
)
def test_what_json_writes_is_what_is_read(rows: list[dict[str, object]]) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    samples = list(Dataset("q.jsonl").samples(lines))
    assert [(s.input, s.target, s.metadata) for s in samples] == [
        (row["input"], row.get("target"), row.get("metadata", {})) for row in rows
    ]


def test_reading_holds_one_line_at_a_time() -> None:
    def lines(count: int) -> Iterator[bytes]:
        for number in range(count):
            yield json.dumps({"id": number, "input": "x" * 1000}).encode()

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            for _ in Dataset("q.jsonl").samples(lines(count)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(5000) < 2 * peak(50)
