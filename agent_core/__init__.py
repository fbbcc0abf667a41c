"""Rayconteur's core: everything that can be known without Ray.

Five nouns carry it. *Entries* (`entries.py`) are the facts of a session, journalled. The *machine* (`turn.py`) is the
only place that decides: inputs in, entries and commands out, no I/O, no clock. The *shell* (`session.py`) performs the
commands. *Ports* (`ports.py`) are what the shell performs them with: model, tools, journal, permit, clock. *Overlays*
(`overlays.py`) change what the model sees and never what happened.
"""
