"""Scorers by name, on a flag, in a file and in a program; and what of them counts for a configuration."""

import pickle
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent_core.errors import ConfigError
from agent_core.evaluation.scoring import (
    Exact,
    Includes,
    JsonPath,
    Match,
    ModelGradedQA,
    MultipleChoice,
    Numeric,
    Regex,
    ToolCalls,
    described,
    scorer_of,
    scorers_of,
)
from agent_core.evaluation.scoring.specs import KINDS, ScorerSpec
from tests.core.evaluation.scoring import sample_scorers
from tests.core.evaluation.scoring.test_judging import Odd

TWO_CALLS = ToolCalls.model_validate({"calls": ["search", "open"], "order": "in_order"})
GRADED = ModelGradedQA.model_validate({"model": "openai/gpt-5.2", "partial": 0.5})
HERE = "tests.core.evaluation.scoring.sample_scorers"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("includes", Includes()),
        ("numeric:tolerance=0.01", Numeric(tolerance=0.01)),
        ("numeric:tolerance=1e-3, read=first", Numeric(tolerance=0.001, read="first")),
        ('numeric(tolerance=0.01, read="first")', Numeric(tolerance=0.01, read="first")),
        ("multiple-choice", MultipleChoice()),
        ("match:at=begin,name=start", Match(at="begin", name="start")),
        (r'regex:pattern="a=(\\d+),b=1",group=1', Regex(pattern=r"a=(\d+),b=1", group=1)),
        (r"regex:pattern=\d{1,3}", Regex(pattern=r"\d{1,3}")),
        ("json_path:path=$.a[0,1].b", JsonPath(path="$.a[0,1].b")),
        ('tool_calls:calls=["search", "open"],order=in_order', TWO_CALLS),
        ("tool_calls:none_of=delete", ToolCalls(none_of=("delete",))),
        ("model_graded_qa:model=openai/gpt-5.2,partial=0.5", GRADED),
    ],
)
def test_a_text_names_a_scorer_with_its_settings(text: str, made: Any) -> None:
    assert scorer_of(text) == made


def test_fields_and_scorers_and_functions_are_scorers() -> None:
    assert scorer_of({"kind": "exact", "ignore_case": True}) == Exact(ignore_case=True)
    odd = Odd(1.0)
    assert scorer_of(odd) is odd
    assert scorer_of(sample_scorers.length) is sample_scorers.length
    assert scorer_of(f"{HERE}:length") is sample_scorers.length
    assert scorer_of(f"{HERE}:plain").name == "plain"
    assert [made.name for made in scorers_of(["exact", sample_scorers.plain, {"kind": "match"}])] == [
        "exact",
        "plain",
        "match",
    ]
    assert scorers_of(None) == ()
    assert scorers_of("exact") == (Exact(),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("inclodes", r"there is no scorer 'inclodes'\. There are: exact, includes, .*module:name"),
        ("", "there is no scorer ''"),
        ({"ignore_case": True}, "does not say its kind"),
        ({"kind": "none"}, "there is no scorer 'none'"),
        ("numeric:tolerance=big", r"numeric: tolerance: .*valid number.*Its settings: after, name"),
        ("numeric:tolerance", "'tolerance' is no setting"),
        ("exact:case=1", "case: there is no such setting.*Its settings: ignore_case"),
        ("regex", "pattern: Field required"),
        ("regex:pattern=(", "no regular expression"),
        # A name and an equals sign behind a comma begin a setting, unless the value is in quotes.
        (r"regex:pattern=^a,b=(\d+)", "b: there is no such setting"),
        ("numeric:tolerance=NaN", "tolerance: "),
        ("no_such_module:mine", "neither a scorer nor a module 'no_such_module'"),
        (f"{HERE}:nothing", "'nothing' is not in module"),
        (f"{HERE}:math", "is no scorer"),
        (Odd, "is a class"),
        (5, "int 5 is no scorer"),
        (Odd(1, ""), "has no name"),
        ("numeric(tolerance=x)", "no literal"),
        ("tool_calls:order=some", "order: "),
    ],
)
def test_what_is_no_scorer_is_refused_with_what_there_is(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scorer_of(given)


@pytest.mark.parametrize("given", [["exact", "exact"], [Odd(1, "a"), Odd(1, "a.b")]], ids=["same", "inside"])
def test_two_scorers_of_one_name_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="Give one another name"):
        scorers_of(given)


def test_every_built_in_scorer_is_data_that_travels() -> None:
    needed: dict[str, dict[str, Any]] = {
        "regex": {"pattern": "a"},
        "model_graded_qa": {"model": "openai/gpt-5.2"},
        "model_graded_fact": {"model": ["openai/gpt-5.2", "anthropic/claude-opus-4-5"]},
    }
    adapter: TypeAdapter[ScorerSpec] = TypeAdapter(ScorerSpec)
    for kind in KINDS:
        made = adapter.validate_python({"kind": kind, **needed.get(kind, {})})
        assert made.name == kind
        assert adapter.validate_json(adapter.dump_json(made)) == made
        assert pickle.loads(pickle.dumps(made)) == made
        assert scorer_of(described(made)) == made


def test_every_setting_that_is_not_the_default_counts_and_so_does_the_source_of_a_function() -> None:
    assert described(Numeric(tolerance=0.5)) == {"kind": "numeric", "tolerance": 0.5}
    assert described(Exact(name="same")) == {"kind": "exact", "name": "same"}
    function = described(sample_scorers.length)
    assert function["function"] == f"{HERE}:length"
    assert len(function["source"]) == 32
    assert function["source"] != described(sample_scorers.where)["source"]
    assert described(Odd(1))["type"].endswith("test_judging:Odd")
