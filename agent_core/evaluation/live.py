"""Where a run that is under way is reached, written beside its results for as long as it is.

The rule here: it helps to find a run, and decides nothing. One that was left by a process that was killed names a run
that is not there, and whoever asks finds that out.
"""

import os
import socket
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from agent_core.frozen import Frozen


class Live(Frozen):
    """The Ray cluster and the namespace in which a run's coordinator is found by name.

    `address` is None for a run inside the process `pid` on `host`.
    """

    run_id: str
    address: str | None = None
    namespace: str = ""
    host: str
    pid: int

    @classmethod
    def here(cls, run_id: str, address: str | None = None, namespace: str = "") -> Self:
        """Of a run that this process starts."""
        return cls(run_id=run_id, address=address, namespace=namespace, host=socket.gethostname(), pid=os.getpid())

    def write(self, place: Path) -> None:
        """Put it where `read` finds it. Raises OSError."""
        temporary = place.with_name(place.name + ".new")
        temporary.write_text(self.model_dump_json(indent=2) + "\n")
        temporary.replace(place)

    @classmethod
    def read(cls, place: Path) -> Self | None:
        """What was written there; None if there is nothing that can be read."""
        try:
            return cls.model_validate_json(place.read_bytes())
        except (OSError, ValidationError):
            return None
