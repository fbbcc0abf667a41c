"""The llama.cpp server inside this process, set up for the local model.

The rule here: only `python -m agent_core.local_model` uses this module, since what it loads stays until the process
ends. The parameters are those of `xllamacpp.CommonParams`, which are llama.cpp's own (`common/common.h`).
"""

import errno
import socket
from importlib import import_module, resources
from typing import Any

from agent_core.errors import ConfigError
from agent_core.local_model.installed import ENGINE_PACKAGE, check_installed, weights_file
from agent_core.local_model.options import MODEL_NAME, LocalModelOptions

_PACKAGE = "agent_core.local_model"
_PROMPT_CACHE_MB = 256
_ERRORS_ONLY = 1


class ServedModel:
    """A running server at `address`. It ends with the process: llama.cpp has threads that nothing else stops."""

    def __init__(self, address: str, engine: object) -> None:
        self.address = address
        self._engine = engine


def serve(options: LocalModelOptions) -> ServedModel:
    """Load the model and answer requests from now on.

    Raises ConfigError if something is not installed or the address cannot be listened on, RuntimeError if llama.cpp
    refuses, which says why on standard error.
    """
    check_installed()
    check_address(options.host, options.port)
    engine: Any = import_module(ENGINE_PACKAGE)
    server = engine.Server(_parameters(engine, options))
    return ServedModel(str(server.listening_address), server)


def check_address(host: str, port: int) -> None:
    """Raises ConfigError if nothing can listen there. llama.cpp itself does not say what is wrong."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port: {port} is in use on {host}. Choose another, or 0 for any free one.", "port_in_use"
            ) from None
        raise ConfigError(
            f"host: the server cannot listen on {host}, port {port} ({error.strerror}). Give an address of this"
            " machine: 127.0.0.1 for itself alone, its own for other machines.",
            "host",
        ) from None


def _parameters(engine: Any, options: LocalModelOptions) -> Any:
    parameters = engine.CommonParams()
    parameters.model.path = str(weights_file())
    parameters.model_alias = {MODEL_NAME}
    parameters.chat_template = resources.files(_PACKAGE).joinpath("chat_template.jinja").read_text(encoding="utf-8")
    parameters.hostnames = [options.host]
    parameters.port = options.port
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.cache_tokens
    # A long prompt is read in pieces of this many tokens, between which the other slots go on.
    parameters.n_batch = 512
    parameters.cache_ram_mib = _PROMPT_CACHE_MB
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = options.thread_count
        # Waiting threads sleep: the cores are shared with those who ask.
        threads.poll = 0
    _sampling(parameters.sampling)
    parameters.verbosity = _ERRORS_ONLY
    parameters.offline = True
    # No page in a browser may speak to it, nor see what others asked.
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.endpoint_slots = False
    return parameters


def _sampling(sampling: Any) -> None:
    """What a request gets that asks for nothing else.

    Temperature and top_p are what the model's card advises. So small a model falls into loops: the DRY sampler makes it
    less and less likely to go on with a sequence that stands in the last tokens already. A plain repetition penalty
    would end loops too, but it also keeps the model from copying a tool's result.
    """
    sampling.temp = 0.2
    sampling.top_p = 0.9
    sampling.dry_multiplier = 0.8
    sampling.dry_allowed_length = 4
    sampling.dry_penalty_last_n = 256
