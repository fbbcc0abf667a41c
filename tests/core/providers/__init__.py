"""Tests of the providers: every wire over real HTTP, its bodies and its readers, keys, retries and permits."""
