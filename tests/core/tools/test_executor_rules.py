"""Any order of calls, cancellations and ends: each call is reported once, or cancelled and never reported."""

import asyncio
from collections import Counter
from typing import Literal, get_args

from hypothesis import given
from hypothesis import strategies as st

from agent_core.ports import ToolReport
from agent_core.tools import ExecutorOptions, LocalToolExecutor, tool
from agent_core.tools.lanes import Lanes
from tests.core.tools.harness import Inbox, invocation

Behaviour = Literal["answer", "fail", "wait", "ignore", "cancel itself", "too much", "bad input"]
KEYS = st.integers(0, 7)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), KEYS, st.sampled_from(get_args(Behaviour))),
        st.tuples(st.just("cancel"), KEYS, st.just("")),
        st.tuples(st.just("pass"), KEYS, st.just("")),
    ),
    max_size=25,
)


async def play(steps: list[tuple[str, int, str]], slots: int) -> None:
    gate = asyncio.Event()

    @tool(output_limit=10, idempotent=True)
    async def act(behaviour: Behaviour) -> str:
        """Behave."""
        match behaviour:
            case "fail":
                raise ValueError("no")
            case "wait":
                await gate.wait()
            case "ignore":
                while not gate.is_set():
                    try:
                        await gate.wait()
                    except asyncio.CancelledError:
                        continue
            case "cancel itself":
                raise asyncio.CancelledError
            case "too much":
                return "x" * 11
            case _:
                await asyncio.sleep(0)
        return "fine"

    executor = LocalToolExecutor(ExecutorOptions(slots=slots, children=1, max_children=1), tools=[act])
    inbox = Inbox()
    expected: Counter[str] = Counter()
    under_way: set[str] = set()

    def deliver(report: ToolReport) -> None:
        under_way.remove(report.key)
        inbox.deliver(report)

    for what, number, behaviour in steps:
        key = f"s1/{number}"
        if what == "run":
            if key not in under_way:
                expected[key] += 1
                under_way.add(key)
            executor.dispatch([invocation(act, key, behaviour=behaviour)], deliver)
        elif what == "cancel":
            if key in under_way:
                expected[key] -= 1
                under_way.discard(key)
            executor.cancel([key])
        else:
            await asyncio.sleep(0)
        assert executor.status.running <= slots
    gate.set()
    await inbox.wait_for(sum(expected.values()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert Counter(report.key for report in inbox.reports) == +expected
    assert (executor.status.running, executor.status.queued, executor.status.leaving) == (0, 0, 0)
    await executor.aclose()


@given(steps=STEPS, slots=st.integers(1, 4))
def test_every_call_is_reported_once_or_cancelled_and_never(steps: list[tuple[str, int, str]], slots: int) -> None:
    asyncio.run(play(steps, slots))


@given(
    steps=st.lists(st.tuples(st.sampled_from(["loop", "child", "next", "remove"]), st.integers(0, 30)), max_size=60),
    slots=st.integers(1, 5),
    processes=st.integers(1, 5),
)
def test_lanes_keep_their_order_and_their_limits(steps: list[tuple[str, int]], slots: int, processes: int) -> None:
    lanes = Lanes(slots, processes)
    queued: dict[str, list[str]] = {"loop": [], "child": []}
    running: dict[str, str] = {}
    for number, (what, chosen) in enumerate(steps):
        if what in queued:
            lanes.add(f"key{number}", synchronous=what == "child")
            queued[what].append(f"key{number}")
        elif what == "remove":
            known = [*running, *queued["loop"], *queued["child"]]
            if known:
                key = known[chosen % len(known)]
                lanes.remove(key)
                running.pop(key, None)
                for waiting in queued.values():
                    if key in waiting:
                        waiting.remove(key)
        else:
            in_child = sum(lane == "child" for lane in running.values())
            may = {"loop": bool(queued["loop"]), "child": bool(queued["child"]) and in_child < processes}
            key = lanes.next()
            if len(running) >= slots or not any(may.values()):
                assert key is None
                continue
            assert key in {queued[lane][0] for lane in may if may[lane]}
            lane = "loop" if key in queued["loop"] else "child"
            assert key == queued[lane].pop(0)
            running[key] = lane
        assert lanes.running == len(running) <= slots
