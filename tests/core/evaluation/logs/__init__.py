"""Tests of the open formats of a run: logs that Inspect reads, merging, Parquet."""
