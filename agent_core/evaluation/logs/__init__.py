"""Open formats of a run: `.eval` logs that Inspect reads, and Parquet.

`messages.py`, `events.py` and `sample.py` say what a result is in a log, `names.py` what it is called there, `log.py`
writes a log and `closing.py` ends it, on top of `archive.py`, a ZIP file that a kill leaves whole. `reading.py` reads
samples back, `shards.py` and `merge.py` make one log of many, `parquet.py` writes columns.

The rule here: nothing needs Inspect. The format is that of the log types of inspect_ai 0.3.285, version 2 of its log
schema; members are compressed by DEFLATE, which all of its readers take.
"""
