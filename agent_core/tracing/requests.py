"""What is said of a request to a model and of its usage, as attributes.

The rule here: numbers are the provider's own, made to mean what the conventions say: input tokens include those that
were read from or written to the prompt cache.
"""

from urllib.parse import urlsplit

from agent_core.config import SessionConfig
from agent_core.messages import Usage
from agent_core.tracing import names
from agent_core.tracing.spans import Value


def model_attributes(config: SessionConfig) -> dict[str, Value]:
    """Who is asked."""
    return {names.PROVIDER: config.provider, names.REQUEST_MODEL: config.model_name}


def request_attributes(config: SessionConfig, max_tokens: int) -> dict[str, Value]:
    """Who is asked, where, and for what."""
    said: dict[str, Value] = {
        **model_attributes(config),
        names.REQUEST_MAX_TOKENS: max_tokens,
        names.REQUEST_STREAM: config.streaming,
    }
    if config.temperature is not None:
        said[names.REQUEST_TEMPERATURE] = config.temperature
    if config.stop_sequences:
        said[names.REQUEST_STOP_SEQUENCES] = config.stop_sequences
    if config.base_url is not None:
        parts = urlsplit(config.base_url)
        if parts.hostname:
            said[names.SERVER_ADDRESS] = parts.hostname
            said[names.SERVER_PORT] = parts.port or (80 if parts.scheme == "http" else 443)
    return said


def usage_attributes(usage: Usage) -> dict[str, Value]:
    """What it took, in tokens; nothing if nothing is known."""
    if not usage.context_tokens:
        return {}
    said: dict[str, Value] = {
        names.INPUT_TOKENS: usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
    }
    if usage.cache_read_tokens:
        said[names.CACHE_READ_TOKENS] = usage.cache_read_tokens
    if usage.cache_write_tokens:
        said[names.CACHE_WRITE_TOKENS] = usage.cache_write_tokens
    return said
