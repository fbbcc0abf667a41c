"""What the evaluator refuses: at once, on one screen, with exit code 2 and nothing touched."""

import json
from pathlib import Path

import pytest

from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.evaluate import PROGRAM, app
from tests.drivers.evaluate_world import World, refused, world
from tests.drivers.forked import ForkServer

pytestmark = pytest.mark.timeout(60)


async def test_a_changed_configuration_is_refused_with_what_changed_unless_forced(
    forks: ForkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    async with world(forks, tmp_path) as this:
        this.ask(4)
        assert (await this.run("--limit", "2")).code == 0
        before = this.results_path.read_bytes()
        said = refused(this, capsys, "--resume", "--max-tokens", "77")
        assert "max_tokens: not set -> 77" in said
        assert "--force" in said
        assert 'compaction.kind: not set -> "none"' in refused(this, capsys, "--resume", "--compaction", "none")
        assert this.results_path.read_bytes() == before
        done = await this.run("--resume", "--max-tokens", "77", "--force")
        assert done.code == 0, done.err
        assert this.results_path.read_bytes().startswith(before)
        assert [result["id"] for result in this.results()] == ["q0", "q1", "q2", "q3"]
        assert len({result["configuration"] for result in this.results()}) == 2


@pytest.fixture
def offline(forks: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose server is never started."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    server = ScriptedServer()
    monkeypatch.setattr(ScriptedServer, "url", "http://127.0.0.1:9")
    this = World(forks, tmp_path, server)
    this.ask(3)
    return this


def test_a_bad_line_3000_is_named_before_anything_is_started(
    offline: World, capsys: pytest.CaptureFixture[str]
) -> None:
    good = "".join(json.dumps({"input": f"question {n}"}) + "\n" for n in range(2999))
    offline.questions.write_text(good + '{"input": "no end\n')
    said = refused(offline, capsys)
    assert "questions.jsonl line 3000 is not valid JSON" in said
    assert not offline.out.exists()


def test_duplicate_ids_are_refused_with_both_lines(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.questions.write_text('{"id": 1, "input": "a"}\n\n{"id": "2", "input": "b"}\n{"id": "1", "input": "c"}\n')
    assert "questions.jsonl lines 1 and 4 have the same id '1'" in refused(offline, capsys)


def test_a_changed_sample_is_refused_when_resuming(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.out.mkdir()
    finished = {
        "id": "q1", "epoch": 1, "outcome": "completed", "attempts": 1, "input": "another question", "target": 1,
        "timings": {"queued": 1, "started": 1, "ended": 2}, "configuration": "0",
    }  # fmt: skip
    offline.results_path.write_text(json.dumps(finished, separators=(",", ":")) + "\n")
    assert "Sample 'q1' (questions.jsonl line 2) was asked with another configuration" in refused(
        offline, capsys, "--resume"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no samples"),
        ("\n \n", "holds no samples"),
        ('{"question": "a"}\n', "--input-field"),
    ],
    ids=["empty", "blank", "unmapped"],
)
def test_a_file_without_samples_is_refused(
    offline: World, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    offline.questions.write_text(content)
    assert said in refused(offline, capsys)


def test_a_file_that_is_not_there_or_of_no_known_kind_is_refused(
    offline: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    offline.questions = tmp_path / "absent.jsonl"
    assert "absent.jsonl: cannot be read (No such file or directory)" in refused(offline, capsys)
    offline.questions = tmp_path / "data.txt"
    offline.questions.write_text("Why?")
    assert "--format" in refused(offline, capsys)
    offline.questions = tmp_path
    assert "is a directory" in refused(offline, capsys, "--format", "jsonl")
    offline.questions = tmp_path / "tasks.py:capitals"
    assert "tasks.py@capitals" in refused(offline, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "mystery/model"), "provider/name"),
        (("--model", "anthropic"), "provider/name"),
        (("--concurrency", "0"), "--concurrency"),
        (("--resume", "--overwrite"), "exclude each other"),
        (("--actors", "1", "--sessions-per-actor", "2"), "--concurrency 16"),
        (("--tools", "no_such_module:x"), "no_such_module"),
        (("--api-key", "env:NOT_SET_ANYWHERE"), "$NOT_SET_ANYWHERE is not set"),
        (("--api-key", "sk-literal"), "literal key is refused"),
        (("--compaction-model", "mystery"), "--compaction-model: 'mystery' is not of the form"),
    ],
    ids=["provider", "form", "concurrency", "both", "packing", "tools", "key", "literal", "summariser"],
)
def test_wrong_options_are_refused_by_name(
    offline: World, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(offline, capsys, *arguments)
    assert not offline.out.exists()


def test_results_that_are_there_are_refused_and_stay(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    offline.out.mkdir()
    offline.results_path.write_text("something dear\n")
    said = refused(offline, capsys)
    assert "--resume" in said
    assert "--overwrite" in said
    assert "line 1 is no result" in refused(offline, capsys, "--resume")
    assert offline.results_path.read_text() == "something dear\n"


def test_status_of_what_is_not_there_says_what_to_name(offline: World, capsys: pytest.CaptureFixture[str]) -> None:
    code = errors.run(app, program=PROGRAM, arguments=["status", str(offline.out)])
    assert code == 2
    assert "Name the directory or file that --out named" in capsys.readouterr().err
