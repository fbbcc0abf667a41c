"""Tests of the statistics of evaluations: figures from the literature, and what must hold for any scores."""
