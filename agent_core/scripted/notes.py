"""What a summary says, as lines under the prompt's headings: taken from a transcript, merged, kept to a length.

The rule here: a line is found again by what it is about, so a value that changed stands in a summary once, with its
newest value. Nothing is understood: a line is taken for the words that it has.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent_core.compaction.prompt import DECISIONS, DONE, ERRORS, FILES, GOAL, IN_PROGRESS, NEXT, SECTIONS
from agent_core.compaction.tags import unescape

_ELEMENT = re.compile(r"<(user|assistant|tool_call|tool_result)([^>]*)>\n(.*?)\n</\1>", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SUBJECT = re.compile(
    r"^(?:\w+: )?(?:the |a )?([a-z][\w -]{2,50}?) (?:is|are|was|were)(?: now| set to)? \S", re.IGNORECASE
)
_DECISION = re.compile(r"\b(?:decided|agreed|must|never|always|prefer|rule out|ruled out)\b", re.IGNORECASE)
_PATH = re.compile(r"[\w.~-]*/[\w.-]+(?:/[\w.-]+)*|\b\w+\.(?:py|md|toml|json|yaml|txt|csv|db)\b")
_PROSE = re.compile(r"[A-Z][^|={}]+[.!]$")
_DIGIT = re.compile(r"\d")
_HEADING = re.compile(r"^## (.+)$")
_LONGEST = 240
# Where a summary loses lines first when it grows too long, the oldest ones of each first.
_SPARED_LEAST = (DONE, IN_PROGRESS, ERRORS, FILES, DECISIONS)


@dataclass(slots=True)
class Notes:
    """Lines by heading, each by what it is about, oldest first."""

    lines: dict[str, dict[str, str]] = field(default_factory=lambda: {name: dict[str, str]() for name in SECTIONS})

    def put(self, section: str, line: str) -> None:
        """Adds a line; it takes the place of what said something else of the same, wherever that stood."""
        line = " ".join(line.split())[:_LONGEST]
        about = _about(line)
        for lines in self.lines.values():
            lines.pop(about, None)
        self.lines[section][about] = line

    def only(self, section: str, line: str) -> None:
        """Makes this the section's one line."""
        self.lines[section] = {}
        self.put(section, line)

    def add_summary(self, text: str) -> None:
        """Adds what an earlier summary says."""
        section = GOAL
        for line in text.splitlines():
            heading = _HEADING.match(line)
            if heading is not None:
                section = heading[1] if heading[1] in self.lines else FILES
            elif line.strip():
                self.put(section, line.removeprefix("- "))

    def add_transcript(self, text: str) -> None:
        """Adds what a transcript tells."""
        for kind, attributes, content in _ELEMENT.findall(text):
            sentences = [part for part in _SENTENCE.split(unescape(content)) if part.strip()]
            if not sentences:
                continue
            match kind:
                case "user":
                    if not self.lines[GOAL]:
                        self.put(GOAL, f'The user said: "{sentences[0]}"')
                    self._take(sentences, everything=True)
                    self.only(NEXT, f'Go on from the user\'s words: "{sentences[0]}"')
                case "assistant":
                    self._take(sentences, everything=True)
                    self.put(DONE, sentences[0])
                case "tool_result" if "error=" in attributes:
                    self.put(ERRORS, sentences[0])
                case "tool_result":
                    self._take(sentences, everything=False)
                case _:
                    pass

    def within(self, characters: int) -> str:
        """The summary. The oldest lines of what can be spared go until it is no longer than this."""
        spare = self._spare()
        while len(text := self._text()) > characters:
            section, about = next(spare, ("", ""))
            if not section:
                return text[:characters]
            del self.lines[section][about]
        return text

    def _take(self, sentences: list[str], *, everything: bool) -> None:
        """Takes the sentences that decide, or hold something exact; of what a tool gave back, only exact prose."""
        for sentence in sentences:
            exact = _PATH.search(sentence) or _DIGIT.search(sentence)
            if not everything and not (exact and _PROSE.match(sentence)):
                continue
            if _DECISION.search(sentence):
                self.put(DECISIONS, sentence)
            elif exact:
                self.put(FILES, sentence)

    def _spare(self) -> Iterator[tuple[str, str]]:
        for section in _SPARED_LEAST:
            for about in tuple(self.lines[section]):
                yield section, about

    def _text(self) -> str:
        return "\n".join(
            f"## {section}\n" + "\n".join(f"- {line}" for line in lines.values())
            for section, lines in self.lines.items()
            if lines
        )


def _about(line: str) -> str:
    """What a line is about: the subject of a statement with a value, otherwise the whole line."""
    found = _SUBJECT.match(line)
    exact = found is not None and (_DIGIT.search(line) or _PATH.search(line))
    return found[1].lower() if found is not None and exact else line.lower()
