"""`python -m drivers.evaluate` as a user runs it, against the scripted model server."""

import json
from collections import Counter
from pathlib import Path

import pytest

from agent_core.scripted.script import HttpError, Match, Reply, Rule, Script
from tests.drivers.evaluate_world import stalling, world
from tests.drivers.forked import ForkServer

pytestmark = pytest.mark.timeout(60)


async def test_every_sample_and_epoch_gets_one_line_and_the_figures_add_up(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(30)
        done = await this.run("--epochs", "2", "--concurrency", "8", "--json")
        assert done.code == 0, done.err
        results = this.results()
        assert Counter((result["id"], result["epoch"]) for result in results) == Counter(
            (f"q{n}", epoch) for n in range(30) for epoch in (1, 2)
        )
        one = results[0]
        assert one["outcome"] == "completed"
        assert one["answer"]
        assert one["transcript"][0]["content"][0]["text"] == one["input"]
        assert one["usage"]["output_tokens"] > 0
        assert one["timings"]["queued"] <= one["timings"]["started"] <= one["timings"]["ended"]
        assert len({result["session_id"] for result in results}) == 60
        summary = json.loads(done.out)
        assert summary["outcomes"]["completed"] == summary["planned"] == 60
        assert summary["usage"]["output_tokens"] == sum(result["usage"]["output_tokens"] for result in results)
        assert set(this.asked().values()) == {2}
        assert this.server.stats.max_concurrent <= 8
        assert not any(request.stream for request in this.server.requests)


async def test_without_a_terminal_nothing_but_text_is_written_and_the_table_fits(
    forks: ForkServer, tmp_path: Path
) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        done = await this.run("--limit", "2")
        assert done.code == 0, done.err
        assert "\x1b" not in done.out + done.err
        assert "2 of 2" in done.out
        assert f"results: {this.results_path}" in done.out
        assert f"Results: {this.results_path}" in done.err


async def test_failures_are_outcomes_with_their_reasons_and_the_exit_code_says_so(
    forks: ForkServer, tmp_path: Path
) -> None:
    bad = {"type": "error", "error": {"type": "invalid_request_error", "message": "that was no request"}}
    script = Script(
        rules=(
            Rule(match=Match(text="<1>"), replies=(Reply(error=HttpError(status=400, body=bad)),)),
            Rule(match=Match(text="<2>"), replies=(Reply(text="half", stop_reason="max_tokens"),)),
            Rule(match=Match(text="<3>"), replies=(Reply(text="no", stop_reason="refusal"),)),
        )
    )
    async with world(forks, tmp_path, script) as this:
        this.ask(4)
        done = await this.run("--concurrency", "5")
        assert done.code == 1, done.err
        by_id = {result["id"]: result for result in this.results()}
        assert {name: result["outcome"] for name, result in by_id.items()} == {
            "q0": "completed", "q1": "model_failed", "q2": "limit_hit", "q3": "model_failed",
        }  # fmt: skip
        assert "that was no request" in by_id["q1"]["error"]["message"]
        assert (by_id["q2"]["limit"], by_id["q2"]["answer"]) == ("max_tokens", "half")
        assert by_id["q3"]["error"]["kind"] == "refused"
        assert "q1: model failed" in done.out
        assert "Not completed: 2 model failed, 1 limit hit" in done.err
        assert "--resume" not in done.err, "no outcome here is one that another run could change"


async def test_a_sample_that_never_ends_is_ended_by_its_timeout(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path, Script(rules=(stalling("<0>", 99),))) as this:
        this.ask(1)
        done = await this.run("--timeout", "1")
        assert done.code == 1, done.err
        (result,) = this.results()
        assert (result["outcome"], result["limit"]) == ("limit_hit", "time")


async def test_a_key_that_the_provider_refuses_ends_the_run_at_once(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path, Script(api_keys=("another",))) as this:
        this.ask(500)
        done = await this.run("--concurrency", "2")
        assert done.code == 1
        assert len(this.server.requests) <= 2
        assert done.err.rstrip().splitlines()[-1].startswith("error:")
        assert "made-up" not in done.out + done.err + this.results_path.read_text()


async def test_a_run_that_is_whole_is_resumed_without_asking_anything(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(2)
        assert (await this.run()).code == 0
        before = this.results_path.read_bytes()
        done = await this.run("--resume")
        assert done.code == 0, done.err
        assert this.results_path.read_bytes() == before
        assert len(this.server.requests) == 2


ADDING = """
from agent_core.tools import tool

@tool
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
"""


async def test_a_model_with_tools_uses_them_and_its_transcript_shows_it(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        (tmp_path / "adding.py").write_text(ADDING)
        this.questions.write_text(json.dumps({"id": "sum", "input": 'call add {"a": 20, "b": 22}'}) + "\n")
        done = await this.run("--tools", "adding:add", "--system", "Be exact.")
        assert done.code == 0, done.err
        (result,) = this.results()
        assert "42" in result["answer"]
        kinds = [[block["kind"] for block in message["content"]] for message in result["transcript"]]
        assert kinds == [["text"], ["text", "tool_use"], ["tool_result"], ["text"]]
        assert json.loads((this.out / "run.json").read_text())["configuration"]["tools"]["add"]


async def test_streamed_answers_tell_when_their_first_token_came(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(2)
        done = await this.run("--stream", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["first_token_p50"] > 0
        assert all(request.stream for request in this.server.requests)


async def test_samples_are_read_from_stdin_and_another_format_is_named(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        arguments = [argument for argument in this.arguments("--format", "csv") if argument != str(this.questions)]
        process = await this.start([*arguments, "-", "--input-field", "question"])
        done = await this.ended(process, 'question,topic\n"first, second",order\n')
        assert done.code == 0, done.err
        (result,) = this.results()
        assert (result["id"], result["input"], result["metadata"]) == ("line-2", "first, second", {"topic": "order"})


async def test_status_counts_what_is_there_while_the_run_goes_on(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path, Script(rules=(stalling("<7>", 1),))) as this:
        this.ask(10)
        process = await this.start(this.arguments("--concurrency", "1"))
        await this.server.stalled(1)
        status = await this.ended(await this.start(["status", str(this.out), "--json"]))
        assert status.code == 0, status.err
        counted = json.loads(status.out)
        assert (counted["planned"], counted["outcomes"]["completed"], counted["outcomes"]["missing"]) == (10, 7, 3)
        other = await this.run("--resume")
        assert other.code == 2
        assert "being written by another run" in other.err
        this.server.release()
        assert (await this.ended(process)).code == 0


async def test_answers_are_given_again_to_the_same_epoch_and_cost_nothing(forks: ForkServer, tmp_path: Path) -> None:
    async with world(forks, tmp_path) as this:
        this.ask(3)
        cache = ("--cache", str(tmp_path / "answers"), "--epochs", "2")
        assert (await this.run(*cache)).code == 0
        assert sum(this.asked().values()) == 6
        first = {(row["id"], row["epoch"]): row["answer"] for row in this.results()}
        done = await this.run(*cache, "--overwrite")
        assert done.code == 0, done.err
        assert sum(this.asked().values()) == 6
        assert {(row["id"], row["epoch"]): row["answer"] for row in this.results()} == first
        assert all(row["usage"]["saved_tokens"] > row["usage"]["output_tokens"] == 0 for row in this.results())
        assert "0 in, 0 out, " in done.out
        refused = await this.run("--cache-age", "7d", "--overwrite")
        assert (refused.code, "there is no --cache" in refused.err) == (2, True)
