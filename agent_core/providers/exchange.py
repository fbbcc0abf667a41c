"""One exchange: a request is sent, its answer read, and the response closed whatever happens.

The rule here: everything that leaves this module is a model event or a ProviderError without a secret in it. The
connection goes back to the pool only when the answer was read to its end; else it is closed, so that a cancelled
request costs no more tokens.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from agent_core.errors import ProviderError
from agent_core.ports import Clock, ModelEvent, ModelRequest
from agent_core.providers.clients import Clients, prepare
from agent_core.providers.encoding import decode
from agent_core.providers.errors import malformed, stream_error
from agent_core.providers.keys import redact
from agent_core.providers.sse import EventData
from agent_core.providers.wire import Json, Reader, Wire

if TYPE_CHECKING:
    from httpx2 import Response

    from agent_core.providers.sdk_client import SdkClient

_DONE = b"[DONE]"
# Seconds that the end of a body is waited for after the end of the answer: only then is the connection used again.
_LINGER = 0.5
# What a reader raises when a value lacks a field or has another type than the API says.
_UNREADABLE = (KeyError, TypeError, AttributeError, IndexError, ValueError)


@dataclass(frozen=True, slots=True)
class Exchanges:
    """What every exchange needs."""

    clients: Clients
    clock: Clock

    async def perform(self, wire: Wire, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of one request. Raises ProviderError, and ConfigError before anything is sent."""
        config = request.config
        body = wire.encode(request)
        await prepare(wire.sdk)
        client = self.clients.get(config, wire.sdk)
        reader = wire.reader(request)
        response: Response | None = None
        failure: ProviderError | None = None
        try:
            response = await client.post(wire.path, body, seconds=config.timeout)
            if config.streaming and not _is_json(response):
                async with aclosing(_chunks(response, config.provider)) as chunks:
                    parser = EventData()
                    async for chunk in chunks:
                        for event in _read(parser.feed(chunk), reader):
                            yield event
                        if reader.finished:
                            await _drain(chunks)
                            break
                    else:
                        for event in _read(parser.end(), reader):
                            yield event
            else:
                for event in _whole(await response.aread(), reader, config.provider):
                    yield event
            for event in reader.end():
                yield event
        except Exception as error:
            failure = self._failure(error, client, request)
            if failure is None:
                raise
        finally:
            if response is not None:
                await response.aclose()
        if failure is not None:
            # Raised out here, so that it does not drag along the SDK's error, which holds the request and its headers.
            raise failure

    def _failure(self, error: Exception, client: "SdkClient", request: ModelRequest) -> ProviderError | None:
        config = request.config
        failure: ProviderError | None
        if isinstance(error, ProviderError):
            failure = error
        else:
            failure = client.failure(error, config.provider, seconds=config.timeout, now=self.clock.now())
        if failure is None and isinstance(error, _UNREADABLE):
            failure = malformed(config.provider, f"{type(error).__name__}: {error}")
        if failure is None:
            return None
        if failure.kind == "authentication":
            self.clients.forget_key(config)
        message, *rest = failure.args
        return ProviderError(redact(message, client.secrets), *rest)


def _read(batch: Iterable[bytes], reader: Reader) -> Iterable[ModelEvent]:
    for data in batch:
        if data.strip() == _DONE:
            reader.finished = True
        else:
            yield from reader.feed(_object(decode(data)))


def _whole(data: bytes, reader: Reader, provider: str) -> Iterable[ModelEvent]:
    body = _object(decode(data))
    if body.get("error"):
        raise stream_error(provider, body["error"])
    return reader.whole(body)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, not {str(value)[:80]!r}")
    return cast("Json", value)


async def _chunks(response: "Response", provider: str) -> AsyncGenerator[bytes, None]:
    """The body as it arrives; if not compressed, from the transport itself, past two layers of iterators."""
    if response.headers.get("content-type", "").startswith("text/html"):
        raise malformed(provider, "a web page")
    compressed = "content-encoding" in response.headers
    source = response.aiter_bytes() if compressed else cast("AsyncIterator[bytes]", response.stream)
    async for chunk in source:
        yield chunk


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_LINGER):
            async for _ in chunks:
                pass
    except Exception:  # noqa: BLE001 - the answer is whole; however its connection ends, that changes nothing
        return


def _is_json(response: "Response") -> bool:
    return response.headers.get("content-type", "").startswith("application/json")
