"""All checks, in the order in which they are shown.

The rule here: a new check is one more line in the module of its area.
"""

from drivers.doctoring import cluster, journal_database, journal_file, keys, machine, program
from drivers.doctoring.checks import Check
from drivers.options import PlaceOptions

ALL: tuple[Check, ...] = (
    *program.CHECKS,
    *keys.CHECKS,
    *machine.CHECKS,
    *journal_file.CHECKS,
    *journal_database.CHECKS,
    *cluster.CHECKS,
)


def of(place: PlaceOptions) -> tuple[Check, ...]:
    """Those that mean something for these options: of the two kinds of journal there is one."""
    other = "journal" if place.journal is not None else "database"
    return tuple(check for check in ALL if check.area != other)
