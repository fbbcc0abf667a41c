"""What a tool returned or raised, as the model gets it."""

from typing import Any

import pytest

from agent_core.content import ImageBlock, TextBlock
from agent_core.tools import LocalToolExecutor, tool
from agent_core.tools.output import IMAGE_LIMIT
from tests.core.tools import sample_tools
from tests.core.tools.harness import live, run, said


async def test_an_exception_is_told_with_its_type_its_message_and_the_tools_own_line() -> None:
    @tool
    async def act(text: str) -> int:
        """Act."""
        return int(text)

    executor = live(act)
    report = await run(executor, act, text="four")
    assert report.outcome == "exception"
    assert report.result.is_error
    text = said(report)
    assert text.startswith("Tool 'act' failed: ValueError: invalid literal for int() with base 10: 'four'")
    assert "test_output.py, line " in text
    assert "return int(text)" in text
    assert "Traceback" not in text
    await executor.aclose()


async def test_a_huge_message_is_cut_and_an_unreadable_one_survived() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @tool
    async def act(mute: bool) -> int:
        """Act."""
        if mute:
            raise Mute
        raise ValueError("x" * 100_000)

    executor = live(act)
    assert len(said(await run(executor, act, mute=False))) < 3_000
    assert "Mute: (its message could not be read)" in said(await run(executor, act, mute=True))
    await executor.aclose()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (None, ""),
        (3.5, "3.5"),
        ([1, "zwei", {"drei": None}], '[1,"zwei",{"drei":null}]'),
        (sample_tools.Point(x=1), '{"x":1,"y":0}'),
        ("grüße \ud800 end", "grüße ? end"),
    ],
    ids=["text", "none", "number", "nested", "model", "surrogate"],
)
async def test_a_returned_value_becomes_text(value: Any, expected: str) -> None:
    @tool
    async def act() -> Any:
        """Act."""
        return value

    executor = live(act)
    report = await run(executor, act)
    assert (said(report), report.outcome) == (expected, "ok")
    report.result.model_dump_json()
    await executor.aclose()


@pytest.mark.parametrize(
    ("value", "problem"), [(b"raw", "it returned bytes"), (object(), "it returned object, which has no JSON form")]
)
async def test_a_value_without_a_form_for_the_model_is_a_failed_call(value: Any, problem: str) -> None:
    @tool
    async def act() -> Any:
        """Act."""
        return value

    executor = live(act)
    report = await run(executor, act)
    assert report.outcome == "exception"
    assert problem in said(report)
    await executor.aclose()


async def test_output_over_its_limit_is_an_error_with_head_and_tail(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.count_to, number=30)
    assert (report.outcome, said(report)) == ("ok", "0123456789" * 3)
    report = await run(executor, sample_tools.count_to, number=1_000)
    assert report.outcome == "too_large"
    assert report.result.is_error
    assert "1,000 characters, over its limit of 30" in said(report)
    assert "01234567890123456789\n[... 970 characters left out ...]\n0123456789" in said(report)


async def test_images_are_kept_up_to_their_own_limit() -> None:
    @tool(output_limit=10)
    async def act(size: int) -> ImageBlock:
        """Act."""
        return ImageBlock(media_type="image/png", data="a" * size)

    executor = live(act)
    report = await run(executor, act, size=1_000)
    assert report.outcome == "ok"
    assert len(report.result.content) == 1
    assert (await run(executor, act, size=IMAGE_LIMIT + 1)).outcome == "too_large"
    await executor.aclose()


async def test_s16_a_compact_summary_is_made_from_input_and_output() -> None:
    def summary(values: Any, output: Any) -> str:
        return f"{values['count']} asked, {len(output)} got"

    @tool(compact_summary=summary)
    async def several(count: int) -> list[int]:
        """Act."""
        return list(range(count))

    @tool(compact_summary="{path}, {lines} lines: {output:.5}")
    async def read(path: str, lines: int = 7) -> str:
        """Act."""
        return f"contents of {path}"

    @tool(compact_summary=lambda values, output: 1 / 0)  # type: ignore[arg-type, return-value]
    async def broken() -> str:
        """Act."""
        return "fine"

    executor = live(several, read, broken)
    assert (await run(executor, several, count=2)).result.compact_summary == "2 asked, 2 got"
    assert (await run(executor, read, path="a.txt")).result.compact_summary == "a.txt, 7 lines: conte"
    report = await run(executor, broken)
    assert (said(report), report.outcome, report.result.compact_summary) == ("fine", "ok", None)
    await executor.aclose()


async def test_blocks_and_values_that_are_mixed_keep_their_order(executor: LocalToolExecutor) -> None:
    report = await run(executor, sample_tools.picture)
    content = report.result.content
    assert isinstance(content, tuple)
    assert [block.kind for block in content] == ["text", "image", "text", "text"]
    assert [block.text for block in content if isinstance(block, TextBlock)] == ["look", "and", '{"more":1}']
