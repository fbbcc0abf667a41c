"""The response cache: what was answered before is answered alike without the model, in its scope and for its time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_core.clock import SystemClock
from agent_core.config import ResponseCache
from agent_core.errors import ProviderError
from agent_core.local_session import LocalSession
from agent_core.messages import AssistantMessage, Usage
from agent_core.response_cache import CachingModel
from agent_core.testing import Says
from tests.core.playbook import LOOKUP
from tests.core.stage import Stage

CALLS = Says("let me look", calls=[("lookup", {"q": "x"})], thinking="hm")


class Later(SystemClock):
    """A clock that is `ahead` of the files' times, in seconds."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.fixture
def clock() -> Later:
    return Later()


def cached(stage: Stage, clock: Later) -> Stage:
    """The stage, with a cache in front of its model."""
    stage.host = stage.another_host(model=CachingModel(stage.model, clock))
    return stage


async def asked(stage: Stage, id: str, directory: Path, **cache: Any) -> LocalSession:
    """A session that has asked for the one thing there is to ask."""
    session = await stage.session(id, LOOKUP, cache=ResponseCache(directory=str(directory), **cache))
    await session.ask("q")
    return session


def answers(session_history: Iterator[Any]) -> list[list[Any]]:
    """The blocks of every answer."""
    return [list(message.content) for message in session_history if isinstance(message, AssistantMessage)]


async def test_the_same_conversation_is_held_again_without_the_model_and_costs_nothing(
    tmp_path: Path, clock: Later
) -> None:
    stage = cached(Stage(CALLS, Says("found it"), functions={"lookup": lambda _: "it"}), clock)
    first = await asked(stage, "a", tmp_path)
    again = await asked(stage, "b", tmp_path)
    assert len(stage.model.requests) == 2
    assert answers(iter(await again.history())) == answers(iter(await first.history()))
    paid, free = (await first.status()).usage.total, (await again.status()).usage.total
    assert paid.saved_tokens == 0
    assert free == Usage(saved_tokens=paid.context_tokens)
    assert (await again.status()).context_used == (await first.status()).context_used
    assert len(stage.tools.ran) == 2


@pytest.mark.parametrize(
    "other", [{"scope": "epoch 2"}, {"directory": "elsewhere"}], ids=["another scope", "another directory"]
)
async def test_another_scope_or_directory_asks_anew(tmp_path: Path, clock: Later, other: dict[str, str]) -> None:
    stage = cached(Stage(Says("one"), Says("two")), clock)
    await asked(stage, "a", tmp_path)
    directory = tmp_path / other.pop("directory", "")
    session = await asked(stage, "b", directory, **other)
    assert len(stage.model.requests) == 2
    assert answers(iter(await session.history()))[0][0].text == "two"


async def test_an_answer_that_is_too_old_or_broken_is_asked_for_again(tmp_path: Path, clock: Later) -> None:
    stage = cached(Stage(Says("one"), Says("two"), Says("three")), clock)
    await asked(stage, "a", tmp_path, max_age=60.0)
    clock.ahead = 61.0
    await asked(stage, "b", tmp_path, max_age=60.0)
    assert len(stage.model.requests) == 2
    (kept,) = tmp_path.glob("*/*.json")
    kept.write_text(kept.read_text()[:20])
    await asked(stage, "c", tmp_path)
    assert len(stage.model.requests) == 3
    assert json.loads(kept.read_text())


async def test_what_is_no_whole_answer_is_not_kept(tmp_path: Path, clock: Later) -> None:
    stage = cached(Stage(Says(error=ProviderError("no", "server")), Says("fine")), clock)
    with pytest.raises(ProviderError):
        await asked(stage, "a", tmp_path)
    assert not list(tmp_path.glob("*/*"))
    await asked(stage, "b", tmp_path)
    assert len(list(tmp_path.glob("*/*"))) == 1


async def test_a_directory_that_cannot_be_written_costs_the_cache_and_not_the_answer(
    tmp_path: Path, clock: Later, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    stage = cached(Stage(Says("fine")), clock)
    session = await asked(stage, "a", tmp_path / "file")
    assert answers(iter(await session.history()))[0][0].text == "fine"
    assert "could not be kept" in caplog.text
    assert "fine" not in caplog.text


async def test_without_a_cache_nothing_is_kept(tmp_path: Path, clock: Later) -> None:
    stage = cached(Stage(Says("one"), Says("two")), clock)
    for id in ("a", "b"):
        await (await stage.session(id)).ask("q")
    assert len(stage.model.requests) == 2
    assert not list(tmp_path.iterdir())
