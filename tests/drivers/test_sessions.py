"""`python -m drivers.sessions` as a user runs it, on journals that real sessions wrote."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_core.entries import decode
from agent_core.errors import Fenced
from agent_core.journals import JOURNAL_FILE
from agent_core.journals.sqlite import SqliteJournal
from agent_core.messages import SessionId
from agent_core.ports import Append
from agent_core.scripted.server import ScriptedServer
from tests.core.journals.making import OPENED
from tests.core.journals.making import append as made
from tests.drivers.forked import ForkServer
from tests.drivers.sessions_world import World, lines_of, plain

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: ForkServer) -> AsyncIterator[World]:
    monkeypatch.setenv("SCRIPTED_KEY", "made-up")
    async with ScriptedServer() as server:
        yield World(server, tmp_path, forks)


async def dated(world: World, name: str, at: float) -> None:
    """A session that was made and last used at that time."""
    world.data.mkdir(exist_ok=True)
    async with SqliteJournal(world.data / JOURNAL_FILE, now=lambda: at) as journal:
        claim = await journal.claim(SessionId(name), "a test")
        (record,) = made(name, claim.epoch, 1, OPENED).records
        record = type(record)(1, claim.epoch, at, record.entry)
        assert await journal.append([Append(SessionId(name), claim.epoch, [record])]) == [None]


# --- list -------------------------------------------------------------------------------------------------------------


async def test_through_a_pipe_a_session_is_a_line_of_fields(world: World) -> None:
    await world.talk("holiday", "Where\tto\n\x1b[31mgo?", "And then?", labels={"team": "red"})
    await world.talk("work", "What is to be done?")
    done = await world.run("list")
    assert (done.code, done.err) == (0, "")
    work, holiday = [line.split("\t") for line in done.out.splitlines()]
    assert (work[0], work[1], work[-1]) == ("work", "1", "What is to be done?")
    assert holiday[:2] == ["holiday", "2"]
    assert holiday[4:] == ["anthropic/claude-test", "team=red", "Where to go?"]
    red = await world.run("list", "--label", "team=red", "--json")
    (row,) = map(json.loads, red.out.splitlines())
    assert (row["session_id"], row["turns"], row["labels"]) == ("holiday", 2, {"team": "red"})
    assert row["created_at"] <= row["updated_at"] <= time.time()


async def test_in_a_terminal_the_list_fits_its_width_and_cuts_no_id(world: World) -> None:
    long = "evaluation/2026-11-22T17:18:20/sample-00017@epoch-1"
    await world.talk(long, "Why is it so? " * 20, labels={"run": "first"})
    await world.talk("short", "Who?")
    for columns in (80, 60):
        done = await world.at_terminal("list", columns=columns)
        assert done.code == 0
        lines = lines_of(done.out)
        assert lines[0].split() == ["session", "turns", "begun", "used", "model"]
        assert max(map(len, lines)) <= columns
        assert long in lines
        assert any(line.startswith("  run=first · Why is it so?") and line.endswith("…") for line in lines)
        assert any(line.startswith("short ") and "anthropic/" in line for line in lines)


async def test_more_sessions_than_are_listed_are_told_of(world: World) -> None:
    async with world.runtime() as runtime:
        for number in range(4):
            await runtime.session(f"s{number}", **world.settings)
    done = await world.run("list", "--limit", "3")
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["s3", "s2", "s1"]
    assert "--limit" in done.err
    none = await world.run("list", "--label", "team=red")
    assert (none.code, none.out, none.err) == (0, "", "no session has these labels\n")


# --- show -------------------------------------------------------------------------------------------------------------


async def test_a_conversation_is_shown_behind_its_summary_and_in_full_on_request(world: World) -> None:
    await world.compacted("trip")
    done = await world.run("show", "trip")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert "3 earlier turns, of which the model knows this summary" in done.out
    assert "≡ summary of what was said up to u3" in done.out
    assert "› Question 0." not in done.out
    assert done.out.index("≡ summary") < done.out.index('› call look {"place": "Paris"}')
    assert '● look(place="Paris")' in done.out
    assert "… 5 more lines" in done.out
    assert "Afterwards." in done.out
    full = await world.run("show", "trip", "--full")
    assert "3 earlier turns, of which" not in full.out
    assert "Paris, line 8" in full.out
    assert full.out.index("› Question 0.") < full.out.index("● look") < full.out.index("≡ summary of what was said up")
    marks = [line.split(",")[0] for line in full.out.splitlines() if line.startswith("· u")]
    assert marks == ["· u1", "· u2", "· u3", "· u4", "· u5"]


async def test_what_was_cleared_is_shown_in_full_only(world: World) -> None:
    async with world.runtime() as runtime:
        session = await runtime.session("s", **world.settings)
        await session.ask("before")
        await session.clear()
        await session.ask("behind")
    done = await world.run("show", "s")
    assert "1 earlier turn cleared" in done.out
    assert "› before" not in done.out
    assert "› behind" in done.out
    assert "› before" in (await world.run("show", "s", "--full")).out


async def test_messages_are_shown_as_json_as_the_model_sees_them_or_all(world: World) -> None:
    await world.compacted("trip")
    seen = json.loads((await world.run("show", "trip", "--json")).out)
    assert (seen["session_id"], seen["turns"], seen["open_turn"]) == ("trip", 5, None)
    assert seen["messages"][0]["marker"] == "summary"
    every = json.loads((await world.run("show", "trip", "--json", "--full")).out)
    assert len(every["messages"]) == 12
    assert not any(message.get("marker") for message in every["messages"])


async def test_in_a_terminal_a_conversation_is_coloured_unless_that_is_refused(world: World) -> None:
    await world.talk("s", "**Hello.**")
    done = await world.at_terminal("show", "s")
    assert "\x1b[" in done.out
    assert max(map(len, lines_of(done.out))) <= 80
    world.environment["NO_COLOR"] = "1"
    assert plain(done.out) == (await world.at_terminal("show", "s")).out


# --- fork and export --------------------------------------------------------------------------------------------------


async def test_a_fork_is_a_session_that_chat_goes_on_with(world: World) -> None:
    await world.talk("trip", "one", "two", "three")
    named = await world.run("fork", "trip", "--turn", "u2", "--as", "other")
    assert (named.code, named.out) == (0, "other\n")
    assert f"python -m drivers.chat --session other --data-dir {world.data}" in named.err
    unnamed = (await world.run("fork", "trip")).out.strip()
    async with world.runtime() as runtime:
        fork = await runtime.session("other")
        assert len(await fork.history()) == 4
        assert await fork.ask("another three") == "You said: another three"
        assert len(await (await runtime.session(unnamed)).history()) == 6
    listed = await world.run("list", "--label", "forked_from=trip@u2")
    assert listed.out.startswith("other\t3\t")
    assert "'u9'" in await world.refused("fork", "trip", "--turn", "u9", code=1)
    assert "exists already" in await world.refused("fork", "trip", "--as", "other", code=1)
    assert "cannot be a session's id" in await world.refused("fork", "trip", "--as", "a b")


async def test_an_export_has_every_record_of_every_session_that_is_asked_for(world: World) -> None:
    await world.talk("one", "Wie geht's, Größe?", labels={"team": "red"})
    await world.talk("two", "Zwei.")
    done = await world.run("export", "--all")
    values = [json.loads(line) for line in done.out.splitlines()]
    heads = [value for value in values if "session_id" in value]
    assert [head["session_id"] for head in heads] == ["two", "one"]
    assert sum(head["records"] for head in heads) == len(values) - 2
    assert [decode(json.dumps(value["entry"])).kind for value in values if "entry" in value].count("opened") == 2
    assert "Größe" in done.out
    red = await world.run("export", "--all", "--label", "team=red")
    assert red.out.splitlines() == done.out.splitlines()[-len(red.out.splitlines()) :]
    out = world.here / "out.jsonl"
    assert (await world.run("export", "one", "--out", str(out))).err == f"1 session in {out}\n"
    assert out.read_text() == red.out
    assert "it is there already" in await world.refused("export", "two", "--out", str(out))
    assert out.read_text() == red.out
    assert "two" in await world.refused("export", "twoo", "--out", str(world.here / "new"))
    assert sorted(path.name for path in world.here.iterdir()) == ["data", "out.jsonl"]


async def test_words_of_an_export_that_do_not_fit_together_are_refused(world: World) -> None:
    assert "Say which sessions" in await world.refused("export")
    assert "exclude each other" in await world.refused("export", "one", "--all")
    assert "--label chooses" in await world.refused("export", "one", "--label", "team=red")


# --- delete and prune -------------------------------------------------------------------------------------------------


async def test_deleting_asks_first_and_what_is_deleted_is_gone(world: World) -> None:
    await world.talk("one", "A word that is found nowhere else: abracadabra.")
    await world.talk("two", "Hello.")
    refused = await world.at_terminal("delete", "one", answer="n")
    assert refused.code == 1
    assert "Delete 1 session for good (5 records): one? [y/N]" in refused.out
    assert refused.out.endswith("nothing was deleted\n")
    assert "abracadabra" in (await world.run("show", "one")).out
    agreed = await world.at_terminal("delete", "one", answer="y")
    assert agreed.code == 0
    assert agreed.out.endswith("deleted one\n")
    assert b"abracadabra" not in b"".join(world.files().values())
    assert "no session 'one'" in await world.refused("show", "one")
    assert (await world.run("list")).out.startswith("two\t")


async def test_without_a_terminal_nothing_is_deleted_that_was_not_confirmed(world: World) -> None:
    await world.talk("one", "Hello.")
    assert "--yes" in await world.refused("delete", "one")
    assert "Did you mean one?" in await world.refused("delete", "one", "onne", "--yes")
    assert "--yes" in await world.refused("prune", "--older-than", "0.001s")
    done = await world.run("delete", "one", "one", "--yes")
    assert (done.code, done.out) == (0, "deleted one\n")


async def test_ctrl_c_at_the_question_deletes_nothing(world: World) -> None:
    await world.talk("one", "Hello.")
    done = await world.at_terminal("delete", "one", interrupt_at="[y/N]")
    assert done.code == 130
    assert (await world.run("list")).out.startswith("one\t")


async def test_pruning_deletes_what_nobody_has_used_for_so_long(world: World) -> None:
    now, day = time.time(), 86_400.0
    for name, age in (("fresh", 0.0), ("month", 31 * day), ("year", 365 * day)):
        await dated(world, name, now - age)
    looked = await world.run("prune", "--older-than", "30d", "--dry-run")
    assert (looked.code, looked.out, looked.err) == (0, "month\nyear\n", "2 sessions would be deleted\n")
    none = await world.run("prune", "--older-than", "30d", "--label", "team=blue", "--yes")
    assert (none.code, none.err) == (0, "no session is that old\n")
    done = await world.run("prune", "--older-than", "8w", "--label", "team=red", "--yes")
    assert (done.code, done.out) == (0, "deleted year\n")
    assert [line.split("\t")[0] for line in (await world.run("list")).out.splitlines()] == ["fresh", "month"]


@pytest.mark.parametrize("age", ["", "30", "d", "-3d", "0d", "3 years", "1e9d"])
async def test_an_age_that_is_none_is_refused(world: World, age: str) -> None:
    assert "as in 30d" in await world.refused("prune", f"--older-than={age}", "--yes")


# --- the journal ------------------------------------------------------------------------------------------------------


async def test_looking_changes_and_makes_nothing(world: World) -> None:
    await world.compacted("trip")
    before = world.files()
    for arguments in (("list",), ("show", "trip"), ("export", "--all"), ("prune", "--older-than", "1d", "--dry-run")):
        assert (await world.run(*arguments)).code == 0
    assert world.files() == before


@pytest.mark.parametrize(
    "command", ["list", "show s", "export --all", "fork s", "delete s --yes", "prune --older-than 1d"]
)
async def test_where_no_journal_is_none_is_made(world: World, command: str) -> None:
    said = await world.refused(*command.split())
    assert f"There is no journal in {world.data}" in said
    assert "--data-dir" in said
    assert list(world.here.iterdir()) == []


async def test_it_works_beside_a_runtime_that_uses_the_journal(world: World) -> None:
    async with world.runtime() as runtime:
        session = await runtime.session("live", **world.settings)
        await session.ask("one")
        await runtime.session("other", **world.settings)
        writing = asyncio.create_task(_keep_asking(session))
        assert "live\t" in (await world.run("list")).out
        assert "› one" in (await world.run("show", "live")).out
        assert (await world.run("fork", "live", "--turn", "u1", "--as", "fork")).out == "fork\n"
        assert (await world.run("delete", "other", "--yes")).out == "deleted other\n"
        writing.cancel()
        await asyncio.wait([writing])
        assert await session.ask("last") == "You said: last"
        assert [info.session_id for info in await runtime.sessions()] == ["fork", "live"]


async def test_whoever_has_a_session_open_that_is_deleted_is_told_and_nothing_of_it_comes_back(world: World) -> None:
    async with world.runtime() as runtime:
        session = await runtime.session("live", **world.settings)
        await session.ask("one")
        assert (await world.run("delete", "live", "--yes")).code == 0
        with pytest.raises(Fenced, match="not any more"):
            await session.ask("two")
        assert await runtime.sessions() == []


async def test_a_fence_takes_a_session_from_whoever_has_it_open_and_leaves_it_to_the_next(world: World) -> None:
    async with world.runtime() as runtime:
        session = await runtime.session("live", **world.settings)
        await session.ask("one")
        asked = await world.run("fence")
        assert (asked.code, "Write --yes" in asked.err) == (2, True)
        await session.ask("two")
        fenced = await world.run("fence", "--yes")
        assert (fenced.code, fenced.err) == (0, "1 session fenced: whoever had one open before is refused\n")
        with pytest.raises(Fenced):
            await session.ask("three")
        again = await runtime.session("live")
        assert await again.ask("four") == "You said: four"


async def _keep_asking(session: object) -> None:
    number = 0
    while True:
        number += 1
        await session.ask(f"more {number}")  # type: ignore[attr-defined]


async def test_what_is_wrong_with_a_journal_is_said(world: World) -> None:
    await world.talk("s", "Hello.")
    path = world.data / JOURNAL_FILE
    whole = path.read_bytes()
    newer = sqlite3.connect(path)
    newer.execute("UPDATE meta SET value = '99'")
    newer.commit()
    newer.close()
    for command in (("list",), ("delete", "s", "--yes")):
        assert "newer version of this program" in await world.refused(*command, code=1)
    path.write_bytes(b"Dear diary, " * 1_000)
    assert "is no SQLite file" in await world.refused("list", code=1)
    path.write_bytes(whole[:5_000])
    assert str(path) in await world.refused("list", code=1)
    path.write_bytes(b"")
    assert "holds no journal" in await world.refused("fork", "s", code=1)
    assert path.read_bytes() == b""


async def test_mistakes_are_answered_with_what_to_write(world: World) -> None:
    await world.talk("holiday", "Hello.")
    assert "Did you mean holiday?" in await world.refused("show", "holidya")
    assert "`python -m drivers.sessions list`" in await world.refused("show", "zzz")
    assert "KEY=VALUE" in await world.refused("list", "--label", "team")
    assert "two values of 'a'" in await world.refused("list", "-l", "a=b", "-l", "a=c")
    assert "--limit" in await world.refused("list", "--limit", "0")
    assert "--help" in await world.refused("lst")


async def test_a_reader_that_leaves_is_no_error(world: World) -> None:
    await world.talk("s", *["long " * 8_000] * 3, max_tokens=20_000)
    for command in ("export --all", "show s --full", "show s --json"):
        done = await world.run(*command.split(), shell='"$@" | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}')
        assert (done.code, done.err) == (141, ""), command
