"""Tests of `drivers`: each starts the program in a process of its own, as a user does."""
