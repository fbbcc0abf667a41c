"""What may happen to a session, as Hypothesis strategies. Likely things are likely; odd ones come now and then."""

from typing import get_args

from hypothesis import strategies as st

from agent_core import inputs
from agent_core.entries import Settings
from agent_core.errors import ProviderError, ProviderErrorKind
from agent_core.messages import Usage
from agent_core.payloads import InterruptMode
from agent_core.ports import PermitWait, ResponseStarted, RetryScheduled, TextDelta, ThinkingDelta, UsageUpdate
from tests.core.playbook import APPROVE, LOOKUP, PAY

ERROR = ProviderError("Overloaded. Wait.", "overloaded")
TOOLS = (LOOKUP, PAY, APPROVE)
# A failure ends much, so more often than not there is none.
FAILURES: list[ProviderErrorKind | None] = ["context_too_long", *get_args(ProviderErrorKind), *[None] * 15]

texts = st.sampled_from(["", "word ", "long " * 120])
ids = st.sampled_from(["a", "b", ""])
good_calls = st.tuples(ids, st.sampled_from(["lookup", "pay", "approve"]), st.sampled_from(["{}", '{"q": 1}']))
odd_calls = st.tuples(ids, st.sampled_from(["lookup", "approve", "unknown"]), st.sampled_from(["{", "[1]", "{}"]))
usages = st.builds(Usage, input_tokens=st.sampled_from([0, 0, 300, 1_400]))
deltas = st.one_of(
    st.builds(TextDelta, st.integers(0, 2), texts),
    st.builds(ThinkingDelta, st.integers(0, 2), texts, st.sampled_from([None, "sig"])),
    st.builds(UsageUpdate, usages),
    st.builds(PermitWait, st.booleans()),
    st.just(RetryScheduled(1, 0.5, ERROR)),
    st.just(ResponseStarted("m", "fake")),
)
stops = st.sampled_from(
    ["end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal", "context_exceeded"]
)
changes = st.one_of(
    st.builds(lambda names: Settings(tools=tuple(names)), st.lists(st.sampled_from(TOOLS), unique_by=id)),
    st.builds(lambda steps: Settings(fields={"max_steps": steps}), st.integers(1, 6)),
    st.sampled_from(
        [
            Settings(fields={"compaction": None}),
            Settings(fields={"compaction": {"threshold": 0.1, "keep_recent_turns": 0}}),
            Settings(fields={"system_prompt": None}),
            Settings(fields={"on_recovery": "fail"}),
            Settings(fields={"max_tokens": 0}),
        ]
    ),
)
rare = st.one_of(
    st.builds(inputs.Interrupt, st.sampled_from(get_args(InterruptMode))),
    st.just(inputs.Clear()),
    st.just(inputs.Compact()),
    st.just(inputs.Retry()),
    st.builds(inputs.Shutdown, st.sampled_from(["finish", "cancel"])),
    st.builds(inputs.Configure, changes),
)
