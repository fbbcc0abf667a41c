"""Fields of a row: choices, turns, earlier messages, chosen metadata; and Parquet, whose rows come with types."""

import datetime as dt
import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent_core.content import text_of
from agent_core.errors import ConfigError
from agent_core.evaluation.dataset import Dataset
from agent_core.evaluation.rows import FieldNames, RowReader
from agent_core.evaluation.sample import Sample


def sample(row: Mapping[str, Any], fields: FieldNames | None = None, *, cells: bool = False) -> Sample:
    return RowReader("q.jsonl", "line", fields or FieldNames(), cells=cells).sample(7, dict(row))


def refusal(row: Mapping[str, Any], fields: FieldNames | None = None, *, cells: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        sample(row, fields, cells=cells)
    text = str(caught.value)
    assert text.startswith("q.jsonl line 7 ")
    return text


def test_choices_and_turns_are_lists_of_texts() -> None:
    made = sample({"input": "Which?", "choices": ["red", "blue"], "turns": ["And now?"], "level": 2})
    assert (made.choices, made.turns, made.metadata) == (("red", "blue"), ("And now?",), {"level": 2})


def test_choices_may_have_a_field_each_of_which_empty_ones_are_left_out() -> None:
    row = {"input": "Which?", "A": "red", "B": "blue", "C": ""}
    assert sample(row, FieldNames(choices=("A", "B", "C")), cells=True).choices == ("red", "blue")


def test_cells_hold_lists_as_json() -> None:
    row = {"input": "Which?", "choices": '["red", "blue"]', "turns": ""}
    assert sample(row, cells=True).choices == ("red", "blue")
    assert "text as its 'choices'" in refusal({"input": "Which?", "choices": "red;blue"}, cells=True)


def test_what_is_no_list_of_texts_is_refused_and_can_be_kept_as_metadata() -> None:
    row = {"input": "Why?", "turns": 3}
    said = refusal(row)
    assert "a number as its 'turns'" in said
    assert "--turns-field" in said
    assert sample(row, FieldNames(metadata=("turns",))).metadata == {"turns": 3}


def test_only_the_named_metadata_is_kept_and_it_has_to_be_there() -> None:
    fields = FieldNames(metadata=("topic",))
    assert sample({"input": "Why?", "topic": "x", "notes": "y"}, fields).metadata == {"topic": "x"}
    assert "no field 'topic'" in refusal({"input": "Why?"}, fields)
    assert "--metadata-fields" in refusal({"input": "Why?"}, fields)


def test_a_conversation_before_the_input_is_read_with_who_said_what() -> None:
    said = [{"role": "user", "content": "I am Ada."}, {"role": "assistant", "content": "Hello, Ada."}]
    history = sample({"input": "Who am I?", "history": said}).history
    assert [(message.kind, text_of(message.content)) for message in history] == [
        ("user", "I am Ada."),
        ("assistant", "Hello, Ada."),
    ]
    again = sample({"input": "Who am I?", "history": [message.model_dump(mode="json") for message in history]})
    assert again.history == history


def test_a_history_that_is_no_conversation_is_refused_with_its_line() -> None:
    said = refusal({"input": "Who am I?", "history": "I am Ada."})
    assert "a 'history' that is no conversation: a list of messages is wanted" in said


def parquet(rows: list[dict[str, Any]]) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    file.seek(0)
    return file


def test_parquet_rows_have_their_types_and_are_called_after_their_number() -> None:
    file = parquet(
        [
            {"input": f"{number}?", "choices": ["a", "b"], "when": dt.date(2026, 5, 1), "score": float("nan")}
            for number in range(1500)
        ]
    )
    samples = list(Dataset("q.parquet", "parquet").samples(file))
    assert len(samples) == 1500
    assert (samples[1499].id, samples[1499].input, samples[1499].choices) == ("row-1500", "1499?", ("a", "b"))
    assert samples[0].metadata == {"when": "2026-05-01", "score": None}


def test_a_parquet_row_that_is_no_sample_is_refused_with_its_number() -> None:
    rows = [{"input": "a", "blob": b"x"}, {"input": "", "blob": None}]
    with pytest.raises(ConfigError, match=r"row 1 has bytes in its column 'blob'.*--metadata-fields"):
        list(Dataset("q.parquet", "parquet").samples(parquet(rows)))
    fields = FieldNames(metadata=())
    with pytest.raises(ConfigError, match="row 2 has an empty 'input'"):
        list(Dataset("q.parquet", "parquet", fields).samples(parquet(rows)))
    with pytest.raises(ConfigError, match=r"q.parquet cannot be read as Parquet after row 0"):
        list(Dataset("q.parquet", "parquet").samples(io.BytesIO(b'{"input": "a"}\n')))
