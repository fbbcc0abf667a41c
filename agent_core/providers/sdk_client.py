"""One client of a provider's SDK, with what the two SDKs have in common.

The rule here: the SDK finds the address, the credentials and the headers, sends, and says what failed. Bodies go in
and come out as bytes, since the SDK's own models cost as much again as the whole exchange (see benchmarks). Its
retries are off: there is one policy, in `retry.py`. `post` with `cast_to=httpx2.Response` is the SDKs' documented way
to make a request of one's own.

Imported by the modules of the SDKs only.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2

from agent_core.errors import ProviderError
from agent_core.providers.errors import cut_short, status_error, timed_out, unreachable

# The most that one process holds open. Idle ones are closed a little before load balancers usually do it.
LIMITS = httpx2.Limits(max_connections=10_000, max_keepalive_connections=10_000, keepalive_expiry=50.0)
_CONNECT_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class SdkErrors:
    """The error classes of an SDK. `timeout` is a kind of `connection`."""

    status: type[Any]
    timeout: type[Exception]
    connection: type[Exception]


class SdkClient:
    """A client for one provider, key and URL. `secrets` are what must be scrubbed from every text."""

    def __init__(
        self, post: Callable[..., Awaitable[Any]], close: Callable[[], Awaitable[None]], errors: SdkErrors, key: str
    ) -> None:
        self._post = post
        self._close = close
        self._errors = errors
        self.secrets = (key,)

    async def post(self, path: str, body: bytes, *, seconds: float) -> httpx2.Response:
        """Send a JSON body; the response's own body is not read yet. `seconds` bounds every single wait.

        Raises the SDK's errors, for `failure`.
        """
        limits = httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_TIMEOUT))
        return await self._post(path, content=body, options={"timeout": limits, "headers": _JSON})

    def failure(self, error: Exception, provider: str, *, seconds: float, now: float) -> ProviderError | None:
        """The error that `error` stands for, or None if it does not come from the exchange."""
        errors = self._errors
        if isinstance(error, errors.status):
            failed: Any = error
            return status_error(provider, failed.status_code, failed.body, failed.response.headers, now=now)
        cause = _cause(error)
        if isinstance(cause, (TimeoutError, httpx2.TimeoutException, errors.timeout)):
            return timed_out(provider, seconds)
        if isinstance(error, errors.connection):
            return unreachable(provider, str(error.__cause__ or error if cause is error else cause))
        if isinstance(error, (httpx2.TransportError, httpx2.StreamError, OSError)):
            return cut_short(provider, str(cause))
        return None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._close()


def _cause(error: BaseException) -> BaseException:
    """What aiohttp raised, if it did: one SDK takes a refused connection for a time-out."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, aiohttp.ClientError):
        cause = cause.__cause__
    return cause or error


_JSON = {"Content-Type": "application/json"}
