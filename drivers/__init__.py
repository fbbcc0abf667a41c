"""Programs, one a file, each run as `python -m drivers.NAME` from the root of the repository."""
