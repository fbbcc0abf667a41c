"""Metering: what the sessions of a process do, as numbers.

The rule here: numbers are of bounded kinds. A tag is a model, a provider, a tool, a state or an outcome, never an id.
"""
