"""Results as a table."""

import io
import json
from typing import Any

import pytest

from agent_core.errors import ErrorInfo
from agent_core.evaluation.logs import table
from agent_core.evaluation.logs.table import scorers_of, write_table
from agent_core.evaluation.result import Result, encode
from agent_core.evaluation.score import Score
from tests.core.evaluation.logs.world import STARTED, result

parquet: Any = pytest.importorskip("pyarrow.parquet")

FAILED = ErrorInfo(boundary="provider", kind="overloaded", message="Later.", status=529)
RESULTS = [
    result("q1", scores={"includes": Score(value=1.0), "judge": Score(value=0.25, explanation="Thin.")}),
    result(
        "q2", 2, outcome="model_failed", error=FAILED, answer=None, scores={}, usage=None, cost=None, transcript=None
    ),
    result("q3", outcome="limit_hit", limit="tokens", target=["white", "pale"], choices=("white", "black")),
]


def written(*results: Result, transcript: bool = False) -> Any:
    lines = [encode(each) for each in results]
    file = io.BytesIO()
    count = write_table(lines, file, scorers=scorers_of(lines), transcript=transcript, about={"run": "book"})
    assert count == len(results)
    return parquet.ParquetFile(file)


def test_every_figure_has_its_column() -> None:
    first, second, third = written(*RESULTS).read().to_pylist()
    assert (first["id"], first["epoch"], first["outcome"], first["answer"]) == ("q1", 1, "scored", RESULTS[0].answer)
    assert (first["score_includes"], first["score_judge"], third["score_judge"]) == (1.0, 0.25, None)
    assert (first["input_tokens"], first["cache_read_tokens"], first["cost"], second["cost"]) == (20, 4, 0.25, None)
    assert (first["started"], first["first_token"], first["latency"]) == (STARTED, STARTED + 0.2, 40.0)
    assert (second["error_kind"], second["error_message"], second["error_status"]) == ("overloaded", "Later.", 529)
    assert (second["input_tokens"], third["limit"]) == (None, "tokens")


def test_what_has_no_column_is_json() -> None:
    first, _, third = written(*RESULTS).read().to_pylist()
    assert json.loads(first["metadata"]) == {"chapter": 3, "tags": ["sea"]}
    assert json.loads(first["scores"])["judge"] == {"value": 0.25, "explanation": "Thin.", "metadata": {}}
    assert (first["target"], json.loads(third["target"])) == ("white", ["white", "pale"])
    assert json.loads(third["choices"]) == ["white", "black"]


def test_transcripts_have_a_column_where_they_are_asked_for() -> None:
    assert "transcript" not in written(*RESULTS).schema_arrow.names
    first, second, _ = written(*RESULTS, transcript=True).read().to_pylist()
    assert json.loads(first["transcript"])[0]["content"] == [{"kind": "text", "text": "What does page 1 say?"}]
    assert second["transcript"] is None


def test_the_columns_are_the_same_whatever_came_first() -> None:
    scored, unscored = result("q1"), result("q2", scores={})
    assert written(scored, unscored).schema_arrow == written(unscored, scored).schema_arrow


def test_rows_are_written_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "GROUP_ROWS", 2)
    file = written(*[result(f"q{number}") for number in range(5)])
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [2, 2, 1]


def test_no_results_make_an_empty_table_with_the_columns_of_any() -> None:
    file = written()
    assert file.metadata.num_rows == 0
    assert "outcome" in file.schema_arrow.names
    assert file.schema_arrow.metadata[b"run"] == b"book"
