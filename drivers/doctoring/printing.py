"""Findings as lines for people, and as JSON for scripts.

The rule here: a line is never wider than the terminal, nor than 80 columns through a pipe, and says as much without
colours.
"""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from drivers.doctoring.checks import Result
from drivers.doctoring.findings import Finding, Mark

WIDTH = 80
_COLOURS = {Mark.OK: "32", Mark.WARNING: "33", Mark.PROBLEM: "1;31", Mark.SKIPPED: "2"}
_MARK_WIDTH = max(len(mark) for mark in Mark) + 1
_NAME_WIDTH = 14


def lines_of(results: Sequence[Result], *, width: int, coloured: bool) -> list[str]:
    """The lines of one area. What was not checked for one and the same reason is told once."""
    lines = [results[0].check.area]
    for (finding, alone), group in groupby(results, _reason):
        names = [result.check.name for result in group]
        if alone or len(names) == 1:
            lines += _told(names[0], finding, width=width, coloured=coloured)
        else:
            text = f"{', '.join(names[1:])}: {finding.text}"
            lines += _told(names[0], replace(finding, text=f"and {text}"), width=width, coloured=coloured)
    return lines


def _reason(result: Result) -> tuple[Finding, str]:
    return result.finding, "" if result.finding.mark is Mark.SKIPPED else result.check.name


def _told(name: str, finding: Finding, *, width: int, coloured: bool) -> list[str]:
    """The lines of one check: its mark, its name and what it found, and below it what to do."""
    mark = finding.mark
    label = f"{mark:<{_MARK_WIDTH}}"
    if coloured:
        label = f"\x1b[{_COLOURS[mark]}m{label}\x1b[0m"
    indent = " " * (2 + _MARK_WIDTH + _NAME_WIDTH)
    text = _wrapped(finding.text, width - len(indent))
    lines = [f"  {label}{name:<{_NAME_WIDTH}}{text[0]}", *(indent + line for line in text[1:])]
    if finding.mend:
        mend = _wrapped(finding.mend, width - len(indent) - 3)
        lines += [f"{indent}-> {mend[0]}", *(f"{indent}   {line}" for line in mend[1:])]
    return [line.rstrip() for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.wrap(plain, max(20, width), break_on_hyphens=False) or [""]


def total(results: Sequence[Result]) -> str:
    """How many of each kind there were."""
    counts = Counter(result.finding.mark for result in results)
    told = [f"{counts[Mark.OK]} ok"]
    for mark, one, many in ((Mark.WARNING, "warning", "warnings"), (Mark.PROBLEM, "problem", "problems")):
        told.append(f"{counts[mark]} {one if counts[mark] == 1 else many}")
    return ", ".join([*told, f"{counts[Mark.SKIPPED]} not checked"])


def as_json(results: Sequence[Result]) -> str:
    """All of it as one JSON object: `problems` and `warnings` count, `checks` has each with its finding."""
    counts = Counter(result.finding.mark for result in results)
    checks = [
        {
            "area": result.check.area,
            "name": result.check.name,
            "mark": str(result.finding.mark),
            "text": result.finding.text,
            "mend": result.finding.mend,
            "seconds": round(result.seconds, 3),
        }
        for result in results
    ]
    counted = {"problems": counts[Mark.PROBLEM], "warnings": counts[Mark.WARNING]}
    return json.dumps({**counted, "checks": checks}, ensure_ascii=False, indent=1)
