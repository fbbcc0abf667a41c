"""Agent code cannot tell a session of its own process from one on a cluster: both offer the protocol, word for word."""

import inspect
from typing import TYPE_CHECKING

import pytest

from actors import SessionHandle
from agent_core.local_session import LocalSession
from agent_core.session_protocol import Session

if TYPE_CHECKING:

    def _is_a_session(local: LocalSession, handle: SessionHandle) -> tuple[Session, Session]:
        """Does not pass the type checker unless both are."""
        return local, handle


_WORDS = sorted(name for name in vars(Session) if not name.startswith("_"))


def test_the_protocol_has_words() -> None:
    assert {"send", "submit", "ask", "events", "interrupt", "status", "history", "shutdown"} <= set(_WORDS)


@pytest.mark.parametrize("kind", [LocalSession, SessionHandle])
@pytest.mark.parametrize("word", _WORDS)
def test_every_session_offers_the_whole_protocol(kind: type, word: str) -> None:
    promised, offered = inspect.getattr_static(Session, word), inspect.getattr_static(kind, word)
    if isinstance(promised, property):
        assert isinstance(offered, property)
        return
    assert inspect.signature(offered).parameters == inspect.signature(promised).parameters
    assert inspect.iscoroutinefunction(offered) == inspect.iscoroutinefunction(promised)
