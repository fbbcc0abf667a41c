"""Samples that a program provides: any iterable of `Sample` or of dictionaries, or a function that returns one.

The rule here: the samples can be read again and again, in the same order, and are never all held. What can be gone
through only once is kept in a temporary file as it is first read.
"""

import inspect
import tempfile
import weakref
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import IO, Any, cast

from pydantic import BaseModel

from agent_core.errors import ConfigError, RayconteurError
from agent_core.evaluation.authors import author_error
from agent_core.evaluation.rows import FieldNames, RowReader, kind_of, plain
from agent_core.evaluation.sample import Sample
from agent_core.messages import Message

Item = Sample | Mapping[str, Any]
Items = Iterable[Item] | Callable[[], Iterable[Item]]


class Provided:
    """The samples of `items`. `name` is what errors call them. Raises ConfigError for what cannot be gone through."""

    def __init__(self, items: Items, name: str, fields: FieldNames) -> None:
        self._items = items
        self._name = name
        self._reader = RowReader(name, "sample", fields)
        self._once: _Once | None = None
        if inspect.iscoroutinefunction(items) or not (callable(items) or _has_items(items)):
            raise self._refused(items)

    def samples(self) -> Iterator[Sample]:
        """The samples in their order; one reader at a time. Raises ConfigError: which one is wrong, and why."""
        if self._once is not None:
            return self._once.samples()
        items = self._made()
        checked = self._checked(items)
        if items is self._items and iter(items) is items:
            self._once = _Once(checked)
            return self._once.samples()
        return checked

    def _made(self) -> Iterable[Item]:
        if not callable(self._items):
            return self._items
        try:
            items = self._items()
        except RayconteurError:
            raise
        except Exception as error:  # noqa: BLE001 - an author's code may raise anything
            raise ConfigError(f"{self._name} cannot be made.\n{author_error(error)}", kind="dataset") from None
        if not _has_items(items):
            raise self._refused(items)
        return items

    def _refused(self, items: object) -> ConfigError:
        return ConfigError(
            f"{self._name}: samples come from an iterable of Sample or of dictionaries, a function that returns one, or"
            f" the path of a file, not from {kind_of(items)}.",
            kind="dataset",
        )

    def _checked(self, items: Iterable[Item]) -> Iterator[Sample]:
        iterator = iter(items)
        number = 0
        while True:
            number += 1
            try:
                item = next(iterator)
            except StopIteration:
                return
            except RayconteurError:
                raise
            except Exception as error:  # noqa: BLE001 - an author's code may raise anything
                raise ConfigError(
                    f"{self._name}: sample {number} cannot be made.\n{author_error(error)}", kind="dataset"
                ) from None
            yield self._sample(number, item)

    def _sample(self, number: int, item: Item) -> Sample:
        def refused(kind: str) -> ConfigError:
            return self._reader.wrong(number, f"holds {kind}, which JSON cannot hold; make it text or leave it out")

        if isinstance(item, Sample):
            if not item.input.strip():
                raise self._reader.wrong(number, "has an empty 'input'; a model cannot be asked nothing")
            plain(item.input, refused)
            changes = {"line": item.line or number, "history": self._history(number, item)}
            return item.model_copy(update=changes)
        if not isinstance(cast("object", item), Mapping):
            raise self._reader.wrong(number, f"is {kind_of(item)} where a Sample or a dictionary is wanted")
        row = {name: _dumped(value) for name, value in item.items()}
        return self._reader.sample(number, plain(row, refused))

    def _history(self, number: int, item: Sample) -> tuple[Message, ...]:
        if not item.history:
            return ()
        from agent_core.evaluation.history import checked

        try:
            return checked(item.history)
        except ValueError as error:
            raise self._reader.wrong(number, f"has a 'history' that is no conversation: {error}") from None


def _has_items(items: object) -> bool:
    """Whether these can be gone through, and each of what comes may be a sample."""
    return hasattr(items, "__iter__") and not isinstance(items, str | bytes | Mapping | AsyncIterable)


def _dumped(value: Any) -> Any:
    """A value, messages in it as a dataset has them."""
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in items]
    return value


class _Once:
    """Samples that can be gone through once, kept in a file so that they can be again."""

    def __init__(self, source: Iterator[Sample]) -> None:
        self._source = source
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this does
        weakref.finalize(self, self._file.close)
        self._readers = 0

    def samples(self) -> Iterator[Sample]:
        self._readers += 1
        reader, place = self._readers, 0
        while True:
            if reader != self._readers:
                raise ConfigError("These samples are being read by another reader. Read them one after the other.")
            self._file.seek(place)
            line = self._file.readline()
            if line:
                place = self._file.tell()
                yield Sample.model_validate_json(line)
                continue
            sample = next(self._source, None)
            if sample is None:
                return
            self._file.write(sample.model_dump_json().encode("utf-8", "replace") + b"\n")
            place = self._file.tell()
            yield sample
