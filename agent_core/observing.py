"""Observing: what the sessions of a process do, told to whoever measures or traces them.

The rule here: an observer is told of what has happened, in order and at once; it changes nothing, and what it raises
is logged and reaches no session. Without one, being observable costs next to nothing.
"""

import logging
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agent_core.conversation import Conversation
from agent_core.errors import ProviderError, RayconteurError
from agent_core.ports import (
    CompactionJob,
    CompactionPriority,
    CompactionReport,
    ModelEvent,
    ModelRequest,
    Record,
    ResponseStopped,
)

log = logging.getLogger("rayconteur.observing")


class CallObserver(Protocol):
    """Is told what comes of one model call. Its last word is one of ResponseStopped, `failed` and `cancelled`."""

    def heard(self, event: ModelEvent) -> None:
        """The model said something, or its call is held up."""
        ...

    def failed(self, failure: ProviderError) -> None:
        """There is no whole answer, after every attempt."""
        ...

    def cancelled(self) -> None:
        """Nobody wants the answer any more."""
        ...


class Observer(Protocol):
    """Is told what the sessions of this process do. It is called on their loop, and must not wait."""

    def fact(self, conversation: Conversation, record: Record) -> None:
        """A record is durable. `conversation` is for reading, and may be some records further."""
        ...

    def model_called(self, request: ModelRequest) -> CallObserver:
        """The model is asked."""
        ...

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        """A compaction job leaves. What becomes of it is a fact, too."""
        ...

    def summary_told(self, report: CompactionReport) -> None:
        """A compaction job tells something; one that is no longer wanted may tell it, too."""
        ...


@runtime_checkable
class LifeObserver(Protocol):
    """An observer that is told, besides, when a session becomes live in this process and when it is let go of."""

    def activated(self, conversation: Conversation) -> None:
        """A session was opened, or taken over with what its journal says: nothing has been done about it yet."""
        ...

    def let_go(self, conversation: Conversation, why: RayconteurError) -> None:
        """Nothing more of the session is told: it was lost, evicted or put away, with whatever it was doing."""
        ...


def activated(observer: Observer, conversation: Conversation) -> None:
    """Tell an observer, if it wants to know."""
    if isinstance(observer, LifeObserver):
        observer.activated(conversation)


def let_go(observer: Observer, conversation: Conversation, why: RayconteurError) -> None:
    """Tell an observer, if it wants to know."""
    if isinstance(observer, LifeObserver):
        observer.let_go(conversation, why)


class Observers:
    """Any number of observers as one, none of which can fail a session."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def fact(self, conversation: Conversation, record: Record) -> None:
        for observer in self._observers:
            try:
                observer.fact(conversation, record)
            except Exception:  # noqa: BLE001 - the boundary to whoever observes
                _failed(observer)

    def model_called(self, request: ModelRequest) -> CallObserver:
        watching: list[CallObserver] = []
        for observer in self._observers:
            try:
                watching.append(observer.model_called(request))
            except Exception:  # noqa: BLE001 - as above
                _failed(observer)
        return _Watching(watching)

    def summary_asked(self, job: CompactionJob, priority: CompactionPriority) -> None:
        for observer in self._observers:
            try:
                observer.summary_asked(job, priority)
            except Exception:  # noqa: BLE001 - as above
                _failed(observer)

    def summary_told(self, report: CompactionReport) -> None:
        for observer in self._observers:
            try:
                observer.summary_told(report)
            except Exception:  # noqa: BLE001 - as above
                _failed(observer)

    def activated(self, conversation: Conversation) -> None:
        for observer in self._observers:
            try:
                activated(observer, conversation)
            except Exception:  # noqa: BLE001 - as above
                _failed(observer)

    def let_go(self, conversation: Conversation, why: RayconteurError) -> None:
        for observer in self._observers:
            try:
                let_go(observer, conversation, why)
            except Exception:  # noqa: BLE001 - as above
                _failed(observer)


class _Watching:
    """Those who watch one call, until it is over."""

    __slots__ = ("_watching",)

    def __init__(self, watching: Sequence[CallObserver]) -> None:
        self._watching = watching

    def heard(self, event: ModelEvent) -> None:
        for watch in self._watching:
            try:
                watch.heard(event)
            except Exception:  # noqa: BLE001 - as above
                _failed(watch)
        if isinstance(event, ResponseStopped):
            self._watching = ()

    def failed(self, failure: ProviderError) -> None:
        watching, self._watching = self._watching, ()
        for watch in watching:
            try:
                watch.failed(failure)
            except Exception:  # noqa: BLE001 - as above
                _failed(watch)

    def cancelled(self) -> None:
        watching, self._watching = self._watching, ()
        for watch in watching:
            try:
                watch.cancelled()
            except Exception:  # noqa: BLE001 - as above
                _failed(watch)


def _failed(who: object) -> None:
    log.warning("%s failed, and is told what comes next all the same", type(who).__name__, exc_info=True)  # noqa: LOG014 - called where it is handled
