"""Tests of the scripted model: validation, scripts, knobs and the three wires, read by the real SDKs."""
