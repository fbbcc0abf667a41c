"""`local/smollm2`: a small model that needs no key, served by llama.cpp in a process of its own.

The rule here: the process ends with whoever started it, however that one ends, and nothing of it is loaded anywhere
else: llama.cpp is in `serving.py`, which only that process imports. To everybody else the model is a base URL.
"""

from agent_core.local_model.options import CONTEXT_WINDOW, MODEL_NAME, LocalModelOptions
from agent_core.local_model.server import LocalModelServer, Pace

__all__ = ["CONTEXT_WINDOW", "MODEL_NAME", "LocalModelOptions", "LocalModelServer", "Pace"]
