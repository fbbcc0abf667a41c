"""The tags of what a summariser reads, and how content is kept from speaking them.

The rule here: a tag of ours is written by us alone. Wherever content holds what could be read as one, its `<` becomes
`&lt;`; nothing else is touched, so that code stays readable, and `unescape` gives back every character.
"""

import re

TAGS = ("previous_summary", "transcript", "focus", "user", "assistant", "tool_call", "tool_result")
"""The names of our tags, whatever stands in their attributes."""

# Whatever is neither a letter nor a bracket may stand before a name and still look like a tag to a model.
_NAME = rf"[^\w<>]*(?:{'|'.join(TAGS)})\b"
_OPEN = re.compile(rf"<(?={_NAME})|&(?=(?:amp;)*lt;{_NAME})", re.IGNORECASE)
_ESCAPED = re.compile(rf"&lt;(?={_NAME})|&amp;(?=(?:amp;)*lt;{_NAME})", re.IGNORECASE)
_ODD = re.compile(r"[^\w.:-]")
_LONGEST_ATTRIBUTE = 64


def escape(text: str) -> str:
    """The text with none of our tags in it. What looked escaped before is escaped once more."""
    return _OPEN.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPED.sub(lambda found: "<" if found[0].lower() == "&lt;" else "&", text)


def opening(tag: str, /, **attributes: str | None) -> str:
    """An opening tag. An attribute that is None is left out; of others the letters of a plain name are kept."""
    given = [
        f' {key}="{_ODD.sub("_", value)[:_LONGEST_ATTRIBUTE]}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{tag}{''.join(given)}>"


def closing(name: str) -> str:
    """A closing tag."""
    return f"</{name}>"


def element(tag: str, text: str, /, **attributes: str | None) -> str:
    """Content between its tags, escaped."""
    return f"{opening(tag, **attributes)}\n{escape(text)}\n{closing(tag)}"
