"""One snapshot as text of at most 80 columns, or as JSON for scripts.

The rule here: the JSON has every field of the snapshot by its own name; the text has what fits, and says what it left.
"""

import json
from collections.abc import Sequence
from typing import Any

from agent_core.cluster_snapshot import ClusterSnapshot
from drivers.watching.figures import actor_cells, figure_lines, node_cells, on_one_line, runtimes_text, session_cells

WIDTH = 80
_SESSION_HEAD = ("session", "state", "turns", "queue", "context", "tokens", "used", "cmp")
_ACTOR_HEAD = ("actor", "state", "node", "pid", "memory", "starts", "sessions", "runtime")
_NODE_HEAD = ("node", "state", "cpus", "load", "memory", "gpus", "actors")


def as_data(snapshot: ClusterSnapshot) -> dict[str, Any]:
    """The snapshot as plain data, with the totals of all actors."""
    return {**snapshot.model_dump(mode="json"), "totals": snapshot.totals.model_dump(mode="json")}


def as_json(snapshot: ClusterSnapshot) -> str:
    """The snapshot as JSON on one line."""
    return json.dumps(as_data(snapshot), ensure_ascii=False)


def as_text(snapshot: ClusterSnapshot, chosen: str | None) -> str:
    """The snapshot as tables."""
    lines = [f"cluster {snapshot.address}  {runtimes_text(snapshot, chosen)}"]
    if chosen is None and len(snapshot.runtimes) > 1:
        lines.append(f"one of them alone: --name {snapshot.runtimes[0]}")
    lines += figure_lines(snapshot, None)
    lines += ["", *_table(_NODE_HEAD, [node_cells(node)[:7] for node in snapshot.nodes])]
    if snapshot.actors:
        cells = [actor_cells(actor, None, snapshot.nodes, 24) for actor in snapshot.actors]
        lines += ["", *_table(_ACTOR_HEAD, [[*row[:5], *row[6:]] for row in cells])]
    if snapshot.sessions:
        rows = [session_cells(line, snapshot.at, 30)[:8] for line in snapshot.sessions]
        lines += ["", *_table(_SESSION_HEAD, rows)]
    if (left := snapshot.matching - len(snapshot.sessions)) > 0:
        lines.append(f"{left:,} more: --limit shows more of them, --search and --state fewer")
    return "\n".join(on_one_line(line, WIDTH) if "  " not in line else line[:WIDTH].rstrip() for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows under their head, each column as wide as its widest cell; one that is empty throughout is left out."""
    kept = [index for index in range(len(head)) if any(row[index] for row in rows)]
    table = [[row[index] for index in kept] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(kept))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
