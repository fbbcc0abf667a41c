"""The small screens over the others: help, and the question before an interrupt.

The rule here: each is left by a key that it names, and Escape changes nothing.
"""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from agent_core.payloads import InterruptMode
from drivers.watching.figures import on_one_line

HELP = """\
1 2 3   sessions, actors, nodes
Enter   open a session: its events as they come
/       search: how an id or a label begins (Esc ends it)
f       sessions of one state only
s       sort: used last, id, context, tokens, queue
r       the next runtime, or all of them
p       pause the figures
q       quit

in a session:
i       interrupt its turn (asks how)
c       compact it now
Esc     back

Looking wakes no session and keeps none awake. What is at rest
is in the journal: python -m drivers.sessions list

Esc closes this."""


class Help(ModalScreen[None]):
    """What the keys do."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss_help", "Back")]

    def compose(self) -> ComposeResult:
        yield Static(HELP, id="box", markup=False)

    def action_dismiss_help(self) -> None:
        self.dismiss()


class AskInterrupt(ModalScreen[InterruptMode | None]):
    """How to interrupt a session, if at all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "choose('keep')", "Keep"),
        Binding("d", "choose('discard')", "Discard"),
        Binding("escape,q", "choose('')", "Leave it"),
    ]

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self._session_id = session_id

    def compose(self) -> ComposeResult:
        text = (
            f"Interrupt {on_one_line(self._session_id, 44)}?\n\n"
            "k    keep what the turn has said and done\n"
            "d    discard the turn\n"
            "Esc  leave it alone"
        )
        yield Static(Text(text), id="box")

    def action_choose(self, mode: str) -> None:
        chosen: dict[str, InterruptMode] = {"keep": "keep", "discard": "discard"}
        self.dismiss(chosen.get(mode))
