"""Traces: every span that is begun is ended, whatever happens, and says what happened."""
