"""Figures of a cluster as a person reads them, for the screen and for `--once`.

The rule here: pure text of what it is given. What came from a model or a user is shown without its control characters,
which a terminal would obey.
"""

from collections.abc import Iterable, Sequence

from agent_core.cluster_snapshot import ActorLine, ClusterSnapshot, NodeLine, Rates
from agent_core.glance import SessionLine
from agent_core.payloads import SessionState
from drivers.chatting.figures import count, several

UNKNOWN = "-"
STATE_WORDS: dict[SessionState, str] = {
    "running": "running",
    "awaiting_tools": "tools",
    "awaiting_permit": "permit",
    "compacting": "compact",
    "closed": "closed",
    "idle": "idle",
}
_BARS = "▁▂▃▄▅▆▇█"


def harmless(text: str) -> str:
    """The text without control characters but for ends of lines; a tab becomes spaces."""
    text = text.replace("\r\n", "\n").expandtabs(4)
    return "".join(letter if letter == "\n" or letter.isprintable() else "�" for letter in text)


def on_one_line(text: str, width: int) -> str:
    """The beginning of the text on one line of at most so many letters."""
    line = " ".join(harmless(text[: 4 * width + 40]).split())
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def size(number: float) -> str:
    """Bytes as a person reads them: 88 MB, 1.2 GB."""
    if number < 999.5e6:
        return f"{number / 1e6:.0f} MB"
    return f"{number / 1e9:.1f} GB" if number < 99.95e9 else f"{number / 1e9:.0f} GB"


def rate(per_second: float) -> str:
    """So many in a second: 0, 0.4, 12, 3.4k."""
    if per_second >= 999.5:
        return count(round(per_second))
    return f"{per_second:.0f}" if per_second >= 9.95 or not per_second else f"{per_second:.1f}"


def ago(seconds: float) -> str:
    """A time since: now, 12s, 5m, 3h, 2d."""
    if seconds < 1.5:
        return "now"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def course(values: Iterable[float], width: int) -> str:
    """The last of the values as bars, the highest of them in full."""
    shown = tuple(values)[-width:]
    highest = max(shown, default=0.0)
    if not highest:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(7, int(8 * value / highest))] for value in shown)


def state_line(snapshot: ClusterSnapshot) -> str:
    """`sessions 1,234: 3 running, 2 tools, 1,229 idle`."""
    total = sum(snapshot.states.values())
    parts = [
        f"{snapshot.states[state]:,} {word}" for state, word in STATE_WORDS.items() if snapshot.states.get(state, 0)
    ]
    return f"sessions {total:,}" + (f": {', '.join(parts)}" if parts else "")


def figure_lines(snapshot: ClusterSnapshot, now: Rates | None) -> list[str]:
    """The figures of the cluster on three lines of at most 80 columns; without `now` there is no rate in them."""
    done, speed = snapshot.totals, now or Rates()

    def figure(name: str, total: str, per_second: float, failed: int = 0) -> str:
        lost = f", {count(failed)} failed" if failed else ""
        return f"{name} {total}{lost}" if now is None else f"{name} {rate(per_second)}/s ({total}{lost})"

    turns = figure("turns", f"{done.turns:,}", speed.turns, done.failed_turns)
    into = figure("tokens in", count(done.input_tokens), speed.input_tokens)
    out = figure("out", count(done.output_tokens), speed.output_tokens)
    limited = figure("429s", f"{done.rate_limited:,}", speed.rate_limited)
    retries = figure("retries", f"{done.retries:,}", speed.retries)
    failed = f" ({done.failed_compactions:,} failed)" if done.failed_compactions else ""
    return [
        state_line(snapshot),
        f"{turns}  {into}, {out}",
        f"{limited}  {retries}  compactions {done.compactions:,}{failed}  tool calls {count(done.tool_calls)}",
    ]


def session_cells(line: SessionLine, at: float, width: int) -> list[str]:
    """A session's row, in the order of the columns of the screen; `width` is of the first."""
    context = f"{count(line.context_used)}" + (
        f" {100 * line.context_used / line.context_limit:.0f}%" if line.context_limit else ""
    )
    return [
        on_one_line(line.session_id, width),
        STATE_WORDS[line.state],
        count(line.turns),
        count(line.queued) if line.queued else "",
        context,
        f"{count(line.input_tokens)}/{count(line.output_tokens)}",
        ago(max(0.0, at - line.used_at)),
        count(line.compactions) if line.compactions else "",
        line.model.rpartition("/")[2],
    ]


def actor_cells(actor: ActorLine, now: Rates | None, nodes: Sequence[NodeLine], width: int) -> list[str]:
    """An actor's row: name, state, node, pid, memory, CPU, restarts, sessions."""
    node = next((node.address for node in nodes if node.node_id == actor.node_id), UNKNOWN)
    cpu = now.cpu.get((actor.runtime, actor.name)) if now is not None else None
    return [
        on_one_line(actor.name, width),
        actor_state(actor),
        node,
        str(actor.pid or UNKNOWN),
        size(actor.process.memory) if actor.answering else UNKNOWN,
        f"{cpu:.0f}%" if cpu is not None else UNKNOWN,
        count(actor.restarts) if actor.restarts else "",
        count(actor.sessions) if actor.sessions is not None and actor.answering else "",
        on_one_line(actor.runtime, 16),
    ]


def actor_state(actor: ActorLine) -> str:
    """One word for how an actor is: `ok`, `silent` if it does not answer, or what Ray says."""
    if actor.state == "alive":
        return "ok" if actor.answering else "silent"
    return {"restarting": "restarts", "pending_creation": "starts", "dependencies_unready": "waits"}.get(
        actor.state, actor.state
    )


def node_cells(node: NodeLine) -> list[str]:
    """A node's row: address, state, CPUs, load, memory, GPUs, actors, labels."""
    return [
        node.address,
        "up" if node.alive else "down",
        f"{node.cpus:g}",
        f"{node.load:.1f}" if node.memory else UNKNOWN,
        f"{size(node.memory_used)} of {size(node.memory)}" if node.memory else UNKNOWN,
        f"{node.gpus:g}" if node.gpus else "",
        f"{node.actors:,}",
        on_one_line(" ".join(f"{name}={value}" for name, value in node.labels.items()), 30),
    ]


def runtimes_text(snapshot: ClusterSnapshot, chosen: str | None) -> str:
    """Which runtimes there are, and how to choose one if there are several."""
    names = ", ".join(snapshot.runtimes)
    if chosen is not None and chosen not in snapshot.runtimes:
        return f"no runtime '{chosen}' here" + (f"; there are: {names}" if names else ", and no other")
    if not snapshot.runtimes:
        return "no runtime on this cluster yet"
    if chosen is not None or len(snapshot.runtimes) == 1:
        return f"runtime {chosen or names}"
    return f"{several(len(snapshot.runtimes), 'runtime')}: {names}"
