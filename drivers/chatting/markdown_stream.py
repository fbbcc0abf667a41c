"""Markdown that grows: which of it is whole, and how its unfinished end is best shown.

The rule here: a block is given out once and never changed after. The last block of a text is never whole before the
text ends, since what follows may still belong to it (a list goes on, a line of dashes makes a heading of a paragraph).
"""

import re
from itertools import pairwise

from markdown_it import MarkdownIt

_INLINE_CODE = re.compile(r"(?<!`)`(?!`)")
_STRONG = re.compile(r"\*\*")


class MarkdownStream:
    """Takes text in pieces of any size; gives whole blocks as they come about."""

    def __init__(self) -> None:
        self._parser = MarkdownIt().enable("table").enable("strikethrough")
        self._rest = ""

    @property
    def rest(self) -> str:
        """The text after the last block that was given out."""
        return self._rest

    def feed(self, text: str) -> list[str]:
        """Add `text` and return the blocks that are whole now."""
        self._rest += text
        if "\n" not in text:
            return []
        # A line that has not ended says nothing yet: what it is may change with its next character.
        lines, newline, begun = self._rest.rpartition("\n")
        *blocks, last = self._blocks(lines + newline) or [""]
        self._rest = last + begun
        return _said(blocks)

    def close(self) -> list[str]:
        """The text is over: return what is left of it."""
        left, self._rest = self._rest, ""
        return _said(self._blocks(left))

    def _blocks(self, text: str) -> list[str]:
        """The text cut where its outermost blocks begin."""
        tokens = self._parser.parse(text)
        starts = [token.map[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
        # Not splitlines: a line of Markdown ends with a newline and nothing else.
        lines = re.split(r"(?<=\n)", text)
        bounds = [0, *starts[1:], len(lines)]
        return ["".join(lines[start:end]) for start, end in pairwise(bounds)]


def _said(blocks: list[str]) -> list[str]:
    return [block.strip("\n") for block in blocks if block.strip()]


def mended(unfinished: str) -> str:
    """An unfinished block with its open marks closed, so that a word does not change its looks when the mark comes."""
    text = unfinished.rstrip("\n")
    if text.lstrip().startswith(("```", "~~~")):
        return text
    if len(_INLINE_CODE.findall(text)) % 2:
        return text.removesuffix("`") if text.endswith("`") else text + "`"
    if text.endswith("*") and not text.endswith("**"):
        text = text.removesuffix("*")
    if len(_STRONG.findall(text)) % 2:
        return text.removesuffix("**") if text.endswith("**") else text.rstrip() + "**"
    return text
