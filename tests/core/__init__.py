"""Tests of `agent_core`. The rule: nothing here imports Ray, opens a network connection or waits for a clock."""
