"""The parts of `python -m drivers.doctor`: checks in groups, what they find, and how that is shown.

A check (`checks.py`) is a small coroutine that looks at one thing and returns one finding (`findings.py`);
`registry.py` lists all of them. What a fact means is decided by functions that take facts alone (`judge_...`).

The rule here: a check looks and changes nothing, and whatever becomes of it, the others go on.
"""
