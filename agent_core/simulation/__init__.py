"""The simulation: the whole system in one process, on a virtual clock, with seeded faults and schedules.

Real machines, shells, hosts and wires run against a journal, a model and tools that fail on purpose; processes are
killed and replaced, owners compete. Every rule is checked after every step, and what must hold in the end once the
faults have ceased. `loop.py` is time, `processes.py` what can be killed, `parts.py` the faulty ports, `earlier.py` what
was said before, `world.py` the whole, `clients.py` who uses it, `rules.py` what must hold.

The rule here: everything that happens follows from the seed, so that a failure is found again by its number.
"""
