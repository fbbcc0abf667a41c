"""What the figures of the README are made with. Each program is run as `python -m benchmarks.NAME`."""
