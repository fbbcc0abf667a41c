"""How the local model is served.

The rule here: a request whose prompt and answer fit the window never fails because of other requests. So every slot has
a window of its own: llama.cpp divides one cache among its slots, and `cache_tokens` is what it is given to divide.
"""

import os
from typing import Self

from pydantic import Field, ValidationError

from agent_core.errors import ConfigError
from agent_core.frozen import Frozen

MODEL_NAME = "smollm2"
"""The part of `local/smollm2` after the slash, and the server's name for its model."""
CONTEXT_WINDOW = 8192
"""Tokens that the model was trained to see at once, as its GGUF file says (`llama.context_length`)."""
_MOST_THREADS = 8


class LocalModelOptions(Frozen):
    """Where the server listens and what it may use.

    `port` 0 is any free one. `slots` requests are answered at once, each with `context` tokens for prompt and answer;
    the others wait for their turn. A slot takes 23 KB of memory per token of context (190 MB for the whole window), the
    model itself 150 MB. `threads` is by default one fewer than the cores that this process may use, 8 at most:
    llama.cpp's threads wait for each other after every layer, so where other processes need the cores too, one thread
    was measured 3 to 5 times as fast as two.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    slots: int = Field(default=4, ge=1, le=256)
    context: int = Field(default=CONTEXT_WINDOW, ge=256, le=CONTEXT_WINDOW)
    threads: int | None = Field(default=None, ge=1, le=512)

    @property
    def cache_tokens(self) -> int:
        """Tokens that llama.cpp divides among the slots."""
        return self.slots * self.context

    @property
    def thread_count(self) -> int:
        """Threads that compute."""
        return self.threads or min(_MOST_THREADS, max(1, _cores() - 1))

    @classmethod
    def of(cls, **fields: object) -> Self:
        """Make options from a user's values. Raises ConfigError with the name of each wrong field."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = "; ".join(f"{item['loc'][0]}: {item['msg']} (given: {item['input']})" for item in error.errors())
            raise ConfigError(f"The local model cannot be served so. {wrong}.", "local_model") from None


def _cores() -> int:
    """The cores that this process may use, where the system tells, else all."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
