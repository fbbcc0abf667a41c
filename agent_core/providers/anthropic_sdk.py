"""Anthropic's SDK: the only module that imports it.

The rule here: nothing but the making of a client.
"""

from functools import partial
from typing import Any

import httpx2
from anthropic import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
    AsyncStream,
    DefaultAioHttpClient,
)

from agent_core.providers.sdk_client import LIMITS, SdkClient, SdkErrors


def make_client(key: str, base_url: str | None) -> SdkClient:
    """A client on aiohttp. Without a `base_url` the SDK's own default holds (ANTHROPIC_BASE_URL, else Anthropic's)."""
    http = DefaultAioHttpClient(limits=LIMITS)
    # Its own spans would tell of each model call twice, apart from the turn, with content if its own variables say so.
    sdk = AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, http_client=http, open_telemetry=False)
    post = partial(sdk.post, cast_to=httpx2.Response, stream=True, stream_cls=AsyncStream[Any])
    return SdkClient(post, sdk.close, SdkErrors(APIStatusError, APITimeoutError, APIConnectionError), key)
