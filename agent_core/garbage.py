"""How often a process that holds many sessions looks for garbage.

The rule here: such a process calls this once, when it is set up. Python looks through everything that lives after each
700 new objects, and what sessions drop is nearly all free of cycles: with thousands of sessions that is a third of all
CPU, and so it is in an evaluation of 3,000 samples, 100 at once. The others do without. In the journal's process it is
a thousandth of the CPU, and in a tool executor tools may leave cycles that hold much.
"""

import gc

_NEW_OBJECTS = 50_000


def settle_garbage() -> None:
    """Leave out of collection what lives now, and collect less often from here on."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 50)
