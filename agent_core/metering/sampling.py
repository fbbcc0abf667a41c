"""What is measured of the sessions in memory by looking at them now and then.

The rule here: every state is told, with zero where no session is in it, so that a graph falls when sessions leave.
"""

from collections import Counter
from typing import get_args

from agent_core.hosting import SessionHost
from agent_core.metering import instruments as what
from agent_core.metering.ledger import Meter
from agent_core.payloads import SessionState

_STATES: tuple[str, ...] = get_args(SessionState)


def sample(host: SessionHost, meter: Meter) -> None:
    """Measure the sessions of this process as they are."""
    states: Counter[str] = Counter()
    deepest = waiting = 0
    for session_id in host.active:
        shell = host.find(session_id)
        if shell is not None:
            states[shell.state] += 1
            waiting += shell.mailbox
            deepest = max(deepest, shell.mailbox)
    for state in _STATES:
        meter.set(what.SESSIONS, states[state], state)
    meter.set(what.MAILBOX, waiting)
    meter.set(what.DEEPEST, deepest)
