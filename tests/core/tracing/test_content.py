"""What spans say of what was said: nothing, unless it is asked for; and never a key."""

import json

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from agent_core.testing import Says
from agent_core.tracing import names
from agent_core.tracing.content import messages_told, told
from agent_core.tracing.settings import trace_settings
from tests.core.playbook import LOOKUP
from tests.core.tracing.watched import TracedStage, said

KEY = "-".join(("sk", "ant", "0123456789abcdef"))  # noqa: FLY002 - no source holds what looks like a key
CONTENT = (
    names.INPUT_MESSAGES,
    names.OUTPUT_MESSAGES,
    names.SYSTEM_INSTRUCTIONS,
    names.TOOL_ARGUMENTS,
    names.TOOL_RESULT,
)


async def told_of(*, content: bool) -> TracedStage:
    stage = TracedStage(Says("thinking aloud", calls=[("lookup", {"q": KEY})]), Says("the answer"), content=content)
    stage.tools.functions["lookup"] = lambda _: f"Authorization: Bearer {KEY}"
    session = await stage.session("s", LOOKUP, system_prompt="be secretive")
    await session.ask(f"what is {KEY}?")
    stage.close()
    return stage


async def test_nothing_that_was_said_is_in_a_span_unless_asked_for() -> None:
    stage = await told_of(content=False)
    everything = str([(span.name, span.attributes, span.events, span.status) for span in stage.kept.ended])
    assert not any(name in everything for name in CONTENT)
    assert not any(words in everything for words in ("thinking aloud", "the answer", "secretive", "what is", KEY))


async def test_content_that_is_asked_for_has_the_form_of_the_conventions_and_no_key() -> None:
    stage = await told_of(content=True)
    last, tool = said(stage.spans("chat")[1]), said(stage.span("execute_tool"))
    given = json.loads(last[names.INPUT_MESSAGES])
    assert [message["role"] for message in given] == ["user", "assistant", "tool"]
    assert given[1]["parts"][0] == {"type": "text", "content": "thinking aloud"}
    assert given[2]["parts"][0]["type"] == "tool_call_response"
    (answer,) = json.loads(last[names.OUTPUT_MESSAGES])
    assert answer == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "the answer"}],
        "finish_reason": "end_turn",
    }
    assert json.loads(last[names.SYSTEM_INSTRUCTIONS])[0]["content"] == "be secretive"
    assert json.loads(tool[names.TOOL_ARGUMENTS]) == {"q": "[redacted]"}
    everything = str([(span.attributes, span.events) for span in stage.kept.ended])
    assert "Authorization" in everything
    assert KEY not in everything


async def test_a_long_conversation_is_told_of_by_its_newest_messages() -> None:
    stage = TracedStage()
    session = await stage.session("s")
    for number in range(8):
        await session.ask(f"{number} " + "word " * 2_000)
    text = messages_told(await session.history())
    assert len(text) < 45_000
    assert '"7 word' in text
    assert '"0 word' not in text
    assert len(told("x" * 100_000)) == 8_000
    stage.close()


def test_names_are_those_of_the_conventions() -> None:
    sources = (conventions, error_attributes, http_attributes, server_attributes)
    known = {getattr(source, name) for source in sources for name in dir(source) if name.isupper()}
    ours = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    attributes = {name for name in ours if "." in name and not name.startswith(("rayconteur.", "https:"))}
    assert attributes <= known
    operations = {item.value for item in conventions.GenAiOperationNameValues}
    assert {names.INVOKE_AGENT, names.CHAT, names.EXECUTE_TOOL} <= operations


BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({BASE: "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({BASE: "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
        ({BASE: "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
        ({BASE: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_standard_variables_say_where_spans_go(environment: dict[str, str], endpoint: str | None) -> None:
    settings = trace_settings(environment)
    assert (settings.endpoint if settings else None) == endpoint


def test_the_service_is_named_as_usual_and_content_is_asked_for_by_the_conventions_variable() -> None:
    base = {BASE: "http://c:4318"}
    plain = trace_settings(base)
    assert plain is not None
    assert (plain.service, plain.content) == ("rayconteur", False)
    capture = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    named = trace_settings({**base, "OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=support", capture: "true"})
    assert named is not None
    assert (named.service, named.content) == ("support", True)


@pytest.mark.parametrize("endpoint", ["http://me:secret@c:4318", "http://c:4318/?token=secret"])
def test_an_endpoint_with_what_may_be_a_secret_does_not_travel(endpoint: str) -> None:
    settings = trace_settings({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint})
    assert settings is not None
    assert not settings.may_travel


def test_another_protocol_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert trace_settings({BASE: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) is not None
    assert "not by grpc" in caplog.text
