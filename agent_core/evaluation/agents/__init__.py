"""Agents: who answers a sample with the help of a session.

`chat.py` says what a sample says, `react.py` works in a loop of tools until the model submits an answer, `naming.py`
finds the agent that a task or a flag names. The rule here: an agent sends the same messages when it gets the same
answers, so that it can be run again on a session whose process was lost.
"""
