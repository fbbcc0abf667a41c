"""The parts of `python -m drivers.evaluate`: its options, its files, its running, and what it shows."""
