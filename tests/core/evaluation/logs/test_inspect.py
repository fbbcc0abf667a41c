"""Inspect's own readers open our logs and find in them what was put in."""

import asyncio
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import SessionConfig
from agent_core.content import ImageBlock, ToolResultBlock
from agent_core.errors import ErrorInfo
from agent_core.evaluation.configuration import Configuration
from agent_core.evaluation.logs.archive import Archive
from agent_core.evaluation.logs.closing import Ending
from agent_core.evaluation.logs.log import EvalLog
from agent_core.evaluation.logs.log_file import LogFile
from agent_core.evaluation.logs.names import log_id
from agent_core.evaluation.logs.reading import result_of
from agent_core.evaluation.logs.sample import Asked, member
from agent_core.evaluation.logs.spec import LogSpec
from agent_core.evaluation.result import Result
from agent_core.evaluation.score import Score
from agent_core.tools.definition import ToolDefinition
from tests.core.evaluation.logs.world import MODEL, STARTED, assistant, conversation, record, result, user

inspect_log: Any = pytest.importorskip("inspect_ai.log", reason="Inspect is not installed: pip install inspect-ai")
analysis: Any = pytest.importorskip("inspect_ai.analysis", reason="Inspect is not installed: pip install inspect-ai")

# Inspect calls pandas in a way that pandas 3.1 advises against.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")

TOOL = ToolDefinition(
    name="look_up",
    description="Looks a page up.",
    input_schema={
        "type": "object",
        "properties": {
            "page": {"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 900},
            "words": {"type": "array", "items": {"$ref": "#/$defs/word"}, "uniqueItems": True},
            "odd": True,
        },
        "required": ["page"],
        "$defs": {"word": {"type": "string"}},
    },
)
CONFIGURATION = Configuration(
    session=SessionConfig(model=MODEL, system_prompt="Answer from the book.", max_tokens=100),
    tools=(TOOL,),
    task={"limits": {"time": 9.5}, "agent": {"kind": "react"}, "scorers": ["includes(ignore_case=True)"]},
)
ASKED = Asked.of(CONFIGURATION.basis)
PICTURE = ImageBlock(media_type="image/png", data="iVBORw0KGgo=" * 50)
REFUSED = ErrorInfo(boundary="provider", kind="bad_request", message="It was refused.", status=400)
FAILED = Score(value=None, error=ErrorInfo(boundary="config", kind="ValueError", message="No number in it."))
HOSTILE = ["../../etc/passwd", "math/7", "x" * 4_000, "鯨 – ?#&%", "a\nb", "a_epoch_2"]
ENDINGS: list[Result] = [
    result("scored"),
    result("unscored", outcome="unscored", scores={"includes": Score(value=0.0), "judge": FAILED}),
    result("failed", outcome="model_failed", error=REFUSED, answer=None, scores={}, attempts=3),
    result("timeout", outcome="limit_hit", limit="time", answer=None, scores={}),
    result("context", outcome="limit_hit", limit="context", answer=None, scores={}),
    result("steps", outcome="limit_hit", limit="max_steps", answer=None, scores={}),
    result("cancelled", outcome="cancelled", answer=None, scores={}, transcript=None, usage=None),
]


def write(path: Path, results: list[Result], *, samples: int, epochs: int = 1) -> Path:
    with EvalLog(path, start(samples=samples, epochs=epochs)) as log:
        for each in results:
            log.append(member(each, ASKED))
        log.finish(Ending())
    return path


def start(*, samples: int, epochs: int = 1) -> dict[str, Any]:
    fields = {"configuration": CONFIGURATION.basis, "digest": CONFIGURATION.digest}
    return LogSpec.of(record(samples=samples, epochs=epochs, **fields)).start()


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The log of two samples in two epochs each."""
    directory = tmp_path_factory.mktemp("logs")
    results = [result(f"q{n}", epoch, value=float(n)) for n in (0, 1) for epoch in (1, 2)]
    return str(write(directory / "book.eval", results, samples=2, epochs=2))


def test_the_header_says_what_was_run_and_what_came_of_it(twice: str) -> None:
    log = inspect_log.read_eval_log(twice, header_only=True)
    assert (log.version, log.status, log.samples) == (2, "success", None)
    assert (log.eval.task, log.eval.model, log.eval.dataset.samples) == ("book", MODEL, 2)
    assert (log.eval.config.epochs, log.eval.model_generate_config.max_tokens) == (2, 100)
    assert (log.eval.solver, log.eval.scorers[0].name, log.eval.config.time_limit) == ("react", "includes", 10)
    assert log.eval.metadata["digest"] == CONFIGURATION.digest
    assert (log.results.total_samples, log.results.completed_samples) == (4, 4)
    assert log.results.scores[0].metrics["mean"].value == 0.5
    assert log.stats.model_usage[MODEL].output_tokens == 24


def test_samples_are_found_by_id_and_epoch_and_by_their_name(twice: str) -> None:
    sample = inspect_log.read_eval_log_sample(twice, id="q1", epoch=2)
    assert (sample.id, sample.epoch, sample.scores["includes"].value) == ("q1", 2, 1.0)
    assert inspect_log.read_eval_log_sample(twice, uuid=sample.uuid) == sample
    assert len(list(inspect_log.read_eval_log_samples(twice))) == 4


def test_summaries_are_what_inspect_makes_of_the_samples(twice: str) -> None:
    summaries = inspect_log.read_eval_log_sample_summaries(twice)
    samples = inspect_log.read_eval_log(twice).samples
    made = {(each.id, each.epoch): each.summary() for each in samples}
    assert {(each.id, each.epoch): each for each in summaries} == made


def test_the_scores_of_a_sample_are_told_over_its_epochs(twice: str) -> None:
    (reduction,) = inspect_log.read_eval_log(twice).reductions
    assert {each.sample_id: each.value for each in reduction.samples} == {"q0": 0.0, "q1": 1.0}


def test_data_frames_hold_scores_usage_and_messages(twice: str) -> None:
    evals = analysis.evals_df([twice], quiet=True)
    assert list(evals["score_includes_mean"]) == [0.5]
    samples = analysis.samples_df([twice], quiet=True)
    assert sorted(samples["score_includes"]) == [0.0, 0.0, 1.0, 1.0]
    assert set(samples["target"]) == {"white"}
    assert set(samples["metadata_chapter"]) == {3}
    messages = analysis.messages_df([twice], quiet=True)
    assert list(messages["role"])[:5] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages["content"].str.contains("Page 1 says that it was white").sum() == 4


def test_a_conversation_is_told_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", [result(transcript=conversation(2))], samples=1)
    sample = inspect_log.read_eval_log(str(path), resolve_attachments=True).samples[0]
    assert [message.role for message in sample.messages] == ["system", *["user", "assistant", "tool", "assistant"] * 2]
    system, question, looked, found, answer = sample.messages[:5]
    assert (system.text, question.text) == ("Answer from the book.", "What does page 1 say?")
    assert (looked.content[0].reasoning, looked.content[0].signature) == ("The book will say.", "c2ln")
    assert (looked.tool_calls[0].function, looked.tool_calls[0].arguments["page"]) == ("look_up", 1)
    assert (found.tool_call_id, found.function, answer.text) == ("call-1", "look_up", "On page 1 it was white.")
    models = [event for event in sample.events if event.event == "model"]
    assert [len(event.input) for event in models] == [2, 4, 6, 8]
    assert models[3].input == sample.messages[:8]
    assert models[3].output.choices[0].message == sample.messages[8]
    assert (models[0].output.usage.input_tokens, models[0].output.stop_reason) == (10, "tool_calls")
    assert models[0].tools[0].parameters.properties["page"].type == ["integer", "null"]
    (tool, _) = [event for event in sample.events if event.event == "tool"]
    assert (tool.function, tool.result) == ("look_up", found.text)
    assert tool.timestamp.timestamp() == STARTED + 11.5
    assert sample.output.completion == "On page 1 it was white."


def test_images_and_failed_calls_are_told(tmp_path: Path) -> None:
    (_, call, *_) = conversation()
    failed = ToolResultBlock(tool_use_id="call-1", content="There is no such page.", is_error=True)
    said = (user("u", "What is this?", PICTURE), call, user("r", failed), assistant("a", "I cannot say."))
    path = write(tmp_path / "log.eval", [result(transcript=said)], samples=1)
    sample = inspect_log.read_eval_log(str(path), resolve_attachments=True).samples[0]
    assert sample.messages[1].content[1].image == f"data:image/png;base64,{PICTURE.data}"
    assert sample.messages[3].error.message == "There is no such page."
    (tool,) = [event for event in sample.events if event.event == "tool"]
    assert tool.error.message == "There is no such page."


def test_every_way_to_end_is_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", ENDINGS, samples=len(ENDINGS))
    samples = {each.id: each for each in inspect_log.read_eval_log(str(path)).samples}
    assert {name: each.error.message for name, each in samples.items() if each.error} == {
        "failed": "bad_request: It was refused.",
        "cancelled": "CancelledError('cancelled')",
    }
    limits = {name: (each.limit.type, each.limit.limit) for name, each in samples.items() if each.limit}
    assert limits == {"timeout": ("time", 9.5), "context": ("context", -1), "steps": ("custom", -1)}
    judged = samples["unscored"].scores["judge"]
    assert math.isnan(judged.value)
    assert (judged.reason, judged.explanation) == ("scoring_failed", "No number in it.")
    frame = analysis.samples_df([str(path)], quiet=True).set_index("id")
    assert frame.loc["steps", "limit"] == "custom"
    assert frame.loc["failed", "retries"] == 2


def test_hostile_ids_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", [result(each) for each in HOSTILE], samples=len(HOSTILE))
    for sample_id in HOSTILE:
        assert inspect_log.read_eval_log_sample(str(path), id=log_id(sample_id)).id == log_id(sample_id)
    assert len(inspect_log.read_eval_log(str(path)).samples) == len(HOSTILE)


def test_a_log_under_way_is_read_while_its_writer_adds_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.eval"
    monkeypatch.setattr("agent_core.evaluation.logs.log.SMALLEST_BATCH", 1_000)
    with EvalLog(path, start(samples=9)) as log:
        assert inspect_log.read_eval_log(str(path)).samples == []
        log.append(member(result("q1"), ASKED))
        log.flush()
        log.append(member(result("q2"), ASKED))
        read = inspect_log.read_eval_log(str(path))
        assert (read.status, [each.id for each in read.samples]) == ("started", ["q1"])
        assert [each.id for each in inspect_log.read_eval_log_sample_summaries(str(path))] == ["q1"]


def test_a_log_that_was_cut_off_is_mended_by_opening_it_and_taken_for_a_crashed_one(tmp_path: Path) -> None:
    from inspect_ai.log._recover import read_crashed_eval_log

    path = write(tmp_path / "log.eval", [result(f"q{n}") for n in range(5)], samples=5)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"samples/q3_epoch_1.json") + 200])
    with Archive(path):
        pass
    assert [each.id for each in inspect_log.read_eval_log(str(path)).samples] == ["q0", "q1", "q2"]
    crashed = asyncio.run(read_crashed_eval_log(str(path)))
    assert (crashed.eval.task, len(crashed.sample_entries)) == ("book", 3)


def test_what_inspect_writes_is_read_as_results(twice: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.eval"
    inspect_log.write_eval_log(inspect_log.read_eval_log(twice), str(path))
    with LogFile(path) as log:
        read = [result_of(log.content(sample)) for sample in log.samples()]
    with LogFile(Path(twice)) as log:
        ours = {(each.id, each.epoch): each for each in (result_of(log.content(s)) for s in log.samples())}
    assert len(read) == 4
    for each in read:
        mine = ours[each.id, each.epoch]
        assert each.model_dump(exclude={"transcript"}) == mine.model_dump(exclude={"transcript"})
        assert [m.content for m in each.transcript or ()] == [m.content for m in mine.transcript or ()]


def test_inspect_edits_our_logs_in_place(twice: str, tmp_path: Path) -> None:
    path = tmp_path / "edited.eval"
    shutil.copy(twice, path)
    log = inspect_log.read_eval_log(str(path), header_only=True)
    log.eval.task = "renamed"
    inspect_log.write_eval_log(log, str(path), header_only=True)
    assert inspect_log.read_eval_log(str(path)).eval.task == "renamed"
    assert len(inspect_log.read_eval_log(str(path)).samples) == 4
