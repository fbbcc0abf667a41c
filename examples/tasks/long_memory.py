"""Conversations that are longer than the window they are given, so that only what compaction keeps can be answered.

    python -m drivers.evaluate run examples/tasks/long_memory.py --model local/smollm2
    python -m drivers.evaluate run examples/tasks/long_memory.py --compaction none --model anthropic/claude-sonnet-5-5

Four facts are said first, one of them changes on the way, reports fill the window and more, and the last message asks
for all four. Run it with other settings of compaction, and compare the runs: with `none` the model sees everything.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from agent_core.compaction.settings import LLMCompaction
from agent_core.evaluation import Answered, Score, Task, scorer, task

SENTENCES = 14


class Place(NamedTuple):
    """Where a conversation is kept about: its facts, and what its reports are made of."""

    name: str
    facts: tuple[str, str, str, str]
    people: Sequence[str]
    things: Sequence[str]
    deeds: Sequence[str]
    remarks: Sequence[str]


PLACES = (
    Place(
        "the harbour of Skarvik",
        ("berth code", "tide gauge reading", "pilot channel", "fuel order"),
        ("the harbour master", "a deckhand", "the crane driver", "the older pilot", "the customs officer"),
        ("the eastern quay", "the slipway", "a stack of pallets", "the breakwater light", "a mooring ring"),
        ("looked over", "painted", "cleared", "measured again", "argued about", "closed off"),
        ("Fog lay on the water until the afternoon.", "Two trawlers waited outside for the wind to drop.",
         "Gulls had got into the fish crates again.", "The ferry came late and left late."),
    ),
    Place(
        "the observatory on Mount Tarn",
        ("dome door code", "mirror temperature", "guide star number", "night log page"),
        ("the night assistant", "the visiting student", "the optician", "the caretaker", "the head of the group"),
        ("the small refractor", "the weather mast", "a box of filters", "the spectrograph", "the old clock drive"),
        ("cleaned", "recalibrated", "took apart", "covered", "photographed", "wrote a note about"),
        ("Thin cloud came over from the west.", "The wind was too strong to open before midnight.",
         "A fox was seen near the generator shed.", "The road was free of ice for the first time."),
    ),
    Place(
        "the kitchen of the Blue Heron",
        ("cold room code", "oven setting", "supplier account", "table count"),
        ("the head cook", "the new apprentice", "the pastry chef", "the dishwasher", "the owner"),
        ("the stock pots", "the herb beds", "a crate of quinces", "the bread oven", "the long table"),
        ("scrubbed", "moved", "counted", "tried out", "complained about", "set aside"),
        ("A party of walkers came in soaked to the skin.", "The soup was gone before one o'clock.",
         "Somebody had left the back door open all night.", "The plums were better than last year's."),
    ),
    Place(
        "the archive of the Weavers' Guild",
        ("strongroom code", "shelf mark of the charter", "humidity limit", "inventory sheet"),
        ("the archivist", "a retired weaver", "the bookbinder", "the intern", "the guild's secretary"),
        ("the account books", "a bundle of letters", "the pattern cards", "the map chest", "the oak cabinet"),
        ("sorted", "dusted", "put in order", "described", "repaired", "carried upstairs"),
        ("The lamp over the reading desk flickered all morning.", "A school class asked about the looms.",
         "Damp had come through the north wall.", "Nobody could read the clerk's hand of the third volume."),
    ),
    Place(
        "the bee yard at Lower Fell",
        ("gate lock number", "hive of the new queen", "honey tank level", "inspection form"),
        ("the beekeeper", "her brother", "the neighbour's boy", "the inspector", "a friend from the market"),
        ("the southern hives", "the extractor", "a pile of frames", "the smoker", "the heather stand"),
        ("checked", "lifted", "scraped clean", "weighed", "wrapped up", "marked with chalk"),
        ("The limes were in flower and the air was loud.", "Rain kept everybody in the shed until three.",
         "A swarm hung in the pear tree for an hour.", "Wasps had found the spilt syrup."),
    ),
)  # fmt: skip


def report(place: Place, day: int, rng: random.Random) -> str:
    """What happened on one day, at length."""
    lines = [f"Here is the report of day {day} from {place.name}."]
    for number in range(SENTENCES):
        if number % 4 == 3:
            lines.append(rng.choice(place.remarks))
            continue
        who, thing, deed = rng.choice(place.people), rng.choice(place.things), rng.choice(place.deeds)
        other = rng.choice([one for one in place.people if one != who])
        when = rng.choice(("In the morning", "Before noon", "After lunch", "Towards evening", "Once more"))
        lines.append(f"{when} {who} {deed} {thing}, while {other} talked of {rng.choice(place.things)}.")
    return " ".join(lines)


def code(rng: random.Random) -> str:
    """A value that nobody can guess, such as KT-4821."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{rng.randrange(1000, 10_000)}"


def conversation(place: Place, days: int, seed: int) -> dict[str, object]:
    """One sample: facts, reports with a change among them, the question."""
    rng = random.Random(f"{place.name} {days} {seed}")
    facts = {name: code(rng) for name in place.facts}
    said = " ".join(f"The {name} is {value}." for name, value in facts.items())
    begin = (
        f"We keep the records of {place.name}. {said} I will ask for these later, and they may change. Say: Understood."
    )
    changed, day_of_change = rng.choice(place.facts), days // 2
    turns: list[str] = []
    for day in range(1, days + 1):
        news = ""
        if day == day_of_change:
            facts[changed] = code(rng)
            news = f" Note a change.\nThe {changed} is now {facts[changed]}.\n"
        turns.append(f"{report(place, day, rng)}{news} Say: Noted.")
    asked = ", ".join(f"the {name}" for name in facts)
    turns.append(f"Now tell me what holds today, one a line, as in 'The name is value.': {asked}.")
    length = "long" if days > 15 else "short"
    identity = f"{place.name.split()[1]}-{length}"
    return {
        "id": identity,
        "input": begin,
        "turns": turns,
        "target": list(facts.values()),
        "length": length,
        "facts": facts,
    }


def conversations() -> Iterator[dict[str, object]]:
    """Two conversations about each place."""
    for place in PLACES:
        yield conversation(place, 12, seed=1)
        yield conversation(place, 20, seed=2)


@scorer
async def recalled(answered: Answered) -> Score:
    """The part of the facts that the last answer has right."""
    facts: dict[str, str] = answered.sample.metadata["facts"]  # type: ignore[assignment]
    lost = [name for name, value in facts.items() if not re.search(rf"\b{value}\b", answered.answer)]
    return Score(
        value=(len(facts) - len(lost)) / len(facts),
        explanation=f"Lost: {', '.join(lost)}." if lost else "All are there.",
        metadata={"lost": list(lost)},
    )


@task
def long_memory(window: int = 3000) -> Task:
    """Facts that are asked for when the window has long been full."""
    return Task(
        dataset=conversations,
        scorers=[recalled],
        group_by=["length"],
        system_prompt="You keep records. Answer briefly and exactly.",
        max_tokens=200,
        context_limit=window,
        compaction=LLMCompaction(
            soft=0.5, trigger=0.65, hard=0.85, max_wait=60.0, keep_recent_turns=1, keep_tokens=600,
            max_summary_tokens=400,
        ),
    )  # fmt: skip
