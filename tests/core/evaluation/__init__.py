"""Evaluation: datasets, resuming, counting and the runner, on fakes and without Ray."""
