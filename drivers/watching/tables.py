"""The tables of the screen: their columns at a width of the terminal, and their rows.

The rule here: at 80 columns all that matters is in sight; what a wider terminal has room for comes to the right.
"""

from collections.abc import Iterator

from rich.text import Text

from agent_core.cluster_snapshot import ClusterSnapshot, Rates
from drivers.watching.figures import actor_cells, node_cells, session_cells

Columns = list[tuple[str, int]]

# Of every column but the first its head and its width; a cell has a space on either side.
TABLES: dict[str, Columns] = {
    "sessions": [
        ("session", 0), ("state", 7), ("turns", 5), ("queue", 5), ("context", 9), ("tokens", 9), ("used", 4),
        ("cmp", 4), ("model", 24),
    ],
    "actors": [
        ("actor", 0), ("state", 8), ("node", 13), ("pid", 7), ("memory", 7), ("cpu", 4), ("starts", 6),
        ("sess.", 5), ("runtime", 16),
    ],
    "nodes": [
        ("node", 0), ("state", 5), ("cpus", 4), ("load", 5), ("memory", 18), ("gpus", 4), ("actors", 6), ("labels", 30),
    ],
}  # fmt: skip
_NARROWEST = 12
_COMFORTABLE = 24
_WIDEST = 48
# So many columns are there however narrow the terminal is.
_KEPT = {"sessions": 7, "actors": 8, "nodes": 7}
_NUMBERS = {"turns", "queue", "context", "tokens", "cmp", "used", "pid", "memory", "cpu", "starts", "sess.", "load"}


def columns(name: str, width: int) -> Columns:
    """The heads and widths of a table's columns on a terminal of this width."""
    heads = TABLES[name]
    while (room := width - 4 - sum(wide + 2 for _, wide in heads[1:])) < _COMFORTABLE and len(heads) > _KEPT[name]:
        heads = heads[:-1]
    return [(heads[0][0], max(_NARROWEST, min(_WIDEST, room))), *heads[1:]]


def head_of(head: str) -> Text:
    """The head of a column, on the side that its cells are on."""
    return Text(head, justify="right" if head in _NUMBERS else "left")


def rows_of(name: str, snapshot: ClusterSnapshot, now: Rates | None, width: int) -> Iterator[tuple[str, list[Text]]]:
    """The rows of a table, each with a key of its own."""
    shown = columns(name, width)
    first = shown[0][1]
    match name:
        case "sessions":
            cells = ((f"{s.runtime}/{s.session_id}", session_cells(s, snapshot.at, first)) for s in snapshot.sessions)
        case "actors":
            cells = ((f"{a.runtime}/{a.name}", actor_cells(a, now, snapshot.nodes, first)) for a in snapshot.actors)
        case _:
            cells = ((node.node_id, node_cells(node)) for node in snapshot.nodes)
    for key, row in cells:
        yield key, [_cell(head, cell, wide) for (head, wide), cell in zip(shown, row, strict=False)]


def _cell(head: str, cell: str, width: int) -> Text:
    style = {"silent": "bold red", "down": "bold red", "restarts": "yellow", "running": "green"}.get(cell, "")
    return Text(cell[:width], style=style, justify="right" if head in _NUMBERS else "left", no_wrap=True)
