"""Facts planted in long conversations with tools, and how to tell whether one is still there. Seeded, without a model.

The rule here: a fact counts as kept when its exact value can be read, and one that changed only with its newest value,
said behind every older one. Values are unique in their conversation, so none is found by chance.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Kind = Literal["number", "path", "decision", "changed value"]
Place = Literal["user", "answer", "result"]
OPENING = "Step "
"""How every message of the user begins, and where nothing else in it does."""
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACES: tuple[Place, ...] = get_args(Place)

_THINGS = (
    "retry limit", "batch size", "page width", "queue depth", "cache lifetime", "worker count", "row budget",
    "upload cap", "poll interval", "shard count", "index depth", "lease time", "backlog mark", "merge window",
)  # fmt: skip
_AREAS = ("billing", "search", "import", "export", "audit", "login", "report", "sync", "archive", "notify")
_CHOICES = ("postgres", "sqlite", "redis", "kafka", "parquet", "protobuf", "jwt", "grpc", "zstd", "lz4")
_TALK = (
    "I would like to understand this part a little better before we go on",
    "it is a long story and there was a good reason for it at the time",
    "please look at the module again and tell me what you think of it",
    "the team has been waiting for this since the beginning of the year",
    "nobody remembers who wrote it and the comments are no help at all",
    "that sounds sensible to me and I have nothing against it",
    "as far as I can see the tests do not cover that case yet",
)
_ROW = "{number:05d} ok worker={worker} took={took:.3f} seconds in the {area} stage"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something exact that was said, in sentence `text`. `stale` are its older values; `stretch` is where it was said.

    A stretch is what was said between two compactions, from 0.
    """

    kind: Kind
    place: Place
    stretch: int
    text: str
    value: str
    stale: tuple[str, ...] = ()

    def is_in(self, text: str) -> bool:
        """Whether the fact can still be told from a text."""
        newest = _last(self.value, text)
        return newest >= 0 and all(_last(old, text) < newest for old in self.stale)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn: what the user says, the pages that the model looks up, what they hold, and the answer."""

    ask: str
    pages: tuple[tuple[str, str], ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Story:
    """A whole conversation, stretch by stretch, with the facts in it."""

    stretches: tuple[tuple[Exchange, ...], ...]
    facts: tuple[Fact, ...]


@dataclass(slots=True)
class _Turn:
    said: dict[Place, list[str]] = field(default_factory=lambda: {place: [] for place in PLACES})


def tell(seed: int, stretches: int = 5, turns: int = 6) -> Story:
    """A conversation of `stretches` times `turns` turns, with one fact of each kind in each place in every stretch.

    The last turn of a stretch holds none: what is newest is never compacted. A value that changes was said otherwise in
    the stretch before, in the first one some turns before. Raises ValueError for fewer than 3 turns.
    """
    if turns < 3:
        raise ValueError(f"A stretch of {turns} turns has no room for facts that are old. Give at least 3 turns.")
    rng = random.Random(f"facts {seed}")
    plan = [[_Turn() for _ in range(turns)] for _ in range(stretches)]
    facts: list[Fact] = []
    made = _Values(rng)
    for stretch in range(stretches):
        for kind in KINDS:
            for place in PLACES:
                fact, before = made.fact(kind, place, stretch)
                turn = rng.randrange(1, turns - 1)
                plan[stretch][turn].said[place].append(fact.text)
                if before:
                    earlier = plan[stretch - 1][rng.randrange(turns - 1)] if stretch else plan[0][0]
                    earlier.said[place].append(before)
                facts.append(fact)
    told = tuple(tuple(_exchange(rng, turn, (s, t)) for t, turn in enumerate(part)) for s, part in enumerate(plan))
    return Story(told, tuple(facts))


def kept(facts: Sequence[Fact], text: str, stretch: int) -> Iterator[tuple[Fact, int, bool]]:
    """Every fact up to a stretch, how many compactions it has seen behind that one, and whether it is in the text."""
    for fact in facts:
        if fact.stretch <= stretch:
            yield fact, stretch - fact.stretch + 1, fact.is_in(text)


class _Values:
    """Makes facts whose values do not come twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def fact(self, kind: Kind, place: Place, stretch: int) -> tuple[Fact, str]:
        """A fact, and what was said of it before it changed (empty if it did not)."""
        rng = self._rng
        area = rng.choice(_AREAS)
        fact = Fact(kind, place, stretch, "", "")
        match kind:
            case "number" | "changed value":
                subject = self._new(lambda: f"{area} {rng.choice(_THINGS)} {rng.choice('abcdefgh')}{rng.randrange(10)}")
                old, new = self._number(), self._number()
                if kind == "number":
                    return replace(fact, text=f"The {subject} is {new}.", value=new), ""
                fact = replace(fact, text=f"The {subject} is now {new}.", value=new, stale=(old,))
                return fact, f"The {subject} is {old}."
            case "path":
                path = self._new(lambda: f"src/{area}/{rng.choice(_CHOICES)}_{rng.randrange(1000, 9999)}.py")
                return replace(fact, text=f"Look at {path} for {area}.", value=path), ""
            case "decision":
                choice = self._new(lambda: f"{rng.choice(_CHOICES)}-{rng.randrange(100, 999)}")
                return replace(fact, text=f"We decided that {area} uses {choice}.", value=choice), ""

    def _number(self) -> str:
        return self._new(lambda: str(self._rng.randrange(10_000, 99_999)))

    def _new(self, make: Callable[[], str]) -> str:
        while (value := make()) in self._used:
            pass
        self._used.add(value)
        return value


def _exchange(rng: random.Random, turn: _Turn, at: tuple[int, int]) -> Exchange:
    page = f"page-{at[0]}-{at[1]}"
    rows = [_row(rng) for _ in range(30)]
    for text in turn.said["result"]:
        rows.insert(rng.randrange(len(rows)), text)
    # Every message has words of its own, by which the scripted model knows its turn.
    ask = f"{OPENING}{at[0]}.{at[1]} begins here. {_talk(rng, 4, turn.said['user'])}"
    return Exchange(ask, ((page, "\n".join(rows)),), f"I have read it. {_talk(rng, 6, turn.said['answer'])}")


def _talk(rng: random.Random, sentences: int, said: list[str]) -> str:
    parts = [f"{rng.choice(_TALK).capitalize()}." for _ in range(sentences)]
    for text in said:
        parts.insert(rng.randrange(len(parts)), text)
    return " ".join(parts)


def _row(rng: random.Random) -> str:
    # Never as long as a planted number, so that none is found by chance.
    return _ROW.format(number=rng.randrange(999), worker=rng.randrange(64), took=rng.random(), area=rng.choice(_AREAS))


def _last(value: str, text: str) -> int:
    places = [found.start() for found in re.finditer(rf"(?<![\w-]){re.escape(value)}(?![\w-])", text)]
    return places[-1] if places else -1
