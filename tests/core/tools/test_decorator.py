"""What a typed function becomes: its schema, its description, and what is refused at decoration."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from agent_core.errors import ToolError
from agent_core.tools import ToolContext, external_tool, tool
from tests.core.tools import sample_tools


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """Where."""

    title: str
    near: "Place | None" = None


@dataclass
class Size:
    width: int


def properties(made: Any) -> dict[str, Any]:
    return made.definition.input_schema["properties"]


def test_a_bare_decorator_takes_name_description_and_schema_from_the_function() -> None:
    @tool
    def search(query: str, limit: int = 5) -> str:
        """Search the web.

        It looks everywhere.

        Args:
            query: what to look for
            limit: how many results
        """
        return query * limit

    definition = search.definition
    assert definition.name == "search"
    assert definition.description == "Search the web.\n\nIt looks everywhere."
    assert definition.input_schema == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "what to look for"},
            "limit": {"type": "integer", "description": "how many results", "default": 5},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    assert not definition.asynchronous
    assert not definition.external


def test_a_tool_is_still_the_function() -> None:
    @tool(timeout=3)
    def double(number: int) -> int:
        """Double."""
        return 2 * number

    assert double(4) == 8
    assert double.__name__ == "double"
    assert double.__doc__ == "Double."


async def test_an_async_tool_is_still_the_coroutine_function() -> None:
    assert await sample_tools.add(1, b=3) == 4
    assert sample_tools.add.definition.asynchronous


@pytest.mark.parametrize(
    "doc",
    [
        "Do.\n\nArgs:\n    count (int): how many\n",
        "Do.\n\nParameters\n----------\ncount : int\n    how many\n",
        "Do.\n\n:param count: how many\n",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_words_for_a_parameter_are_read_from_each_docstring_style(doc: str) -> None:
    def act(count: int) -> None: ...

    act.__doc__ = doc
    made = tool(act)
    assert properties(made)["count"] == {"type": "integer", "description": "how many"}
    assert made.definition.description == "Do."


def test_annotations_say_more_than_the_docstring() -> None:
    @tool
    def act(
        one: Annotated[int, Field(description="said by the field", ge=1)], two: Annotated[str, "said by a string"]
    ) -> None:
        """Do.

        Args:
            one: said by the docstring
            two: said by the docstring
        """

    assert properties(act) == {
        "one": {"type": "integer", "minimum": 1, "description": "said by the field"},
        "two": {"type": "string", "description": "said by a string"},
    }


def test_every_common_hint_has_a_schema() -> None:
    @tool
    def act(
        mode: Literal["fast", "slow"],
        colour: Colour,
        place: Place,
        size: Size,
        day: date,
        maybe: Optional[int] = None,  # noqa: UP045 - the old form is common
        many: list[dict[str, float]] | None = None,
    ) -> None:
        """Do."""

    schema = act.definition.input_schema
    assert schema["properties"]["mode"] == {"type": "string", "enum": ["fast", "slow"]}
    assert schema["properties"]["maybe"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["$defs"]["Colour"]["enum"] == ["red", "blue"]
    assert schema["required"] == ["mode", "colour", "place", "size", "day"]


def test_a_property_named_title_survives_the_removal_of_titles() -> None:
    @tool
    def act(title: str, place: Place) -> None:
        """Do."""

    schema = act.definition.input_schema
    assert schema["properties"]["title"] == {"type": "string"}
    assert "title" in schema["$defs"]["Place"]["properties"]
    assert "title" not in schema["$defs"]["Place"]


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_config", "_private", "self_"])
def test_a_parameter_may_have_a_name_that_pydantic_keeps_for_itself(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def act({name}: int) -> int:\n    return {name}", space)
    made = tool(space["act"])
    assert made.definition.input_schema["required"] == [name]
    assert made.parameters.bind({name: 3}, ToolContext("s", "t", "c", "k")) == ([], {name: 3})


def test_the_context_is_filled_in_and_never_shown() -> None:
    assert list(properties(sample_tools.describe)) == ["point"]
    context = ToolContext("s", "t", "c", "k")
    _, named = sample_tools.describe.parameters.bind({"point": {"x": 1}}, context)
    assert named["context"] is context


def test_positional_only_parameters_are_passed_by_position() -> None:
    @tool
    def act(first: int, /, second: int) -> int:
        """Do."""
        return first - second

    positional, named = act.parameters.bind({"second": 1, "first": 3}, ToolContext("s", "t", "c", "k"))
    assert act(*positional, **named) == 2


def test_a_default_without_a_json_form_is_left_out_of_the_schema() -> None:
    @tool
    def act(number: Annotated[float, "any"] = float("nan"), what: Any = object) -> None:
        """Do."""

    assert "default" not in properties(act)["what"]


def test_options_reach_the_definition() -> None:
    @tool(
        name="other",
        description="Better words.",
        timeout=2.5,
        retries=2,
        idempotent=True,
        output_limit=50,
        num_cpus=0.5,
        num_gpus=1,
        memory=10,
        resources={"disk": 1},
        runtime_env={"env_vars": {"A": "b"}},
        pip=["numpy"],
    )
    def act() -> None:
        """Do."""

    definition = act.definition
    assert (definition.name, definition.description) == ("other", "Better words.")
    assert (definition.timeout, definition.retries, definition.idempotent) == (2.5, 2, True)
    assert definition.output_limit == 50
    needs = definition.resources
    assert (needs.num_cpus, needs.num_gpus, needs.memory, needs.resources) == (0.5, 1, 10, {"disk": 1})
    assert needs.runtime_env == {"env_vars": {"A": "b"}, "pip": ["numpy"]}


def no_hint(a, b: int) -> None: ...
def star(*numbers: int) -> None: ...
def stars(**numbers: int) -> None: ...
def function_hint(callback: Callable[[int], int]) -> None: ...
def unknown_hint(a: "NoSuchType") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def yields(a: int) -> Any:
    yield a


class Holder:
    def method(self, a: int) -> int:
        return a


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_hint, "parameter 'a' has no type hint"),
        (star, r"takes \*numbers: name every argument"),
        (stars, r"takes \*\*numbers"),
        (function_hint, "has no JSON form"),
        (unknown_hint, "type hints cannot be read: NameError"),
        (yields, "yields: a tool returns its whole result"),
        (Holder.method, "is a method"),
        (Holder, "not of type: wrap it in a def"),
        (sample_tools.add, "is a tool already"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_decorated(function: Any, said: str) -> None:
    with pytest.raises(ToolError, match=said):
        tool(function)


def test_a_method_of_an_object_can_be_a_tool() -> None:
    made = tool(Holder().method)
    assert made(3) == 3
    assert list(properties(made)) == ["a"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": 1}, "not declared idempotent"),
        ({"retries": -1, "idempotent": True}, "retries"),
        ({"timeout": 0}, "timeout"),
        ({"name": "no spaces"}, "name"),
        ({"output_limit": 0}, "output_limit"),
        ({"tmeout": 3}, "unknown option tmeout"),
        ({"compact_summary": "{x} and {y}"}, r"uses \{y\}, which is neither"),
    ],
)
def test_options_that_do_not_fit_are_refused_by_name(options: Any, said: str) -> None:
    def act(x: int) -> None: ...

    with pytest.raises(ToolError, match=said) as caught:
        tool(act, **options)
    assert "tool '" in str(caught.value)


def test_s32_an_external_tool_has_a_schema_and_no_code() -> None:
    schema = {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]}
    definition = external_tool("ask_human", "Ask somebody.", schema)
    assert definition.external
    assert definition.input_schema == schema


@pytest.mark.parametrize(
    ("schema", "said"),
    [({"type": "strange"}, "is no JSON schema"), ({"type": "string"}, "must be of type 'object'")],
)
def test_an_external_tool_with_a_bad_schema_is_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        external_tool("ask_human", "Ask somebody.", schema)
