"""Tools named on a command line, and what a user reads when that goes wrong."""

import importlib
import sys
from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.tools import load_tools
from tests.core.tools import sample_tools

HERE = "tests.core.tools.sample_tools"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def names(place: str) -> list[str]:
    return [made.name for made in load_tools(place)]


def test_a_tool_a_function_and_a_list_can_be_named() -> None:
    assert load_tools(f"{HERE}:add") == (sample_tools.add,)
    assert names(f"{HERE}:plain") == ["plain"]
    assert names(f"{HERE}:SET") == ["add", "plain"]


def test_a_module_alone_gives_every_decorated_function_of_it() -> None:
    found = names(HERE)
    assert {"add", "subtract", "echo"} <= set(found)
    assert "plain" not in found


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("no_such_module:act", "there is no module 'no_such_module'.*Run from the directory"),
        ("tests.no_such_module:act", "there is no module 'tests.no_such_module'"),
        (f"{HERE}:gone", "'gone' is not in module .* Tools in it: add, "),
        (f"{HERE}:NOT_A_TOOL", "holds int, not a typed function"),
        (f"{HERE}:untyped", "parameter 'text' has no type hint"),
        (f"{HERE}:TWINS", "holds two tools named 'same'"),
        ("tests.core.tools", "has no function decorated with @tool"),
        (":act", "is not of the form"),
        (f"{HERE}:", "is not of the form"),
    ],
)
def test_a_place_that_holds_no_tools_is_refused_with_the_mend(place: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_tools(place)


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("breaks_a", "x = 1\ny = {}['missing']\n", "breaks_a.py:2: y = {}['missing']", "KeyError: 'missing'"),
        ("breaks_b", "def act(:\n    pass\n", "breaks_b.py:1: def act(:", "SyntaxError"),
        ("breaks_c", "\nimport no_such_package\n", "breaks_c.py:2: import no_such_package", "ModuleNotFoundError"),
        ("breaks_d", "import sys\nsys.exit(3)\n", "breaks_d.py:2: sys.exit(3)", "SystemExit: 3"),
        (
            "breaks_e",
            "from agent_core.tools import tool\n\n@tool\ndef act(a): ...\n",
            "breaks_e.py:3: @tool",
            "parameter 'a' has no type hint",
        ),
    ],
)
def test_a_module_that_does_not_import_shows_the_authors_own_line(
    directory: Path, name: str, text: str, line: str, said: str
) -> None:
    (directory / f"{name}.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_tools(f"{name}:act")
    message = str(caught.value)
    assert line in message
    assert said in message
    assert len(message.splitlines()) <= 5
    sys.modules.pop(name, None)
