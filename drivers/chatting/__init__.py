"""The parts of `python -m drivers.chat`.

What happens is folded by `transcript.py` into *pieces* (what is said for good) and a *live part* (what still grows).
`rendering.py` turns both into terminal text. `screen.py` puts pieces into the scrollback, and redraws live part, input
and status line in place. `conversation.py` joins the screen to the session; `commands.py` lists the slash commands
(`command.py` says what one is), `keeping.py` has those about compaction and pins, and `compactions.py` says what
becomes of either. `view.py` and `status_line.py` draw what changes in place. `piped.py` is the whole of the program
where there is no terminal. `quiet.py` keeps everybody else off both.
"""
