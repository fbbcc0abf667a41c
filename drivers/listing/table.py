"""The list of sessions: two lines for each in a terminal, one through a pipe, JSON for programs.

The rule here: ids are never cut, since they are copied; of everything else as much is shown as fits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from agent_core.journals.info import SessionInfo
from agent_core.journals.overviews import Overview
from drivers.chatting.pieces import clean
from drivers.listing.figures import age, moment

_HEADINGS = ("session", "turns", "begun", "used", "model")
_GAP = "  "
# What stands beside a name that is not too long: figures, gaps and a usual model.
_BESIDE = 54
_NARROWEST = 16


@dataclass(frozen=True, slots=True)
class Row:
    """A session of the list."""

    info: SessionInfo
    overview: Overview

    @property
    def labels(self) -> str:
        return _one_line(" ".join(f"{name}={value}" for name, value in self.info.labels.items()))

    @property
    def first(self) -> str:
        return _one_line(self.overview.first)

    @property
    def data(self) -> str:
        """A line of JSON."""
        info, overview = self.info, self.overview
        return json.dumps(
            {
                "session_id": info.session_id,
                "created_at": info.created_at,
                "updated_at": info.updated_at,
                "records": info.last_seq,
                "turns": overview.turns,
                "model": overview.model,
                "labels": dict(info.labels),
                "first": overview.first,
            },
            ensure_ascii=False,
        )

    @property
    def plain(self) -> str:
        """A line of fields with tabs between them."""
        info, overview = self.info, self.overview
        fields = (
            *(info.session_id, str(overview.turns), moment(info.created_at), moment(info.updated_at)),
            *(overview.model, self.labels, self.first),
        )
        return "\t".join(_one_line(field) for field in fields)


def rows_of(sessions: Sequence[SessionInfo], overviews: Mapping[str, Overview]) -> list[Row]:
    """Sessions with what is known of them."""
    return [Row(info, overviews.get(info.session_id, Overview())) for info in sessions]


def table(rows: Sequence[Row], now: float, width: int) -> list[Text]:
    """The list for a terminal of this width at the time `now` (seconds since the epoch)."""
    cells = [_HEADINGS, *(_cells(row, now) for row in rows)]
    widths = [max(cell_len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    names = [size for line in cells if (size := cell_len(line[0])) <= max(_NARROWEST, width - _BESIDE)]
    widths[0] = max(names)
    lines = _line(_HEADINGS, widths, width, style="dim")
    for row, line in zip(rows, cells[1:], strict=True):
        lines += _line(line, widths, width)
        if row.labels or row.first:
            lines.append(_about(row, width))
    return lines


def _cells(row: Row, now: float) -> tuple[str, ...]:
    info = row.info
    used, begun = age(now - info.updated_at), age(now - info.created_at)
    return (clean(info.session_id), f"{row.overview.turns:,}", begun, used, _one_line(row.overview.model))


def _line(cells: Sequence[str], widths: Sequence[int], width: int, style: str = "") -> list[Text]:
    """A session's line; two where its name is too long for a column of the table."""
    name, *figures, model = cells
    rest = _GAP.join(f"{' ' * (size - cell_len(cell))}{cell}" for cell, size in zip(figures, widths[1:-1], strict=True))
    named = Text(name, style=style or "bold", no_wrap=True)
    line = Text(no_wrap=True)
    if alone := cell_len(name) > widths[0]:
        line.append(" " * widths[0])
    else:
        line.append(set_cell_size(name, widths[0]), style=style or "bold")
    line.append(f"{_GAP}{rest}{_GAP}{model}", style=style)
    line.truncate(width, overflow="ellipsis")
    return [named, line] if alone else [line]


def _about(row: Row, width: int) -> Text:
    line = Text("  ", no_wrap=True)
    if row.labels:
        line.append(row.labels, style="cyan")
    if row.labels and row.first:
        line.append(" · ", style="dim")
    line.append(row.first, style="dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())
