"""Tools: typed functions that a model may call, what they are for the model, and how they are run.

The rule here: a failed tool is data. Nothing that a tool does takes a session down.
"""
