"""Metering turns what sessions do into numbers of bounded kinds, each thing counted once, whatever becomes of it."""

import asyncio
from itertools import count

import pytest

from agent_core.errors import Fenced, ProviderError
from agent_core.messages import Usage
from agent_core.metering import instruments as what
from agent_core.metering.instruments import INSTRUMENTS
from agent_core.metering.journal import JournalMeter
from agent_core.metering.ledger import Ledger, Names
from agent_core.metering.observer import Metering
from agent_core.metering.sampling import sample
from agent_core.metering.summaries import MeteredModel
from agent_core.observing import Observers
from agent_core.testing import FakeModel, Says
from tests.core.playbook import LOOKUP
from tests.core.providers.making import config, request
from tests.core.stage import Stage, until


def metered(stage: Stage, owner: str = "local") -> Ledger:
    """The stage's sessions from now on, measured by a clock that moves a second with each look."""
    ledger, ticks = Ledger(), count()
    stage.host = stage.another_host(owner, observer=Observers(Metering(ledger, lambda: float(next(ticks)))))
    return ledger


def told(ledger: Ledger) -> dict[str, float]:
    """What was measured and is not zero."""
    return {name: value for name, value in ledger.totals().items() if value}


async def test_a_turn_with_a_tool_is_counted_with_its_tokens_its_call_and_its_waits() -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=7)
    stage = Stage(
        Says("look", calls=[("lookup", {"q": "x"})], usage=usage),
        Says("found", usage=usage),
        functions={"lookup": lambda _: "it"},
    )
    ledger = metered(stage)
    session = await stage.session("s", LOOKUP)
    await session.ask("q")
    numbers = told(ledger)
    fake = "provider=local,model=fake"
    assert numbers[f"rayconteur_turns{{{fake},outcome=completed}}"] == 1
    assert numbers[f"rayconteur_turn_seconds_count{{{fake}}}"] == 1
    assert numbers["rayconteur_queue_seconds_count{queue=mailbox}"] == 1
    assert numbers[f"rayconteur_first_token_seconds_count{{{fake}}}"] == 2
    assert numbers[f"rayconteur_first_token_seconds_sum{{{fake}}}"] == 2.0
    assert numbers[f"rayconteur_provider_requests{{{fake},status=2xx,kind=ok}}"] == 2
    assert numbers[f"rayconteur_tokens{{{fake},direction=input,purpose=turn}}"] == 200
    assert numbers[f"rayconteur_tokens{{{fake},direction=cache_read,purpose=turn}}"] == 14
    assert numbers["rayconteur_tool_calls{tool=lookup,outcome=ok}"] == 1
    assert numbers["rayconteur_tool_seconds_count{tool=lookup}"] == 1
    assert "rayconteur_turns_resumed" not in numbers


async def test_a_known_price_makes_a_cost_and_an_unknown_one_is_counted() -> None:
    usage = Usage(input_tokens=1_000_000)
    stage = Stage(Says("a", usage=usage), Says("b", usage=usage))
    ledger = metered(stage)
    known = await stage.session("known", model="anthropic/claude-sonnet-4-5", api_key="env:NO_KEY")
    await known.ask("q")
    unknown = await stage.session("unknown", model="anthropic/nobody-knows", api_key="env:NO_KEY")
    await unknown.ask("q")
    numbers = told(ledger)
    assert numbers["rayconteur_cost_dollars{provider=anthropic,model=claude-sonnet-4-5,purpose=turn}"] > 0
    assert numbers["rayconteur_unpriced_requests{provider=anthropic,model=nobody-knows}"] == 1


async def test_an_answer_out_of_the_response_cache_is_no_request_and_costs_nothing() -> None:
    stage = Stage(Says("known", usage=Usage(saved_tokens=50)))
    ledger = metered(stage)
    session = await stage.session("s")
    await session.ask("q")
    numbers = told(ledger)
    assert numbers["rayconteur_tokens{provider=local,model=fake,direction=saved,purpose=turn}"] == 50
    assert not [name for name in numbers if "provider_requests" in name or "unpriced" in name or "cost" in name]


async def test_names_that_a_model_makes_up_are_one_tool() -> None:
    calls = [(f"made-up-{number}", {}) for number in range(5)]
    stage = Stage(Says("hm", calls=calls), Says("sorry"))
    ledger = metered(stage)
    session = await stage.session("s", LOOKUP)
    await session.ask("q")
    tools = {name: value for name, value in told(ledger).items() if "tool" in name}
    assert tools == {"rayconteur_tool_calls{tool=unknown,outcome=unknown_tool}": 5}


def test_of_too_many_names_the_later_ones_are_other() -> None:
    names = Names(2)
    assert [names.of(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


async def test_a_failed_call_is_a_request_of_its_status_and_a_failed_turn() -> None:
    stage = Stage(Says(error=ProviderError("slow down", "rate_limit", 429)))
    ledger = metered(stage)
    session = await stage.session("s")
    with pytest.raises(ProviderError):
        await session.ask("q")
    numbers = told(ledger)
    fake = "provider=local,model=fake"
    assert numbers[f"rayconteur_provider_requests{{{fake},status=429,kind=rate_limit}}"] == 1
    assert numbers[f"rayconteur_turns{{{fake},outcome=failed}}"] == 1


async def test_an_interrupted_call_is_one_request_that_was_cancelled() -> None:
    stage = Stage(Says("never"))
    ledger = metered(stage)
    stage.model.gate = asyncio.Event()
    session = await stage.session("s")
    await session.submit("q")
    await session.interrupt("keep")
    cancelled = "rayconteur_provider_requests{provider=local,model=fake,status=none,kind=cancelled}"
    await until(lambda: cancelled in told(ledger))
    assert told(ledger)[cancelled] == 1
    assert told(ledger)["rayconteur_turns{provider=local,model=fake,outcome=interrupted}"] == 1


async def test_a_turn_that_another_process_began_counts_as_resumed_and_from_its_beginning() -> None:
    stage = Stage(Says("x"), Says("fine"))
    stage.model.gate = asyncio.Event()
    first = await stage.session("s")
    await first.submit("q")
    stage.clock.advance(7.0)
    ledger = metered(stage, "another")
    session = await stage.session("s", host=stage.host)
    stage.model.gate.set()
    await until(lambda: "rayconteur_turn_seconds_sum{provider=local,model=fake}" in told(ledger))
    del session
    assert told(ledger)["rayconteur_turns_resumed"] == 1
    assert told(ledger)["rayconteur_turn_seconds_sum{provider=local,model=fake}"] >= 7.0


async def test_sessions_are_sampled_by_state_and_their_mailboxes_by_depth() -> None:
    stage = Stage(Says("x"))
    stage.model.gate = asyncio.Event()
    await stage.session("idle")
    busy = await stage.session("busy")
    for message in ("a", "b", "c"):
        await busy.submit(message)
    ledger = Ledger()
    sample(stage.host, ledger)
    numbers = ledger.totals()
    assert numbers["rayconteur_sessions{state=idle}"] == 1
    assert numbers["rayconteur_sessions{state=running}"] == 1
    assert numbers["rayconteur_sessions{state=closed}"] == 0
    assert numbers["rayconteur_mailbox_messages"] == numbers["rayconteur_mailbox_deepest"] == 2


def test_a_batch_of_writes_is_measured_and_its_refusals_by_kind() -> None:
    ledger = Ledger()
    JournalMeter(ledger, "journal")([None, Fenced("too old"), None], 0.25)
    numbers = told(ledger)
    assert numbers["rayconteur_journal_seconds_sum{at=journal}"] == 0.25
    assert numbers["rayconteur_journal_batch_operations_sum{at=journal}"] == 3
    assert numbers["rayconteur_journal_refusals{at=journal,kind=Fenced}"] == 1


def test_what_is_drained_is_handed_over_once_and_begins_at_zero() -> None:
    ledger = Ledger()
    ledger.begin(what.RESUMED)
    assert [(measured.instrument, measured.values) for measured in ledger.drain()] == [(what.RESUMED, (0.0,))]
    ledger.begin(what.RESUMED)
    ledger.add(what.RESUMED, 2)
    ledger.add(what.RESUMED, 1)
    ledger.observe(what.TOOL_SECONDS, 0.5, "add")
    ledger.observe(what.TOOL_SECONDS, 1.5, "add")
    drained = [(measured.labels, list(measured.values)) for measured in ledger.drain()]
    assert drained == [({}, [3.0]), ({"tool": "add"}, [0.5, 1.5])]
    assert not ledger.drain()
    assert ledger.totals() == {
        "rayconteur_turns_resumed": 3.0,
        "rayconteur_tool_seconds_sum{tool=add}": 2.0,
        "rayconteur_tool_seconds_count{tool=add}": 2,
    }


def test_no_tag_can_hold_an_id_and_every_histogram_has_growing_boundaries() -> None:
    tags = {tag for instrument in INSTRUMENTS for tag in instrument.tags}
    assert tags == {
        "at", "direction", "kind", "model", "outcome", "provider", "purpose", "queue", "role", "state", "status",
        "strategy", "tool",
    }  # fmt: skip
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS) > 20
    for instrument in INSTRUMENTS:
        assert bool(instrument.boundaries) == (instrument.kind == "histogram")
        assert list(instrument.boundaries) == sorted(set(instrument.boundaries))


async def test_a_summarisers_attempts_are_counted_where_they_are_made_and_nothing_else_of_them() -> None:
    busy = ProviderError("later", "overloaded", 529)
    model, ledger = FakeModel([Says(error=busy), Says("a summary"), Says("never read")]), Ledger()
    metered = MeteredModel(model, ledger, lambda: 0.0)

    async def ask() -> None:
        async for _ in metered.stream(request(config("local/fake"))):
            pass

    with pytest.raises(ProviderError):
        await ask()
    await ask()
    reading = metered.stream(request(config("local/fake")))
    await anext(reading)
    await reading.aclose()
    fake = "provider=local,model=fake"
    assert told(ledger) == {
        f"rayconteur_provider_requests{{{fake},status=5xx,kind=overloaded}}": 1,
        f"rayconteur_provider_requests{{{fake},status=2xx,kind=ok}}": 1,
        f"rayconteur_provider_requests{{{fake},status=none,kind=cancelled}}": 1,
    }
