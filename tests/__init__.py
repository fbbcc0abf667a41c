"""Tests: `core` runs without Ray in seconds, `actors` on one local cluster, `drivers` as a user runs the programs."""
