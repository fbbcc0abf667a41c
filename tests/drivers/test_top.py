"""`python -m drivers.top`: keys, tables, an open session and trouble, all at 80 columns; one snapshot without a screen.

The screen is driven over a cluster that has what the test says; `tests/actors/test_looking.py` has a real one.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import DataTable, RichLog, Static

from agent_core.cluster_snapshot import ActorLine, ClusterSnapshot, NodeLine
from agent_core.content import TextBlock, ToolResultBlock, ToolUseBlock
from agent_core.cursor import Cursor, Event
from agent_core.entries import Accepted, Complete, FromLLMPayload, ToolSettled, TurnEnded
from agent_core.errors import PlacementError
from agent_core.glance import GlanceRequest, SessionLine, first_of
from agent_core.messages import AssistantMessage, SessionId, TurnId
from agent_core.payloads import InterruptMode, SessionState, TextChunk, UserInput
from agent_core.process_figures import ProcessFigures
from agent_core.status import CompactResult
from agent_core.tally import Totals
from drivers.watching.app import Top
from drivers.watching.plain import as_data, as_text
from drivers.watching.session_screen import SessionScreen
from tests.drivers.forked import ForkServer
from tests.drivers.test_bad_input import User

T1 = TurnId("u1")
NARROW = (80, 24)


def line(session_id: str, state: SessionState = "idle", *, at: float = 0.0, **more: Any) -> SessionLine:
    """A session of the runtime `demo`."""
    model = "anthropic/claude-test"
    where = {"runtime": "demo", "actor": "sessions/0"}
    return SessionLine(session_id=SessionId(session_id), state=state, model=model, used_at=at, **{**where, **more})


class FakeCluster:
    """A cluster that has what a test puts into it, and notes what it is asked and told."""

    def __init__(self, *lines: SessionLine) -> None:
        self.lines = list(lines)
        self.runtimes: tuple[str, ...] = ("demo",)
        self.actors = [actor("router/0"), actor("sessions/0", sessions=len(lines))]
        self.turns = 0
        self.trouble: Exception | None = None
        self.asked: list[tuple[GlanceRequest, str | None]] = []
        self.told: list[tuple[str, ...]] = []
        self.events: asyncio.Queue[FromLLMPayload | Exception | None] = asyncio.Queue()

    async def snapshot(self, asked: GlanceRequest, runtime: str | None) -> ClusterSnapshot:
        self.asked.append((asked, runtime))
        if self.trouble is not None:
            raise self.trouble
        found = [line for line in self.lines if line.session_id.startswith(asked.search)]
        found = [line for line in found if not asked.states or line.state in asked.states]
        states: dict[SessionState, int] = {}
        for each in self.lines:
            states[each.state] = states.get(each.state, 0) + 1
        totals = Totals(turns=self.turns, input_tokens=12_345_678, output_tokens=1_234_567, rate_limited=7, retries=9)
        return ClusterSnapshot(
            at=1000.0 + len(self.asked),
            address="10.0.0.1:6379",
            runtimes=self.runtimes,
            nodes=(NodeLine(node_id="n1", address="10.0.0.1", cpus=16, memory=64_000_000_000, memory_used=10**10),),
            actors=tuple(each.model_copy(update={"totals": totals if each.sessions is not None else None})
                         for each in self.actors),
            states=states,
            matching=len(found),
            sessions=first_of(found, asked),
            also=tuple(line for line in self.lines if line.session_id == asked.also),
        )  # fmt: skip

    async def watch(self, line: SessionLine) -> AsyncIterator[Event]:
        self.told.append(("watch", line.session_id, line.actor))
        while (payload := await self.events.get()) is not None:
            if isinstance(payload, Exception):
                raise payload
            yield Event(Cursor(), payload)

    async def interrupt(self, line: SessionLine, mode: InterruptMode) -> bool:
        self.told.append(("interrupt", line.session_id, mode))
        return True

    async def compact(self, line: SessionLine) -> CompactResult:
        self.told.append(("compact", line.session_id))
        return CompactResult(compacted=True, tokens_before=4000, tokens_after=900)


def actor(name: str, *, sessions: int | None = None, answering: bool = True, state: str = "alive") -> ActorLine:
    """An actor of the runtime `demo`."""
    process = ProcessFigures(pid=77, memory=123_000_000, cpu_seconds=1.0)
    return ActorLine(
        name=name, runtime="demo", kind=name.partition("/")[0], state=state, node_id="n1", pid=77, answering=answering,
        process=process, sessions=sessions,
    )  # fmt: skip


class Seat:
    """Somebody in front of the screen."""

    def __init__(self, app: Top, pilot: Pilot[Any], cluster: FakeCluster) -> None:
        self.app, self.pilot, self.cluster = app, pilot, cluster

    def text(self, name: str) -> str:
        """What stands in a part of the screen in front."""
        return str(self.app.screen.query_one(f"#{name}", Static).render())

    def rows(self, name: str = "sessions") -> list[list[str]]:
        """The cells of a table."""
        table = self.app.screen_stack[0].query_one(f"#{name}", DataTable)
        return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]

    def log(self) -> str:
        return "\n".join(strip.text.rstrip() for strip in self.app.screen.query_one("#told", RichLog).lines)

    async def until(self, claim: Callable[[], object]) -> None:
        """Have the screen look again until the claim holds; the test's own time-out ends it otherwise."""
        while not claim():
            self.app.look_now()
            await asyncio.sleep(0.02)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def looks_again(self) -> None:
        """Wait until a whole snapshot has come since."""
        seen = len(self.cluster.asked)
        await self.until(lambda: len(self.cluster.asked) >= seen + 2)

    async def opens(self, session_id: str) -> None:
        await self.until(lambda: any(row[0] == session_id for row in self.rows()))
        await self.press("enter")
        await self.until(lambda: self.cluster.told)
        await self.until(lambda: self.screen.is_mounted)

    @property
    def screen(self) -> Screen[Any]:
        return self.app.screen


@asynccontextmanager
async def seated(cluster: FakeCluster, size: tuple[int, int] = NARROW, **more: Any) -> AsyncGenerator[Seat]:
    """The screen over this cluster."""
    app = Top(cluster, interval=60, **more)
    async with app.run_test(size=size) as pilot:
        yield Seat(app, pilot, cluster)


async def test_figures_and_tables_fit_80_columns_and_say_what_the_cluster_does() -> None:
    cluster = FakeCluster(
        line(
            "a-busy-session-of-somebody", "running", at=1000, context_used=90_000, context_limit=200_000, turns=12_345
        ),
        *(line(f"idle-{number:02d}") for number in range(30)),
    )
    async with seated(cluster) as seat:
        await seat.until(lambda: len(seat.rows()) == 31)
        cluster.turns = 4
        await seat.until(lambda: "/s (4)" in seat.text("figures"))
        assert "sessions 31: 1 running, 30 idle" in seat.text("figures")
        assert "429s 0/s (7)  retries 0/s (9)" in seat.text("figures")
        assert "tokens in 0/s (12.3M), out 0/s (1.2M)" in seat.text("figures")
        assert seat.rows()[0][:6] == ["a-busy-session-of-somebo…", "running", "12k", "", "90k 45%", "0/0"]
        assert max(len(row) for row in (seat.text("title"), *seat.text("figures").splitlines())) <= 80
        table = seat.app.screen.query_one("#sessions", DataTable)
        assert table.virtual_size.width <= 80


async def test_actors_and_nodes_have_tables_and_one_that_is_silent_is_called_so() -> None:
    cluster = FakeCluster(line("a"))
    cluster.actors += [actor("tools/0", answering=False), actor("sessions/1", answering=False, state="restarting")]
    async with seated(cluster) as seat:
        await seat.press("2")
        await seat.until(lambda: seat.rows("actors") and seat.rows("actors")[0][5] == "0%")
        states = {row[0]: row[1] for row in seat.rows("actors")}
        assert states == {"router/0": "ok", "sessions/0": "ok", "tools/0": "silent", "sessions/1": "restarts"}
        assert seat.rows("actors")[0][2:5] == ["10.0.0.1", "77", "123 MB"]
        assert "2 silent" in seat.text("tabs")
        assert seat.screen.query_one("#actors", DataTable).virtual_size.width <= 80
        await seat.press("3")
        assert seat.rows("nodes")[0][:5] == ["10.0.0.1", "up", "16", "0.0", "10.0 GB of 64.0 GB"]


async def test_search_filter_sort_and_runtime_are_asked_of_the_cluster() -> None:
    cluster = FakeCluster(line("ab"), line("abc", "running"), line("x"))
    cluster.runtimes = ("demo", "other")
    async with seated(cluster) as seat:
        await seat.until(lambda: len(seat.rows()) == 3)
        assert "2 runtimes: demo, other" in seat.text("title")
        await seat.press("slash", "a", "b", "enter")
        await seat.until(lambda: [row[0] for row in seat.rows()] == ["ab", "abc"])
        await seat.press("f")
        await seat.until(lambda: [row[0] for row in seat.rows()] == ["abc"])
        assert "state running  search ab" in seat.text("tabs")
        await seat.press("s", "r")
        await seat.looks_again()
        assert cluster.asked[-1] == (GlanceRequest(search="ab", states=("running",), order="id"), "demo")
        await seat.press("escape")
        await seat.looks_again()
        assert cluster.asked[-1][0].search == ""


async def test_the_row_that_was_chosen_stays_chosen_when_the_order_changes() -> None:
    cluster = FakeCluster(line("a", at=3), line("b", at=2), line("c", at=1))
    async with seated(cluster) as seat:
        await seat.until(lambda: len(seat.rows()) == 3)
        await seat.press("down")
        cluster.lines = [line("a", at=3), line("b", at=9), line("c", at=10)]
        await seat.until(lambda: [row[0] for row in seat.rows()] == ["c", "b", "a"])
        cluster.lines = [line("a", at=3), line("b", at=1), line("c", at=10)]
        await seat.until(lambda: [row[0] for row in seat.rows()] == ["c", "a", "b"])
        await seat.press("enter")
        await seat.until(lambda: cluster.told)
        assert cluster.told == [("watch", "b", "sessions/0")]


def answer(*blocks: Any) -> Complete:
    message = AssistantMessage(
        id="m1", session_id=SessionId("s"), turn_id=T1, provider="anthropic", model="claude-test", content=blocks
    )
    return Complete(turn_id=T1, message=message, stop_reason="end_turn")


async def test_an_open_session_is_told_as_it_happens() -> None:
    cluster = FakeCluster(line("s", "running", labels={"team": "x"}))
    async with seated(cluster) as seat:
        await seat.opens("s")
        tell = cluster.events.put_nowait
        tell(Accepted(turn_id=T1, payload=UserInput.of("What is \x1b[31mit?")))
        for piece in ("It is ", "on its ", "way"):
            tell(TextChunk(turn_id=T1, index=0, text=piece))
        await seat.until(lambda: "It is on its way" in seat.text("live"))
        assert "› What is �[31mit?" in seat.log()
        tell(answer(TextBlock(text="It is here."), ToolUseBlock(id="c1", name="look", input={"q": 1})))
        tell(ToolSettled(turn_id=T1, result=ToolResultBlock(tool_use_id="c1", content="no"), outcome="timeout"))
        tell(TurnEnded(turn_id=T1, outcome="completed"))
        await seat.until(lambda: "u1 completed" in seat.log())
        assert seat.text("live") == ""
        assert 'It is here.\n→ look {"q": 1}\n← look (timeout) no\n── u1 completed' in seat.log()
        assert "team=x" in seat.text("about")
        tell(PlacementError("The actor 'sessions/0' is gone; what was accepted is in the journal."))
        await seat.until(lambda: "sessions/0' is gone" in seat.log())


async def test_a_session_that_moves_or_wakes_is_watched_again_and_one_at_rest_is_called_so() -> None:
    cluster = FakeCluster(line("s"))
    async with seated(cluster) as seat:
        await seat.opens("s")
        cluster.lines = []
        await seat.until(lambda: "at rest" in seat.text("title"))
        cluster.events.put_nowait(None)
        await seat.until(lambda: "at rest: whoever" in seat.log())
        cluster.lines = [line("s", "running", actor="sessions/1")]
        await seat.until(lambda: len(cluster.told) == 2)
        assert cluster.told[-1] == ("watch", "s", "sessions/1")
        await seat.until(lambda: "running" in seat.text("title"))


@pytest.mark.parametrize(
    ("key", "told"), [("k", [("interrupt", "s", "keep")]), ("d", [("interrupt", "s", "discard")]), ("escape", [])]
)
async def test_an_interrupt_asks_how(key: str, told: list[tuple[str, ...]]) -> None:
    cluster = FakeCluster(line("s", "running"))
    async with seated(cluster) as seat:
        await seat.opens("s")
        await seat.press("i")
        assert "Interrupt s?" in seat.text("box")
        await seat.press(key)
        await seat.until(lambda: isinstance(seat.screen, SessionScreen))
        await seat.looks_again()
        assert cluster.told[1:] == told


async def test_compact_tells_what_came_of_it_and_escape_leads_back() -> None:
    cluster = FakeCluster(line("s"))
    async with seated(cluster) as seat:
        await seat.opens("s")
        await seat.press("c")
        said = "compacted: 4.0k to 900 tokens"
        await seat.until(lambda: said in [notice.message for notice in seat.app._notifications])
        assert cluster.told[1:] == [("compact", "s")]
        await seat.press("escape")
        await seat.looks_again()
        assert len(seat.app.screen_stack) == 1
        assert cluster.asked[-1][0].also is None


async def test_a_cluster_that_goes_away_is_told_with_how_old_the_figures_are_and_asked_again() -> None:
    cluster = FakeCluster(line("s"))
    async with seated(cluster) as seat:
        await seat.until(seat.rows)
        cluster.trouble = PlacementError("The head of the Ray cluster does not answer any more.")
        await seat.until(lambda: "does not answer any more" in " ".join(seat.text("figures").split()))
        assert "s ago" in seat.text("figures")
        cluster.trouble = RuntimeError("Ray was shut down")
        await seat.until(lambda: "RuntimeError: Ray was shut down" in seat.text("figures"))
        cluster.trouble = None
        await seat.until(lambda: "429s" in seat.text("figures"))


async def test_nothing_there_and_a_runtime_that_is_not_there_are_said() -> None:
    cluster = FakeCluster()
    cluster.actors, cluster.runtimes = [], ()
    async with seated(cluster) as seat:
        await seat.until(lambda: "no runtime on this cluster yet" in seat.text("title"))
        await seat.press("enter", "2", "enter", "s", "f", "r")
        cluster.runtimes = ("demo",)
        await seat.until(lambda: "runtime demo" in seat.text("title"))
    async with seated(cluster, runtime="missing") as seat:
        await seat.until(lambda: "no runtime 'missing' here; there are: demo" in seat.text("title"))


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
async def test_it_is_left_by_q_and_by_ctrl_c_over_any_screen(key: str, code: int) -> None:
    cluster = FakeCluster(line("s"))
    async with seated(cluster) as seat:
        if code:
            await seat.opens("s")
            await seat.press("i")
        else:
            await seat.press("question_mark")
            assert "quit" in seat.text("box")
            await seat.press("escape")
        await seat.press(key)
        await seat.until(lambda: not seat.app.is_running)
        assert seat.app.return_code == code


async def test_it_is_drawn_on_a_tiny_terminal_and_again_on_a_large_one() -> None:
    cluster = FakeCluster(line("s", "running", at=990))
    async with seated(cluster, size=(20, 5)) as seat:
        await seat.until(seat.rows)
        await seat.pilot.resize_terminal(160, 50)
        await seat.until(lambda: seat.rows() and seat.rows()[0][-1] == "claude-test")
        assert seat.app.screen.size == (160, 50)


# --- without a screen -------------------------------------------------------------------------------------------------


async def test_the_plain_text_fits_80_columns_and_says_what_it_leaves_out() -> None:
    cluster = FakeCluster(*(line(f"a-session-with-a-long-name-{number:05d}", "running") for number in range(30)))
    cluster.runtimes = ("demo", "a-runtime-with-a-name")
    snapshot = await cluster.snapshot(GlanceRequest(limit=4), None)
    text = as_text(snapshot, None)
    assert max(map(len, text.splitlines())) <= 80
    assert "2 runtimes: demo, a-runtime-with-a-name" in text
    assert "one of them alone: --name demo" in text
    assert "26 more: --limit shows more of them" in text
    assert text.count("a-session-with-a-long-name-") == 4
    assert "429s 7  retries 9" in text
    data = json.loads(json.dumps(as_data(snapshot)))
    assert (data["totals"]["rate_limited"], data["matching"], len(data["sessions"])) == (7, 30, 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--once"),
        (("--json",), "--json goes with --once"),
        (("--once", "--state", "busy"), "awaiting_tools"),
        (("--once", "--sort", "size"), "Choose one of recent"),
        (("--once", "--limit", "1001"), "from 0 to 1000"),
        (("--interval", "0"), "0.2 seconds or more"),
        (("--once", "--address", "127.0.0.1:1"), "nothing listens there). Say which cluster to look at: --address"),
        (("--once", "--address", "local"), "--address: a local cluster that is started anew has nothing to see"),
        (("--once", "--address", "nowhere"), "--address: 'nowhere' is no address of a cluster"),
    ],
)
async def test_what_cannot_be_shown_is_said_with_what_to_do(
    tmp_path: Path, repository: Path, forks: ForkServer, arguments: tuple[str, ...], said: str
) -> None:
    assert said in await User(tmp_path, repository, forks).refused("drivers.top", *arguments)
