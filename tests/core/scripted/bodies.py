"""Request bodies that are valid, and how to bend them."""

from collections.abc import Callable
from typing import Any

import pytest

from agent_core.scripted import ModelLimits, Signer, WireError

SIGNER = Signer()
LIMITS = ModelLimits()

ADD: Any = {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}}
CHAT_ADD: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
RESPONSES_ADD: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def assistant(content: Any) -> Any:
    return {"role": "assistant", "content": content}


def tool_use(call_id: str = "t1", name: str = "add") -> Any:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def tool_result(call_id: str = "t1", content: Any = "3") -> Any:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def thinking(text: str = "hm") -> Any:
    return {"type": "thinking", "thinking": text, "signature": SIGNER.thinking(text)}


def messages_body(*messages: Any, **fields: Any) -> Any:
    """An Anthropic body."""
    return {"model": "m", "max_tokens": 100, "messages": list(messages) or [user("hi")], **fields}


def chat_call(*ids: str) -> Any:
    calls = [{"id": i, "type": "function", "function": {"name": "add", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def chat_result(call_id: str) -> Any:
    return {"role": "tool", "tool_call_id": call_id, "content": "3"}


def chat_body(*messages: Any, **fields: Any) -> Any:
    """A Chat Completions body."""
    return {"model": "m", "messages": list(messages) or [user("hi")], **fields}


def function_call(call_id: str = "c1", **fields: Any) -> Any:
    return {"type": "function_call", "call_id": call_id, "name": "add", "arguments": "{}", **fields}


def function_output(call_id: str = "c1") -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": "3"}


def reasoning(item_id: str = "rs_1", text: str = "hm", **fields: Any) -> Any:
    summary = [{"type": "summary_text", "text": text}]
    content = SIGNER.reasoning(item_id, text)
    return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": content, **fields}


def responses_body(*items: Any, **fields: Any) -> Any:
    """A Responses body."""
    return {"model": "m", "input": list(items) or "hi", "store": False, **fields}


def refused(validate: Callable[[], object]) -> WireError:
    """The refusal that `validate` raises."""
    with pytest.raises(WireError) as caught:
        validate()
    return caught.value
