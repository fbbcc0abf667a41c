"""Texts made comparable: what does not count in a comparison is taken away from both sides.

The rule here: composed and decomposed characters are the same, and so are all kinds and lengths of white space. Letter
case and punctuation count unless a scorer says that they do not.
"""

import re
import unicodedata

_SIGNED = re.compile(r"[-+\u2212]\.?\d")
_CURLY = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'})


def normal(text: str, *, ignore_case: bool, ignore_punctuation: bool) -> str:
    """The text as it is compared. Punctuation is that around words; a sign before a number and `%` are none."""
    text = unicodedata.normalize("NFC", text).translate(_CURLY)
    if ignore_case:
        text = unicodedata.normalize("NFC", text.casefold())
    words = text.split()
    if ignore_punctuation:
        words = [bare for word in words if (bare := _bare(word))]
    return " ".join(words)


def stripped(text: str) -> str:
    """The text without white space, punctuation and markup around it. A sign before a number is none of these."""
    start, end = 0, len(text)
    while start < end and _is_around(text[start]) and not _SIGNED.match(text, start):
        start += 1
    while end > start and _is_around(text[end - 1]):
        end -= 1
    return text[start:end]


def is_word(character: str) -> bool:
    """Whether a character is part of a word: a letter, a digit, a mark on a letter."""
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _is_around(character: str) -> bool:
    return character.isspace() or _is_punctuation(character) or character in "`^~"


def _is_punctuation(character: str) -> bool:
    return character != "%" and unicodedata.category(character).startswith("P")


def _bare(word: str) -> str:
    start, end = 0, len(word)
    while start < end and _is_punctuation(word[start]) and not _SIGNED.match(word, start):
        start += 1
    while end > start and _is_punctuation(word[end - 1]):
        end -= 1
    return word[start:end]
