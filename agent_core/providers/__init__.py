"""Providers: every request to a model goes through here, on the providers' own SDKs.

A *wire* (`wire.py`: `anthropic_messages`, `openai_responses`, `openai_chat`) is a pure encoder and a reader of JSON
values. An *exchange* (`exchange.py`) performs one request on a shared SDK client (`clients.py`). The *dispatch*
(`dispatch.py`) picks the wire, `retry.py` holds a permit and makes the request again where that is safe.

The rule here: an SDK is imported when its first client is made and only in its own module (`anthropic_sdk.py`,
`openai_sdk.py`). Keys are resolved here, in the process that calls, and are in no error text.
"""
