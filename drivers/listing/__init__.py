"""The parts of `python -m drivers.sessions`.

`options.py` says what may be asked, `journals.py` opens the journal, to look or to write. `table.py` draws the list,
`telling.py` one conversation. `writing_out.py` exports, `as_dataset.py` as samples. `removing.py` deletes, after
`asking.py` has asked.
"""
