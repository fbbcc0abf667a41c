"""Branches: sessions that an agent opens beside its own, for the same sample."""

from collections.abc import Mapping

from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.entries import Opened
from agent_core.evaluation.attended import AttendedSession
from agent_core.evaluation.identity import branch_id_of
from agent_core.evaluation.limits import SampleLimits
from agent_core.evaluation.sample import Sample
from agent_core.local_session import LocalSession
from agent_core.messages import SessionId, TurnId, Usage, UserMessage
from agent_core.session_protocol import Session
from agent_core.testing import Says
from tests.core.evaluation.test_runner import World, samples

BEFORE = (
    UserMessage(id="1", session_id=SessionId(""), turn_id=TurnId("u1"), content=(TextBlock(text="Said elsewhere."),)),
)


class Branched(World):
    """Sessions that begin with what their sample says was said before."""

    async def open(self, session_id: SessionId, labels: Mapping[str, str], sample: Sample) -> LocalSession:
        self.opened.append(session_id)
        config = SessionConfig(model="local/fake")
        opened = Opened(config=config, labels=dict(labels), history=sample.history)
        return LocalSession(await self.host.open(session_id, opened, reopen=True), self.host)


async def twice(session: Session, sample: Sample) -> str:
    """Asks its own session, and another one besides."""
    assert isinstance(session, AttendedSession)
    answer = await session.ask(sample.input)
    branch = await session.branch(1, BEFORE)
    return f"{answer} / {await branch.ask('And here?')}"


async def test_what_is_said_in_a_branch_is_told_and_counted_with_its_sample() -> None:
    world = Branched()
    await world.runner(twice).run(samples(1))
    (result,) = world.results
    assert result.outcome == "completed", result.error
    main, branch = world.opened
    assert branch == branch_id_of(main, 1)
    assert [message.session_id for message in result.transcript or ()] == [main, main, branch, branch, branch]
    parts = [await LocalSession(await world.host.open(one), world.host).status() for one in (main, branch)]
    assert result.usage == parts[0].usage.total + parts[1].usage.total
    assert all(part.state == "closed" for part in parts)


async def test_an_agent_that_is_run_again_finds_its_branch_and_asks_nothing_twice() -> None:
    first, second = Branched(), Branched()
    await first.runner(twice).run(samples(1))
    second.journal, second.host = first.journal, first.host
    await second.runner(twice).run(samples(1))
    assert second.results[0].answer == first.results[0].answer
    assert len(first.model.requests) == 2
    assert second.opened == first.opened


async def test_a_limit_that_is_hit_in_a_branch_ends_the_sample() -> None:
    much = Says("Much.", usage=Usage(output_tokens=5_000))
    world = Branched(lambda question, _: much if "elsewhere" in question else None)
    await world.runner(twice, limits=SampleLimits(tokens=1_000)).run(samples(1))
    (result,) = world.results
    assert (result.outcome, result.limit) == ("limit_hit", "tokens")


def test_a_branch_is_placed_where_its_session_is() -> None:
    assert branch_id_of(SessionId("r.q.e1.a1.abc@3"), 2) == "r.q.e1.a1.abc.b2@3"
    assert branch_id_of(SessionId("r.q.e1.a1.abc"), 2) == "r.q.e1.a1.abc.b2"
