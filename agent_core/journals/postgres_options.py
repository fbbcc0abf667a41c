"""How a journal on PostgreSQL is used.

The rule here: nothing in these is a secret, for they travel with the settings of a runtime.
"""

from dataclasses import dataclass
from typing import Literal

Durability = Literal["process", "power"]


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """All times in seconds. `patience` is how long an operation is tried again while the server is away or locked.

    `durability` is PostgreSQL's synchronous_commit: "process" is `local`, "power" is `on`. Both have a commit flushed
    to the server's disk before it is answered, and `on` waits for the standby servers too that the server was told to
    wait for. `off` would be quicker and is not offered: it answers while the commit is in the memory that the server's
    processes share, which is thrown away when one of them is killed.
    """

    durability: Durability = "process"
    patience: float = 60.0
    statement_timeout: float = 30.0
    lock_timeout: float = 10.0
