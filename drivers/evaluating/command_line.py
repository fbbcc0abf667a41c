"""The words of a command line of `run`, each with the option that it belongs to.

The rule here: which options there are, and which of them take a value, is known from the command itself, so that no
value is ever taken for an option, nor an option for its value.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

OUT = "--out"
# How an option says that its value is a file: all of it, what follows a sign, or FILE.py:NAME.
_PATHS = frozenset({"--data-dir"})
_SIGNS = {"--system": "@", "--ids": "@", "--api-key": "file:", "--journal": "file:"}
_CODE = frozenset({"--agent", "--scorer"})


class Word(NamedTuple):
    """An option with its value, or an argument. `option` is its long name, empty for an argument."""

    option: str
    written: tuple[str, ...]
    value: str | None = None


class Options:
    """The options of a command: `names` leads from each spelling to the long name, `valued` are those with a value."""

    def __init__(self, names: dict[str, str], valued: Collection[str]) -> None:
        self._names, self._valued = names, valued

    @classmethod
    def of(cls, context: Any, command: str) -> Self:
        """Of the command of this name beside the one that `context` (of typer) is about."""
        names: dict[str, str] = {}
        valued: set[str] = set()
        for parameter in context.find_root().command.commands[command].params:
            spellings = [*parameter.opts, *parameter.secondary_opts]
            long = next((name for name in spellings if name.startswith("--")), "")
            names |= dict.fromkeys((name for name in spellings if name.startswith("-")), long)
            if long and not getattr(parameter, "is_flag", False):
                valued.add(long)
        return cls(names, valued)

    def words(self, arguments: Sequence[str]) -> Iterator[Word]:
        """Take the arguments apart."""
        rest = iter(arguments)
        for argument in rest:
            if argument == "--":
                yield from (Word("", (each,)) for each in rest)
                return
            if argument == "-" or not argument.startswith("-"):
                yield Word("", (argument,))
                continue
            name, equals, value = argument.partition("=")
            if name not in self._names and argument[:2] in self._names:
                # A short name, and its value right behind it.
                yield Word(self._names[argument[:2]], (argument,), argument[2:])
                continue
            long = self._names.get(name, name)
            if equals or long not in self._valued:
                yield Word(long, (argument,), value if equals else None)
                continue
            following = next(rest, None)
            yield Word(long, (argument,) if following is None else (argument, following), following)

    def given(self, arguments: Sequence[str]) -> dict[str, str | None]:
        """The options that are among the arguments, with their values: the last one counts."""
        return {word.option: word.value for word in self.words(arguments) if word.option}

    def anchored(self, arguments: Sequence[str], directory: Path) -> list[str]:
        """The arguments, with every path that an option names seen from this directory, whole."""
        anchored: list[str] = []
        for word in self.words(arguments):
            whole = None if word.value is None else _anchored(word.option, word.value, directory)
            anchored += word.written if whole is None or whole == word.value else (f"{word.option}={whole}",)
        return anchored

    def without(self, arguments: Sequence[str], dropped: Collection[str]) -> list[str]:
        """The arguments, but for the options with these long names."""
        return [part for word in self.words(arguments) if word.option not in dropped for part in word.written]


def _anchored(option: str, value: str, directory: Path) -> str:
    sign = "" if option in _PATHS else _SIGNS.get(option)
    if sign is not None and value.startswith(sign):
        path = Path(value.removeprefix(sign)).expanduser()
        return f"{sign}{os.path.normpath(directory / path)}"
    if option not in _CODE:
        return value
    from agent_core.evaluation.task_source import named_in_file

    place = named_in_file(value, str(directory))
    return value if place is None else f"{place[0]}:{place[1]}"
