"""Names of the sessions of a run.

The rule here: an attempt's session has the same id whenever it is made, so that an attempt whose driver was killed
goes on in the session that it had, and no answer is paid for twice.
"""

import hashlib
import re

from agent_core.evaluation.sample import Assignment
from agent_core.messages import SessionId

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_READABLE = 40


def branch_id_of(session_id: SessionId, number: int) -> SessionId:
    """The id of the nth branch of a sample's session, from 1: `....bN@HOME`, in the same place."""
    name, at, home = session_id.partition("@")
    return SessionId(f"{name}.b{number}{at}{home}")


def session_id_of(run_id: str, configuration: str, assignment: Assignment, attempt: int) -> SessionId:
    """`RUN.SAMPLE.EPOCH.ATTEMPT.HASH@HOME`: readable as far as the sample's id is, unique by the hash of it all.

    The home, if it has one, is where it is placed: see `agent_core.placement.home_of`.
    """
    sample = assignment.sample
    whole = "\0".join((run_id, configuration, sample.id, sample.digest, str(assignment.epoch), str(attempt)))
    readable = _UNSAFE.sub("-", sample.id)[:LONGEST_READABLE]
    digest = hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()
    home = "" if assignment.home is None else f"@{assignment.home}"
    return SessionId(f"{run_id}.{readable}.e{assignment.epoch}.a{attempt}.{digest}{home}")
