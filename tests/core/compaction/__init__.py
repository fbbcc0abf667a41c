"""Compaction: its parts on their own, without a session."""
