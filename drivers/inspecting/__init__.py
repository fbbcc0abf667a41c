"""Tasks written for Inspect, run on sessions; and sessions as a solver of Inspect's own evaluations.

The rule here: nothing else in the project imports `inspect_ai`, and what is imported from here without it works as far
as it can: `source.py` is read by drivers and workers, every other module only where Inspect is there. What is taken
from Inspect beside its public names is in `inside.py` alone.
"""
