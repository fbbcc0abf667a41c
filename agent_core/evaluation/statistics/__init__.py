"""Statistics of evaluations: what the scores of a run say, how surely, and how two runs differ.

`collected.py` holds the scores of a run, `reducing.py` makes one number of a sample's epochs, `estimates.py` says mean,
error and coverage, `figures.py` all of it for a run; `comparing.py` pairs two runs and `paired.py` reckons with the
pairs, `gating.py` holds a run against conditions, `running.py` is the mean of a run under way. `intervals.py`,
`resampling.py` and `exact.py` are what they reckon with. The rule here: the sample is the unit, its epochs are one
cluster; what has no score is never a zero; the same results and seed give the same figures. NumPy and SciPy are
imported by the modules that reckon with them, which nothing imports before it needs figures.
"""
