"""The options about compaction: what they mean, and how what is wrong in them is named as it was typed."""

import pytest

from agent_core.compaction.settings import LLMCompaction, ThresholdCompaction
from agent_core.errors import ConfigError
from drivers.compaction_options import CompactionOptions


def test_what_was_not_given_is_left_to_the_session() -> None:
    assert CompactionOptions().fields() == {}


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (CompactionOptions("none"), None),
        (CompactionOptions("mechanical"), ThresholdCompaction()),
        (
            CompactionOptions("mechanical", None, ["tool_compaction=redact"]),
            ThresholdCompaction(tool_compaction="redact"),
        ),
        (CompactionOptions("llm"), LLMCompaction()),
        (CompactionOptions(None, "openai/gpt-5"), LLMCompaction(model="openai/gpt-5")),
        (CompactionOptions(None, None, ["soft=0.3", "max_wait=2"]), LLMCompaction(soft=0.3, max_wait=2)),
        (CompactionOptions(None, None, ["mechanical=null"]), LLMCompaction(mechanical=None)),
        (
            CompactionOptions("llm", "openai/mine", ["base_url=http://h:1/v1", "wire=chat", "api_key=env:K"]),
            LLMCompaction(model="openai/mine", base_url="http://h:1/v1", wire="chat", api_key="env:K"),
        ),
    ],
)
def test_each_way_of_saying_it_is_one_setting(options: CompactionOptions, meant: object) -> None:
    assert options.fields() == {"compaction": meant}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (CompactionOptions("none", "openai/gpt-5"), "--compaction none and --compaction-model exclude each other"),
        (CompactionOptions("none", None, ["soft=1"]), "--compaction none and --compaction-set exclude each other"),
        (CompactionOptions("mechanical", "openai/gpt-5"), "--compaction mechanical and --compaction-model exclude"),
        (CompactionOptions(None, "gpt-5"), "--compaction-model: 'gpt-5' is not of the form provider/name"),
        (CompactionOptions(None, None, ["soft"]), "--compaction-set soft: write NAME=VALUE, such as soft=0.5."),
        (CompactionOptions(None, None, ["soft=2"]), "--compaction-set soft: Input should be less than 1"),
        (CompactionOptions(None, None, ["soft=0.9"]), "--compaction: soft (0.9), trigger (0.8) and hard (0.92) must"),
        (
            CompactionOptions(None, None, ["sofd=0.5"]),
            "--compaction-set sofd: llm has no such setting. It has api_key,",
        ),
        (CompactionOptions("mechanical", None, ["soft=0.5"]), "--compaction-set soft: mechanical has no such setting."),
        (CompactionOptions(None, None, ["model=a/b"]), "--compaction-set model=a/b: say it with --compaction-model."),
        (
            CompactionOptions(None, "openai/x", ["api_key=sk-1"]),
            "--compaction-set api_key: a key is given by reference",
        ),
        (CompactionOptions(None, None, ["wire=chat"]), "--compaction: wire: belongs to a summariser of its own"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_typed(options: CompactionOptions, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        options.fields()
    assert str(refused.value).startswith(said)


def test_a_summariser_of_its_own_needs_a_window_and_where_sessions_run_here_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"^--compaction-model: the window of openai/mine .*context_limit=TOKENS"):
        CompactionOptions(None, "openai/mine").check(here=False)
    known = CompactionOptions(None, "openai/mine", ["context_limit=9000"])
    known.check(here=False)
    with pytest.raises(ConfigError, match=r"^--compaction-model: .*--compaction-set api_key=env:NAME"):
        known.check(here=True)
    monkeypatch.setenv("OPENAI_API_KEY", "any-word")
    known.check(here=True)
    CompactionOptions("llm").check(here=True)
