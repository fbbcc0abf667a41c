"""The report of a run: one HTML file with figures, plots and transcripts, which opens from disk without a network."""
