"""Several machines on one host, as a user has them: `make check-cluster`, or `python -m tests.cluster.check`.

It proves what a cluster of one machine cannot: that `cluster-local.yaml` starts a cluster over SSH; that an evaluation
runs across machines which share no disk; that a machine whose network is lost in the middle, and comes back, costs no
sample. Needs Linux and root, for namespaces and sshd; takes some five minutes. AWS and Kubernetes it cannot try.

The rule here: every row of the table is something that was seen. It exits with 0 if all of it was as it should be, 1
if not, 2 if this host cannot do it, 130 after Ctrl-C.
"""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.cluster.launched import DASHBOARD, CheckFailed, LaunchedCluster, evaluation, until
from tests.cluster.machines import INSIDE, CannotRunHere, Machine, Machines, in_bubble

NAMES = ("desk", "head", "one", "two")
TURNS = 2
AT_ONCE = 8
_MODEL_PORT = 8700
_LATENCY = 1.5
_TOOL = "--tools examples.streaming_tool:weather"
_LONGEST_S = 300.0
# How much has to be done before the machine is cut off, and how much more after that before it may come back.
_BEFORE, _MEANWHILE = 0.2, 16


@dataclass(slots=True)
class Seen:
    """The table: what was looked at, what was seen, and whether it is as it should be."""

    began: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def note(self, what: str, seen: object, *, good: bool = True) -> None:
        """Add a row, and show at once that it is there."""
        self.rows.append((what, str(seen), good))
        print(f"[{time.monotonic() - self.began:5.0f} s] {what}: {seen}{'' if good else '   <- wrong'}", flush=True)

    @property
    def all_good(self) -> bool:
        return all(good for *_, good in self.rows)

    def table(self) -> str:
        """All rows under each other."""
        width = max(len(what) for what, *_ in self.rows)
        return "\n".join(f"{what:<{width}}  {'' if good else 'WRONG: '}{seen}" for what, seen, good in self.rows)


class Check:
    """One run. `samples` are in the evaluation that loses a machine."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.machines = Machines(NAMES)
        self.cluster = LaunchedCluster(self.machines)
        self.seen = Seen()
        self._model = f"http://{self.machines.desk.address}:{_MODEL_PORT}"

    async def run(self) -> None:
        """All of it. Raises CheckFailed for what did not happen, CannotRunHere."""
        cluster, seen = self.cluster, self.seen
        await self.machines.start()
        seen.note("machines (address, sshd, home of their own)", ", ".join(self.machines.all))
        cluster.prepare("made-up")
        script = {"knobs": {"first_byte_s": _LATENCY, "first_byte_sigma": 0.3}}
        (cluster.desk.home / "model.json").write_text(json.dumps(script))
        server = f"python -m drivers.model_server --host 0.0.0.0 --port {_MODEL_PORT} --script ../model.json"
        await cluster.start(cluster.desk, server, cluster.log("model"))
        began = time.monotonic()
        await cluster.launch()
        seen.note("`ray up` until all three are nodes", f"{time.monotonic() - began:.0f} s")
        lost = await self._job_that_loses_a_machine()
        await self._joined_from_the_head(lost)
        await self._taken_down()

    async def _job_that_loses_a_machine(self) -> Machine:
        """An evaluation from the user's machine. Returns the machine that was lost on the way."""
        cluster, seen = self.cluster, self.seen
        self._ask("questions.jsonl", self.samples)
        line = evaluation("'~/runs/first/'", "questions.jsonl", self._model)
        job = await cluster.start(
            cluster.desk, f"ray job submit --address {DASHBOARD} --working-dir . -- {line}", cluster.log("job")
        )
        await until(self._has("first", int(self.samples * _BEFORE)), _LONGEST_S, "the first results of the job")
        actors = await cluster.session_actors()
        seen.note("session actors while it runs", _shown(actors), good=len(actors) >= 2)
        lost = max(cluster.workers, key=lambda machine: actors[machine.name])
        await self._cut_off(lost)
        try:
            async with asyncio.timeout(_LONGEST_S):
                code = await job.wait()
        except TimeoutError:
            raise CheckFailed(f"The job did not end within {_LONGEST_S:g} s.") from None
        seen.note("exit code of `ray job submit`", code, good=code == 0)
        self._cover("first", self.samples)
        requests, planned = self._requests(), self.samples * TURNS
        extra = f"{requests - planned} beyond one for each turn"
        # A turn that was open on the lost machine is asked again, and no other.
        seen.note("model calls", f"{requests}, {extra}", good=planned <= requests <= planned + AT_ONCE)
        return lost

    async def _cut_off(self, lost: Machine) -> None:
        """Pull a machine's plug, see what the cluster makes of it, and put it back in."""
        cluster, seen = self.cluster, self.seen
        (before,) = [node for node in await cluster.nodes() if node.alive and node.address == lost.address]
        await lost.plug("down")
        done = self._done("first")
        seen.note(f"link of `{lost.name}` down, at", f"{done} of {self.samples} results")

        async def given_up() -> bool:
            return any(node.id == before.id and not node.alive for node in await cluster.nodes())

        seen.note("the cluster gives it up after", f"{await until(given_up, 120, 'its node to be dead'):.0f} s")
        waited = await until(self._has("first", done + _MEANWHILE), 120, "results without that machine")
        actors = await cluster.session_actors()
        moved = f"{waited:.0f} s later {self._done('first') - done} more results, actors: {_shown(actors)}"
        seen.note("without it", moved, good=lost.name not in actors)
        raylets = await cluster.raylets(lost)
        seen.note("Ray on it meanwhile", "runs, and knows of nothing" if raylets else "has ended", good=raylets == 1)
        await lost.plug("up")

        async def back() -> bool:
            return any(node.alive and node.address == lost.address for node in await cluster.nodes())

        waited = await until(back, 180, f"{lost.name} to come back")
        seen.note("link up again: it is a node again after", f"{waited:.0f} s, at {self._done('first')} results")
        raylets = await cluster.raylets(lost)
        seen.note("nodes that run on it", raylets, good=raylets == 1)

    async def _joined_from_the_head(self, lost: Machine) -> None:
        """A program on a machine of the cluster that joins it, with every machine there again."""
        cluster, seen = self.cluster, self.seen
        count = AT_ONCE * 8
        self._ask("more.jsonl", count, 'call weather {{"city": "{}"}}')
        await cluster.at_desk("ray rsync-up cluster-local.yaml ./ '~/checkout/'")
        line = evaluation("~/runs/second/", "more.jsonl", self._model, f"{_TOOL} --address {cluster.address}")
        running = asyncio.create_task(self._at_head(line))
        try:
            await until(self._has("second", AT_ONCE), _LONGEST_S, "the first results of the second evaluation")
            actors = await cluster.session_actors()
            seen.note("session actors of a second run, joined", _shown(actors), good=lost.name in actors)
            await self._drained(lost)
            await running
        finally:
            running.cancel()
        self._cover("second", count)
        called = sum("returned: sunny" in line for line in self._results("second").read_text().splitlines())
        seen.note("samples in which a tool of the checkout ran", called, good=called == count)
        await cluster.at_desk("ray rsync-down cluster-local.yaml '~/runs/' runs/")
        copies = [cluster.desk.home / "checkout" / "runs" / run / "results.jsonl" for run in ("first", "second")]
        same = [copy.read_bytes() == self._results(copy.parent.name).read_bytes() for copy in copies]
        seen.note("results on the user's machine", f"{sum(same)} of {len(same)} runs", good=all(same))

    async def _drained(self, machine: Machine) -> None:
        """Take the sessions off a machine while they work: it is left alone, and the run goes on."""
        began, done = time.monotonic(), self._done("second")
        await self._at_head(f"python -m drivers.nodes drain {machine.address} --address {self.cluster.address}")
        actors = await self.cluster.session_actors()
        waited, more = time.monotonic() - began, self._done("second") - done
        told = f"{waited:.0f} s, {more} results meanwhile, actors: {_shown(actors)}"
        self.seen.note(f"`{machine.name}` drained", told, good=machine.name not in actors and sum(actors.values()) > 0)

    async def _at_head(self, line: str) -> str:
        """Run a command in the checkout on the head, as the user does; what it printed."""
        there = f"export RAY_AUTH_MODE=token PATH=$HOME/rayconteur/venv/bin:$PATH; cd ~/checkout && {line}"
        return await self.cluster.at_desk(f'ray exec cluster-local.yaml "{there}"', seconds=_LONGEST_S)

    async def _taken_down(self) -> None:
        """`ray down` stops the head; the others follow when they have missed it for a minute."""
        cluster, seen = self.cluster, self.seen
        await cluster.take_down()
        left = await cluster.raylets(cluster.head)
        seen.note(
            "`ray down`", "Ray has ended on the head" if left == 0 else "Ray still runs on the head", good=not left
        )

        async def ended() -> bool:
            return not sum([await cluster.raylets(machine) for machine in cluster.workers])

        seen.note("and on the others after", f"{await until(ended, 180, 'Ray to end on the others', 2):.0f} s")

    def _ask(self, name: str, count: int, asked: str = "question {}") -> None:
        rows = [
            {"id": f"q{n}", "input": asked.format(f"<{n}>"), "turns": [f"again <{n}>"], "target": f"<{n}>"}
            for n in range(count)
        ]
        (self.cluster.desk.home / "checkout" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def _results(self, run: str) -> Path:
        return self.cluster.head.home / "runs" / run / "results.jsonl"

    def _done(self, run: str) -> int:
        path = self._results(run)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def _has(self, run: str, count: int) -> Any:
        async def has() -> bool:
            return self._done(run) >= count

        return has

    def _cover(self, run: str, count: int) -> None:
        results = [json.loads(line) for line in self._results(run).read_text().splitlines()]
        times = Counter(result["id"] for result in results)
        exact = times == Counter(f"q{n}" for n in range(count))
        outcomes = Counter(result["outcome"] for result in results)
        text = f"{len(times)} of {count} samples, {len(results)} results; {_shown(outcomes)}"
        self.seen.note(f"results of the {run} run", text, good=exact and set(outcomes) == {"scored"})

    def _requests(self) -> int:
        with urllib.request.urlopen(f"{self._model}/scripted/stats", timeout=10) as answer:
            return json.load(answer)["requests"]


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def main(
    samples: Annotated[int, typer.Option(min=40, help="Samples of the evaluation that loses a machine.")] = 200,
    logs: Annotated[Path | None, typer.Option(help="Copy what every machine logged to this directory.")] = None,
) -> None:
    """Try the cluster on several machines that are namespaces of this host. Needs root."""
    try:
        if INSIDE not in os.environ:
            raise typer.Exit(in_bubble(["-m", "tests.cluster.check", *sys.argv[1:]]))
        check = Check(samples)
        code = _ended(check)
    except CannotRunHere as error:
        print(f"check-cluster: cannot run here. {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if logs is not None:
        check.cluster.keep_logs(logs)
    raise typer.Exit(code)


def _ended(check: Check) -> int:
    """Run it and print the table. Returns the exit code."""
    try:
        asyncio.run(check.run())
    except CheckFailed as error:
        check.seen.note("stopped", error, good=False)
    except KeyboardInterrupt:
        print("check-cluster: interrupted; every machine ends with it.", file=sys.stderr)
        return 130
    print(f"\n{check.seen.table()}\n\nEvery machine ends with this program, and all that was on it.")
    return 0 if check.seen.all_good else 1


if __name__ == "__main__":
    typer.run(main)
