"""Markdown that grows: which of it is whole, and how its unfinished end is best shown.

The rule here: a block is given out once and never changed after. The last block of a text is never whole before the
text ends, since what follows may still belong to it (a list goes on, a line of dashes makes a heading of a paragraph).
"""

import re
from itertools import pairwise

from markdown_it import MarkdownIt

_INLINE_CODE = re.compile(r"(?<!`)`(?!`)")
_FENCE = re.compile(r" {0,3}(```|~~~)")
# How often a block is parsed while it grows by its own length.
LOOKS_PER_LENGTH = 20
_STRONG = re.compile(r"\*\*")


class MarkdownStream:
    """Takes text in pieces of any size; gives whole blocks as they come about."""

    def __init__(self) -> None:
        self._parser = MarkdownIt().enable("table").enable("strikethrough")
        self._rest = ""
        self._new_lines = 0

    @property
    def rest(self) -> str:
        """The text after the last block that was given out."""
        return self._rest

    def feed(self, text: str) -> list[str]:
        """Add `text` and return the blocks that are whole now."""
        self._rest += text
        self._new_lines += text.count("\n")
        # A long block is looked at less often, or its cost would grow with its length squared.
        if self._new_lines * LOOKS_PER_LENGTH <= self._rest.count("\n", 0, -1):
            return []
        self._new_lines = 0
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


def end_of(block: str, lines: int) -> str:
    """A block that looks at its end as `block` does, of little more than so many lines."""
    whole = block.split("\n")
    if len(whole) <= lines:
        return block
    # What follows is only code below its fence, and only a table below its head.
    head = 1 if _FENCE.match(whole[0]) else 2 if whole[0].lstrip().startswith("|") else 0
    return "\n".join([*whole[:head], *whole[-lines:]])


def mended(unfinished: str) -> str:
    """An unfinished block with its open marks closed, so that a word does not change its looks when the mark comes."""
    text = unfinished.rstrip("\n")
    if _FENCE.match(text):
        return text
    if len(_INLINE_CODE.findall(text)) % 2:
        return text.removesuffix("`") if text.endswith("`") else text + "`"
    if text.endswith("*") and not text.endswith("**"):
        text = text.removesuffix("*")
    if len(_STRONG.findall(text)) % 2:
        return text.removesuffix("**") if text.endswith("**") else text.rstrip() + "**"
    return text
