"""Compaction: when, what and how to make a long conversation small. One file per strategy.

The rule here: a strategy only plans; it returns overlays and never touches the history.
"""
