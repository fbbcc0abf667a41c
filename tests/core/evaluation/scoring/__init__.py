"""Scorers: what they make of answers, and what bad ones may do to nobody.

The rule here: time is a clock that the tests move, and a child process ends with the test that needed it.
"""
