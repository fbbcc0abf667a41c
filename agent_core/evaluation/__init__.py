"""Evaluation: many samples, each in a session of its own, and one honest outcome for each of them.

`sample.py` and `dataset.py` say what is asked, `configuration.py` how, `result.py` and `verdict.py` what came of it,
`index.py` and `resume.py` what is still to do, `runner.py` does it and `summary.py` counts. The rule here: every
sample and epoch ends in exactly one outcome, a failure is data, and nothing held in memory grows with the number of
samples.
"""
