"""Checks of a journal in a PostgreSQL database.

The rule here: one connection finds out everything, and the checks only say what it means.
"""

from typing import TYPE_CHECKING

from drivers.doctoring.checks import Check
from drivers.doctoring.findings import Finding, ok, problem, size, warning
from drivers.doctoring.subject import Subject

if TYPE_CHECKING:
    from agent_core.journals.postgres_examining import PostgresFacts

# One round trip for each append of a session at work: from here on a turn feels it.
SLOW = 0.02
FEW_CONNECTIONS = 10
# The driver and the SQL of the journal are tested with no older server.
OLDEST = 12
_WHY = "the database cannot be asked"


async def database(subject: Subject) -> Finding:
    """Whether it can be reached, how quickly, and what it is."""
    return judge_server(await subject.database(), str(subject.place.journal))


def judge_server(facts: "PostgresFacts", where: str) -> Finding:
    """Version, latency, and whether it may be written to."""
    told = f"PostgreSQL {facts.server.split()[0]}, {facts.latency * 1000:.1f} ms a round trip, {size(facts.bytes)}"
    major = facts.server.split(".")[0].split()[0]
    if facts.standby or facts.settings.get("default_transaction_read_only") == "on":
        return problem(
            f"{where}: it may only be read" + (" (a standby)" if facts.standby else ""), "Name the primary server."
        )
    if major.isdigit() and int(major) < OLDEST:
        return warning(f"{told}: older than {OLDEST}", "Bring the server up to date.")
    if facts.latency > SLOW:
        return warning(told, "Every append waits for one: keep the database near the cluster.")
    return ok(told)


async def schema(subject: Subject) -> Finding:
    """Whether there is a journal in it, of a version that this program knows."""
    return judge_schema(await subject.database.needed(_WHY))


def judge_schema(facts: "PostgresFacts") -> Finding:
    """What is in the schema that the user's search path names first."""
    if facts.foreign:
        return problem("its tables are another program's", "Name another database or schema for the journal.")
    if facts.version is None:
        if not facts.may_create:
            return problem(
                "there are no tables, and this user may make none", "GRANT USAGE, CREATE ON SCHEMA ... TO this user."
            )
        return ok("no journal yet; the first session makes it")
    version = int(facts.version) if facts.version.isdigit() else 0
    if version > facts.newest:
        return problem(f"version {version}, this program knows {facts.newest}", "Update this program.")
    if version < facts.newest:
        return warning(
            f"version {version}, this program makes {facts.newest} of it when it opens it", "Back it up before."
        )
    return ok(f"version {version}")


async def durability(subject: Subject) -> Finding:
    """What the server does with a commit before it answers."""
    return judge_durability((await subject.database.needed(_WHY)).settings)


def judge_durability(settings: dict[str, str]) -> Finding:
    """`fsync`, `full_page_writes` and `synchronous_commit`, of which the journal sets the last itself.

    See https://www.postgresql.org/docs/current/runtime-config-wal.html
    """
    off = [name for name in ("fsync", "full_page_writes") if settings.get(name) == "off"]
    if off:
        return warning(
            f"{' and '.join(off)} off: a power cut can damage the journal", "Turn them on in postgresql.conf."
        )
    return ok(f"fsync on; synchronous_commit {settings.get('synchronous_commit', '?')} (the journal sets its own)")


async def connections(subject: Subject) -> Finding:
    """How many more connections it takes."""
    facts = await subject.database.needed(_WHY)
    return judge_connections(facts.connections, facts.max_connections, facts.reserved)


def judge_connections(used: int, most: int, reserved: int) -> Finding:
    """Whether session actors get theirs: each keeps one, and has some more while it is busy."""
    left = max(0, most - reserved - used)
    told = f"{left} of {most} connections are left"
    if left < FEW_CONNECTIONS:
        return warning(told, "Raise max_connections: each session actor keeps one, and takes up to 4 when busy.")
    return ok(told)


async def encryption(subject: Subject) -> Finding:
    """Whether conversations travel in plain text."""
    facts = await subject.database.needed(_WHY)
    if facts.encrypted:
        return ok("the connection is encrypted (TLS)")
    if facts.by_socket:
        return ok("the connection is a socket of this machine")
    return warning("the connection is not encrypted", "Add ?sslmode=verify-full to the DSN, and TLS to the server.")


CHECKS = (
    Check("database", "server", database),
    Check("database", "schema", schema),
    Check("database", "durability", durability),
    Check("database", "connections", connections),
    Check("database", "encryption", encryption),
)
