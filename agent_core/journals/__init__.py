"""Journals: implementations of the `Journal` port. In memory for tests, SQLite for everything that lasts.

The rule here: what an append has answered is never lost, and no record is ever there twice. All of them judge an append
by the one set of rules in `rules.py`.
"""

JOURNAL_FILE = "journal.db"
"""What the file of a journal is called in its data directory."""
