"""What a report says of how results ended: outcomes, kinds of failure with examples, and what it holds of them.

The rule here: every planned result is in exactly one outcome, missing ones too.
"""

from collections import Counter
from typing import Any
from urllib.parse import quote

from agent_core.evaluation.result import ANSWERED, SampleOutcome
from agent_core.evaluation.summary import Failure
from drivers.evaluating.showing import NAMES
from drivers.reporting import plots
from drivers.reporting.effort import named
from drivers.reporting.embedding import EXAMPLES, Embedded, Held
from drivers.reporting.reading import Reading
from drivers.reporting.scoring import Plot

KINDS_DRAWN = 12
_STANDINGS = {"failed": "failed", "unscored": "not scored", "wrong": "wrong", "passing": "right"}


def outcomes(reading: Reading) -> list[dict[str, Any]]:
    """The outcomes that happened, with their share of what was planned."""
    counts = reading.collected.outcomes
    planned = reading.collected.planned
    return [
        {
            "outcome": outcome,
            "label": NAMES[outcome],
            "count": number,
            "text": f"{number:,}",
            "share": f"{number / planned:.1%}".replace("%", " %"),
            "role": outcome.replace("_", "-"),
        }
        for outcome, number in counts.items()
        if number
    ]


def failure_plots(reading: Reading) -> list[Plot]:
    """Outcomes, and failures by kind, as bars; nothing where nothing failed."""
    kinds = _kinds(reading)
    if not kinds:
        return []
    counts = reading.collected.outcomes.items()
    rows = [plots.Bar(NAMES[outcome], number, outcome, f"{number:,}") for outcome, number in counts if number]
    by_kind = [
        plots.Bar(kind.replace("_", " "), number, outcome, f"{number:,}")
        for (outcome, kind), number in kinds.most_common(KINDS_DRAWN)
    ]
    return [
        Plot("Outcomes", plots.bars(rows), _told(rows), "of all results"),
        Plot("Failures by kind", plots.bars(by_kind), _told(by_kind)),
    ]


def kinds(reading: Reading, embedded: Embedded, epochs: int) -> list[dict[str, Any]]:
    """The kinds of failure, the most frequent first, each with examples that open their transcript."""
    return [
        {
            "kind": kind.replace("_", " "),
            "outcome": NAMES[outcome],
            "role": outcome.replace("_", "-"),
            "count": f"{number:,}",
            "more": number > EXAMPLES,
            "all": f"#show/{quote(f'kind:{kind}', safe=':')}",
            "examples": _examples(embedded.examples.get((outcome, kind), []), epochs),
        }
        for (outcome, kind), number in _kinds(reading).most_common()
    ]


def _examples(failures: list[Failure], epochs: int) -> list[dict[str, Any]]:
    """What was said, each with the samples of which it was said."""
    said: dict[str, list[dict[str, str]]] = {}
    for one in failures:
        said.setdefault(one.message, []).append(named(one.id, one.epoch, epochs))
    return [{"message": message, "samples": samples} for message, samples in said.items()]


def told_of(held: list[Held], *, scored: bool) -> tuple[list[str], str]:
    """What the file holds of the run, one phrase a standing, and what is said if something is left out.

    `scored`: the run has scorers, by which an answer is right or wrong.
    """
    names = _STANDINGS if scored else {**_STANDINGS, "passing": "answered"}
    phrases = [
        f"{one.embedded:,} of {one.total:,} {names[one.standing]}"
        if one.embedded < one.total
        else f"all {one.total:,} {names[one.standing]}"
        for one in held
        if one.total
    ]
    phrases[0] = f"Transcripts of {phrases[0]}"
    listed, total = sum(one.listed for one in held), sum(one.total for one in held)
    notes: list[str] = []
    if any(one.embedded < one.total for one in held):
        notes.append("The rest is left out to keep the file small; a report with a higher --passing holds more.")
    if listed < total:
        notes.append(f"{listed:,} of {total:,} results are listed; every figure counts all of them.")
    return phrases, " ".join(notes)


def _kinds(reading: Reading) -> Counter[tuple[SampleOutcome, str]]:
    return Counter((mark.outcome, mark.kind) for mark in reading.marks if mark.outcome not in ANSWERED)


def _told(rows: list[plots.Bar]) -> str:
    return "; ".join(f"{row.label}: {row.text}" for row in rows)
