"""Recorded turns as the samples of a dataset, one line of JSON each: from production to evaluation.

The rule here: one session is held at a time, however many there are. What makes no sample is counted and told, never
left out in silence.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from agent_core.errors import ConfigError
from agent_core.evaluation.history import rows_of
from agent_core.evaluation.recorded import UNKNOWN_TURN, LeftOut, WhichTurns, recorded_samples
from agent_core.evaluation.sample import Sample
from agent_core.journals.info import SessionInfo
from agent_core.messages import SessionId, TurnId
from agent_core.ports import Record
from drivers.chatting.figures import several
from drivers.listing.journals import ReadableJournal
from drivers.listing.options import ExportOptions
from drivers.listing.writing_out import STDOUT, opened


@dataclass(frozen=True, slots=True)
class Turns:
    """Which turns become samples, and whether their history is what the model saw of it.

    `wanted`: that a session has no such turn is a mistake, for it alone is asked for.
    """

    which: WhichTurns = "last"
    as_seen: bool = False
    wanted: bool = False


@dataclass(slots=True)
class Written:
    """What has become of it: `left_out` counts the turns that are no samples by the reason why not."""

    samples: int = 0
    sessions: int = 0
    empty: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def check(what: ExportOptions, ids: Sequence[str]) -> Turns | None:
    """Which turns are asked for, None if no dataset is. Raises ConfigError for words that do not fit together."""
    if what.as_dataset:
        which: WhichTurns = TurnId(what.turn or "last")
        return Turns(which, what.as_seen, wanted=len(set(ids)) == 1)
    for flag, value in (("--turn", what.turn), ("--as-seen", what.as_seen)):
        if value:
            raise ConfigError(f"{flag} says what samples are made of: write it with --as-dataset.")
    return None


async def export(journal: ReadableJournal, sessions: AsyncIterator[SessionInfo], out: str, turns: Turns) -> Written:
    """Write the samples of the sessions, one after the other. Raises ConfigError, and writes nothing, if there is none.

    Also for a turn that is named and makes none.
    """
    written = Written()
    with opened(out) as file:
        async for info in sessions:
            before = written.samples
            for sample in _samples(info.session_id, await journal.read(info.session_id), turns):
                if isinstance(sample, LeftOut):
                    written.left_out[sample.why] += 1
                    continue
                file.write(line_of(sample))
                written.samples += 1
            written.sessions += 1
            written.empty += written.samples == before
            # Ctrl-C is heard between two sessions.
            await asyncio.sleep(0)
        if not written.samples:
            raise ConfigError(f"There is nothing to make a dataset of: {told(written, STDOUT)}")
    return written


def _samples(session_id: SessionId, records: Sequence[Record], turns: Turns) -> Iterator[Sample | LeftOut]:
    try:
        yield from recorded_samples(session_id, records, turns.which, as_seen=turns.as_seen)
    except ConfigError as error:
        if turns.wanted or error.kind != UNKNOWN_TURN:
            raise


def line_of(sample: Sample) -> bytes:
    """The sample as a line of a JSONL dataset, its newline included."""
    row = {"id": sample.id, "input": sample.input, "history": rows_of(sample.history), "target": sample.target}
    given = {name: value for name, value in row.items() if value not in (None, [])}
    text = json.dumps({**given, "metadata": sample.metadata}, ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def told(written: Written, out: str) -> str:
    """What was written and what was not, for a person."""
    where = "" if out == STDOUT else f" in {out}"
    lines = [f"{several(written.samples, 'sample')} of {several(written.sessions, 'session')}{where}"]
    if written.empty:
        lines.append(f"{several(written.empty, 'session')} made no sample: no such turn there has an answer to a text")
    lines += [f"left out: {several(count, 'turn')}, {why}" for why, count in written.left_out.most_common()]
    return "; ".join(lines)
