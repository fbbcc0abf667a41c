"""Rows made into samples: which field of a row is what of a sample, and what is wrong with a row that is none.

The rule here: a row that cannot be a sample is refused with its place, what is wrong and what to do; nothing is
guessed. Whatever has no meaning here goes into the metadata.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeGuard, cast

from pydantic import ConfigDict

from agent_core.errors import ConfigError
from agent_core.evaluation.sample import Sample

Place = Literal["line", "row", "sample"]
INPUT_FIELDS = ("input", "prompt")

_MENDS: dict[Place, str] = {
    "line": "Mend that line or take it out.",
    "row": "Mend that row or take it out.",
    "sample": "Mend what makes it, or leave it out.",
}


@dataclass(frozen=True, slots=True)
class FieldNames:
    """Which fields of a row are the sample's. None: those of the same names that are there (`prompt` too for `input`).

    Several names for `choices` or `turns` are fields with one text each, of which empty ones are left out. `metadata`
    names the fields that are kept as such; without it all others are.
    """

    # For those that are written in files: a field that is not known is refused.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    input: str | None = None
    id: str | None = None
    target: str | None = None
    choices: str | tuple[str, ...] | None = None
    turns: str | tuple[str, ...] | None = None
    history: str | None = None
    metadata: tuple[str, ...] | None = None


SAME_NAMES = FieldNames()


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes samples of the rows of the dataset `name`, which has each at a `place` counted from 1.

    `cells`: the values are texts, and those that have to be more are JSON in them.
    """

    name: str
    place: Place = "line"
    fields: FieldNames = SAME_NAMES
    cells: bool = False

    def sample(self, number: int, row: dict[str, Any]) -> Sample:
        """The sample of one row, which is used up. Raises ConfigError.

        A sample without an id is called after its place, such as `line-7`.
        """
        kept = self._kept(number, row)
        question = self._input(number, row)
        sample_id = self._id(number, row)
        return Sample.model_construct(
            id=sample_id,
            input=question,
            target=self._target(number, row),
            choices=self._texts(number, row, "choices", kept),
            turns=self._texts(number, row, "turns", kept),
            history=self._history(number, row, kept),
            metadata=self._metadata(number, row, kept),
            line=number,
        )

    def wrong(self, number: int, what: str) -> ConfigError:
        """What is said of the row with this number."""
        return ConfigError(f"{self.name} {self.place} {number} {what}. {_MENDS[self.place]}", kind="dataset")

    def _kept(self, number: int, row: dict[str, Any]) -> dict[str, Any] | None:
        """The fields that are named as metadata; None if none are."""
        if self.fields.metadata is None:
            return None
        for name in self.fields.metadata:
            if name not in row:
                raise self._lacks(number, row, name, "--metadata-fields")
        return {name: row[name] for name in self.fields.metadata}

    def _input(self, number: int, row: dict[str, Any]) -> str:
        wanted = (self.fields.input,) if self.fields.input is not None else INPUT_FIELDS
        name = next((name for name in wanted if name in row), None)
        if name is None:
            raise self._lacks(number, row, "' or '".join(wanted), "--input-field")
        value = row.pop(name)
        if not isinstance(value, str):
            raise self.wrong(number, f"has {kind_of(value)} as its '{name}' where text is wanted")
        if not value.strip():
            raise self.wrong(number, f"has an empty '{name}'; a model cannot be asked nothing")
        return value

    def _id(self, number: int, row: dict[str, Any]) -> str:
        name = self.fields.id or "id"
        value = row.pop(name, None)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            if self.fields.id is not None:
                raise self._lacks(number, row, name, "--id-field")
            return f"{self.place}-{number}"
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.wrong(number, f"has {kind_of(value)} as its '{name}' where text or a whole number is wanted")
        return str(value)

    def _target(self, number: int, row: dict[str, Any]) -> Any:
        name = self.fields.target or "target"
        if self.fields.target is not None and name not in row:
            raise self._lacks(number, row, name, "--target-field")
        return row.pop(name, None)

    def _texts(
        self, number: int, row: dict[str, Any], what: Literal["choices", "turns"], kept: Mapping[str, Any] | None
    ) -> tuple[str, ...]:
        """The choices or the turns of a row: a list of texts, or a field for each."""
        named: str | tuple[str, ...] | None = getattr(self.fields, what)
        flag = f"--{what}-field"
        if isinstance(named, tuple):
            values = [self._popped(number, row, name, flag) for name in named]
            texts = [value for value in values if value not in (None, "")]
        else:
            if named is None and (what not in row or (kept is not None and what in kept)):
                return ()
            texts = self._popped(number, row, named or what, flag)
        if texts is None or texts == "":
            return ()
        texts = self._unpacked(texts)
        if not _are_texts(texts):
            raise self.wrong(
                number,
                f"has {kind_of(texts)} as its '{what}' where a list of texts is wanted; name another field with"
                f" {flag}, or keep this one as it is with --metadata-fields {what}",
            )
        if any(not text.strip() for text in texts):
            raise self.wrong(number, f"has an empty text among its '{what}'")
        return tuple(texts)

    def _history(self, number: int, row: dict[str, Any], kept: Mapping[str, Any] | None) -> tuple[Any, ...]:
        name = self.fields.history or "history"
        if self.fields.history is None and (name not in row or (kept is not None and name in kept)):
            return ()
        value = self._unpacked(self._popped(number, row, name, "--history-field"))
        if value in (None, "", []):
            return ()
        from agent_core.evaluation.history import messages_of

        try:
            return messages_of(value)
        except ValueError as error:
            raise self.wrong(number, f"has a '{name}' that is no conversation: {error}") from None

    def _metadata(self, number: int, row: dict[str, Any], kept: Mapping[str, Any] | None) -> dict[str, Any]:
        if kept is not None:
            return dict(kept)
        said = self._unpacked(row.pop("metadata", None) or None)
        if said is not None and not isinstance(said, dict):
            raise self.wrong(number, f"has a 'metadata' that is no JSON object ({kind_of(said)})")
        return {**row, **cast("dict[str, Any]", said or {})}

    def _popped(self, number: int, row: dict[str, Any], name: str, flag: str) -> Any:
        if name not in row:
            raise self._lacks(number, row, name, flag)
        return row.pop(name)

    def _unpacked(self, value: Any) -> Any:
        """What a cell holds as JSON; the cell itself if it is none."""
        if not self.cells or not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value

    def _lacks(self, number: int, row: dict[str, Any], wanted: str, flag: str) -> ConfigError:
        has = ", ".join(row) or "nothing else"
        return self.wrong(number, f"has no field '{wanted}' (it has: {has}); name the right one with {flag}")


def _are_texts(value: Any) -> TypeGuard[Sequence[str]]:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in cast("list[Any]", value))


def plain(value: Any, refuse: Callable[[str], Exception]) -> Any:
    """A value of Python or of a table as JSON has it: times as texts, NaN as null. Raises what `refuse` makes."""
    match value:
        case None | bool() | int():
            return value
        case str():
            if not value.isascii() and value != value.encode("utf-8", "replace").decode():
                raise refuse("half of a surrogate pair")
            return value
        case float():
            return value if value == value else None  # noqa: PLR0124 - NaN alone differs from itself
        case list() | tuple():
            return [plain(item, refuse) for item in cast("list[Any]", value)]
        case Mapping():
            items = cast("Mapping[Any, Any]", value).items()
            return {str(name): plain(item, refuse) for name, item in items}
        case _:
            pass
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item") and callable(value.item):
        return plain(value.item(), refuse)
    if type(value).__name__ in {"Decimal", "UUID"}:
        return str(value)
    raise refuse(kind_of(value))


def kind_of(value: object) -> str:
    """What a JSON value is, in the words of a person."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__
