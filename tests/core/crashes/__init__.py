"""The crash matrix: one conversation, and a process that is lost at each moment of it."""
