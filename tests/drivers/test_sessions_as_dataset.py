"""`python -m drivers.sessions export --as-dataset`: recorded turns as samples, on journals that real sessions wrote."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent_core.evaluation.dataset import Dataset
from agent_core.evaluation.sample import Sample
from agent_core.scripted.server import ScriptedServer
from drivers import errors
from drivers.sessions import PROGRAM, app
from tests.core.playbook import lines_of
from tests.core.said_before import BEFORE, LINES
from tests.drivers import evaluate_world
from tests.drivers.forked import ForkServer
from tests.drivers.sessions_world import World, look

pytestmark = pytest.mark.timeout(60)


class Program:
    """The program on the journal of a user, in this process."""

    def __init__(self, here: Path, forks: ForkServer, capsys: pytest.CaptureFixture[str]) -> None:
        self.here, self._forks, self._capsys = here, forks, capsys

    def record(self, conversations: Callable[[World], Awaitable[None]]) -> None:
        """Have these conversations, and keep them."""

        async def have() -> None:
            async with ScriptedServer() as server:
                await conversations(World(server, self.here, self._forks))

        asyncio.run(have())

    def export(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What is written to stdout and to stderr."""
        words = ("export", "--as-dataset", *arguments, "--data-dir", str(self.here / "data"))
        assert errors.run(app, program=PROGRAM, arguments=words) == code
        done = self._capsys.readouterr()
        assert "Traceback" not in done.err
        return done.out, done.err

    def refused(self, *arguments: str) -> str:
        out, err = self.export(*arguments, code=2)
        assert out == ""
        assert err.startswith("error: ")
        return " ".join(err.split())


@pytest.fixture
def program(
    tmp_path: Path, forks: ForkServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    return Program(tmp_path, forks, capsys)


def samples_of(text: str) -> list[Sample]:
    """What the evaluator reads of it."""
    return list(Dataset("exported").samples(line.encode() for line in text.splitlines()))


def said_before(sample: Sample) -> list[str]:
    return [line for message in sample.history for line in lines_of(message)]


async def two_sessions(world: World) -> None:
    said = ("Wie geht's?", 'call look {"place": "Köln"}', "And then?")
    await world.talk("one", *said, labels={"team": "red"}, tools=[look])
    await world.talk("two", "Zwei.")


def test_the_last_turn_of_each_session_is_a_sample_that_the_evaluator_reads(program: Program) -> None:
    program.record(two_sessions)
    out, err = program.export("--all")
    two, one = samples_of(out)
    assert err == "2 samples of 2 sessions\n"
    assert (two.id, two.input, two.target, two.history) == ("two@u1", "Zwei.", "You said: Zwei.", ())
    assert (one.id, one.input, one.target) == ("one@u3", "And then?", "You said: And then?")
    assert one.metadata == {
        "session": "one",
        "turn": "u3",
        "model": "anthropic/claude-test",
        "labels": {"team": "red"},
        "tools": [],
    }
    assert [message.kind for message in one.history] == ["user", "assistant", "user", "assistant", "user", "assistant"]
    assert "Köln, line 8" in out
    assert program.export("one", "two", "--turn", "last")[0].splitlines() == out.splitlines()[::-1]
    assert samples_of(program.export("--all", "--label", "team=red")[0]) == [one.model_copy(update={"line": 1})]


def test_every_turn_or_one_that_is_named_can_be_a_sample(program: Program) -> None:
    program.record(two_sessions)
    out, _ = program.export("one", "--turn", "every")
    assert [(sample.id, len(sample.history)) for sample in samples_of(out)] == [
        ("one@u1", 0),
        ("one@u2", 2),
        ("one@u3", 6),
    ]
    assert samples_of(out)[1].metadata["tools"] == ["look"]
    assert program.export("one", "--turn", "u2")[0] == out.splitlines(keepends=True)[1]
    many, err = program.export("--all", "--turn", "u2")
    assert [sample.id for sample in samples_of(many)] == ["one@u2"]
    assert "1 session made no sample: no such turn there has an answer" in err
    assert "In session 'two' no turn 'u2' has ended. The newest with an answer: u1." in program.refused(
        "two", "--turn", "u2"
    )


def test_a_file_is_written_whole_or_not_at_all(program: Program) -> None:
    program.record(two_sessions)
    out = program.here / "samples.jsonl"
    assert program.export("--all", "--out", str(out)) == ("", f"2 samples of 2 sessions in {out}\n")
    assert [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()] == ["two@u1", "one@u3"]
    assert "it is there already" in program.refused("--all", "--out", str(out))
    other = program.here / "other.jsonl"
    assert "nothing to make a dataset of" in program.refused("--all", "--turn", "u9", "--out", str(other))
    assert sorted(path.name for path in program.here.iterdir()) == ["data", "samples.jsonl"]


def test_a_summary_stands_in_a_history_only_if_it_is_to_be_as_the_model_saw_it(program: Program) -> None:
    program.record(lambda world: world.compacted("trip"))
    (whole,) = samples_of(program.export("trip")[0])
    (seen,) = samples_of(program.export("trip", "--as-seen")[0])
    questions = [line[:17] for line in said_before(whole) if line.startswith("user")]
    assert questions[:2] == ["user: Question 0.", "user: Question 1."]
    assert said_before(seen)[0].startswith("user: [Previous conversation summary]")
    assert len(seen.history) < len(whole.history)


def test_a_session_that_began_with_a_history_is_shown_and_exported_with_it(program: Program) -> None:
    async def seeded(world: World) -> None:
        async with world.runtime() as runtime:
            session = await runtime.session("s", history=BEFORE, **world.settings)
            await session.ask("And now?")

    program.record(seeded)
    (sample,) = samples_of(program.export("s")[0])
    assert (sample.id, tuple(said_before(sample))) == ("s@u3", LINES)


async def test_what_was_recorded_of_one_model_is_asked_of_another_and_scored(
    forks: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    async with ScriptedServer() as server:
        recording = World(server, tmp_path, forks)
        await two_sessions(recording)
        asked = evaluate_world.World(forks, tmp_path, server)
        done = await recording.run("export", "--as-dataset", "--all", "--turn", "every", "--out", str(asked.questions))
        assert done.err.startswith("4 samples of 2 sessions")
        server.requests.clear()
        chat = (
            "-m",
            "openai/gpt-4o",
            "--wire",
            "chat",
            "--base-url",
            f"{server.url}/v1",
            "--api-key",
            "env:SCRIPTED_KEY",
        )
        run = await asked.run(*chat, "--scorer", "exact")
        assert run.code == 0, run.err
        results = {result["id"]: result for result in asked.results()}
        assert asked.outcomes() == {"scored": 4}
        assert {id for id, result in results.items() if result["scores"]["exact"]["value"] == 1} >= {"one@u3", "two@u1"}
        assert len(results["one@u3"]["transcript"]) == 8
        requests = [request.body["messages"] for request in server.requests]
        (last,) = [messages for messages in requests if messages[-1]["content"] == "And then?"]
        assert [message["role"] for message in last] == [
            *("user", "assistant", "user", "assistant", "tool", "assistant", "user")
        ]


def test_words_that_do_not_fit_together_are_refused(program: Program) -> None:
    words = ("export", "--all", "--turn", "u2", "--data-dir", str(program.here))
    assert errors.run(app, program=PROGRAM, arguments=words) == 2
    words = ("export", "--all", "--as-seen", "--data-dir", str(program.here))
    assert errors.run(app, program=PROGRAM, arguments=words) == 2
    assert "Say which sessions" in program.refused()
