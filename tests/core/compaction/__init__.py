"""Compaction: plans, jobs and summaries."""
