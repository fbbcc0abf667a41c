"""What `python -m drivers.top` is made of."""
