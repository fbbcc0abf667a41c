"""What README, ARCHITECTURE and AGENTS say is so: their programs run, and what they name is there.

The rule here: a claim that can be looked up in the code is looked up; nothing is compared with a copy of itself.
"""

import ast
import asyncio
import importlib
import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from actors.settings import RuntimeSettings
from agent_core import errors
from agent_core.entries import Entry
from agent_core.local_session import LocalSession
from agent_core.payloads import Delta
from agent_core.providers.retry import RetryPolicy
from agent_core.scripted import Match, Reply, Rule, Script, ToolCall
from agent_core.scripted.server import ScriptedServer
from agent_core.session_protocol import Session

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "AGENTS.md", "docs/evaluation.md", "docs/operations.md")
OWN = ("agent_core", "actors", "drivers", "tests", "benchmarks", "examples")
WIDTH = 120


@pytest.fixture(scope="module")
def texts(repository: Path) -> dict[str, str]:
    """Every document by its name."""
    return {name: (repository / name).read_text(encoding="utf-8") for name in DOCUMENTS}


@pytest.fixture(scope="module")
def readme(texts: dict[str, str]) -> str:
    return texts["README.md"]


def blocks(text: str, language: str = "") -> list[str]:
    """The code blocks of one language; without one, those that name none."""
    fenced = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [body for named, body in fenced if named == language]


def spans(text: str) -> list[str]:
    """What stands between backticks in the prose."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


def rows(text: str, table: str) -> list[list[str]]:
    """The cells of a table between its marks, without its head."""
    (marked,) = re.findall(rf"<!-- {table} -->\n(.*?)<!-- /{table} -->", text, flags=re.DOTALL)
    lines = [line.strip().strip("|") for line in marked.strip().splitlines()]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    """The names between backticks in a cell, without what stands in brackets behind them."""
    return [span.partition("(")[0] for span in re.findall(r"`([^`]+)`", cell)]


def places_in(text: str) -> set[str]:
    """What may stand behind the # of a link: headings as they are shown on the web, and places that are named."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


# --- the first program ------------------------------------------------------------------------------------------------


def test_python_blocks_compile_and_import_what_is_there(texts: dict[str, str]) -> None:
    programs = [ast.parse(block) for text in texts.values() for block in blocks(text, "python")]
    programs += [ast.parse(span) for text in texts.values() for span in spans(text) if span.startswith("from ")]
    imports = [node for program in programs for node in ast.walk(program) if isinstance(node, ast.ImportFrom)]
    assert len(imports) >= 3
    for node in imports:
        module = importlib.import_module(node.module or "")
        missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
        assert not missing, f"{node.module} has no {missing}"


async def test_the_first_program_prints_what_the_readme_shows(readme: str, repository: Path, tmp_path: Path) -> None:
    (program,) = blocks(readme, "python")
    shown = readme.partition(program)[2].split("```\n")[2]
    call = ToolCall(name="weather", input={"city": "Paris"})
    script = Script(
        rules=(
            Rule(match=Match(has_tool_result=False), replies=(Reply(tool_calls=(call,)),)),
            Rule(match=Match(result="^sunny"), replies=(Reply(text=shown.splitlines()[-1]),)),
        )
    )
    async with ScriptedServer(script) as server:
        # What the README says makes it run without Ray, and another model.
        local, tool = [span for span in spans(readme) if span.startswith("from ")]
        model = f'model="anthropic/claude-sonnet-4-5", base_url="{server.url}", api_key="env:HOME"'
        text = program.replace("from actors import Runtime, tool", f"{local}\n{tool}")
        text = text.replace('model="local/smollm2"', model)
        assert text.count(local) == text.count(model) == 1
        (tmp_path / "first.py").write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(tmp_path / "first.py")),
            env={"PYTHONPATH": str(repository), "HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert (process.returncode, err.decode(), out.decode()) == (0, "", shown.rstrip("\n"))


# --- names ------------------------------------------------------------------------------------------------------------


def test_public_names_are_there_and_say_what_they_are(readme: str) -> None:
    table = rows(readme, "names")
    assert table
    for names, home, _ in table:
        module = importlib.import_module(home.strip("`"))
        for name in named(names):
            assert inspect.getdoc(getattr(module, name)), f"{home}.{name} has no docstring"


def test_the_public_door_has_no_other_names(readme: str) -> None:
    shown = {name for names, home, _ in rows(readme, "names") if home == "`actors`" for name in named(names)}
    assert shown == set(importlib.import_module("actors").__all__)


def test_every_method_of_a_session_is_shown_with_its_parameters(readme: str) -> None:
    signatures = [span for cells in rows(readme, "methods") for span in re.findall(r"`(\w+\([^`]*\))`", cells[0])]
    shown = {span.partition("(")[0]: re.findall(r"\w+", span.partition("(")[2]) for span in signatures}
    methods = {name: method for name, method in vars(Session).items() if name[0] != "_" and callable(method)}
    assert shown.keys() == methods.keys()
    handle = importlib.import_module("actors.session_handle").SessionHandle
    for name, method in methods.items():
        for implementation in (method, getattr(LocalSession, name), getattr(handle, name)):
            assert [*inspect.signature(implementation).parameters][1:] == shown[name], name


def test_every_kind_of_event_is_shown(readme: str) -> None:
    shown = [name for _, *cells in rows(readme, "kinds") for name in named(" ".join(cells))]
    union = (*get_args(get_args(Entry)[0]), *get_args(Delta))
    assert sorted(shown) == sorted(payload.model_fields["kind"].default for payload in union)


def test_every_error_is_shown(readme: str) -> None:
    shown = [name for cells in rows(readme, "errors") for name in named(cells[0])]
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert sorted(shown) == sorted(classes)


def test_numbers_that_the_code_decides_are_the_codes(readme: str) -> None:
    assert f"up to {RetryPolicy().max_attempts} attempts" in readme
    assert f"{RuntimeSettings('', '').shared_capacity:,} if the runtime says nothing" in readme


# --- commands ---------------------------------------------------------------------------------------------------------


def command_lines(text: str) -> list[list[str]]:
    """The words after `python -m` of every command in the blocks and between backticks."""
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    found = [re.search(r"python -m ([a-z].*)", line) for line in (*lines, *spans(text))]
    return [shlex.split(match[1], comments=True) for match in found if match]


def test_programs_that_are_named_are_there(texts: dict[str, str], repository: Path) -> None:
    called = {words[0] for text in texts.values() for words in command_lines(text)}
    assert {"drivers.chat", "drivers.evaluate", "drivers.model_server"} < called
    for module in called:
        path = repository / Path(*module.split(".")).with_suffix(".py")
        assert path.is_file(), module
        assert "__main__" in path.read_text(), f"{module} is no program"


def test_options_that_are_shown_are_taken(texts: dict[str, str]) -> None:
    shown = [words for text in texts.values() for words in command_lines(text) if words[0].startswith("drivers.")]
    assert len(shown) >= 8
    for module, *arguments in shown:
        command: Any = typer.main.get_command(importlib.import_module(module).app)
        group = hasattr(command, "commands")
        chosen = command.commands[arguments[0]] if group else command
        # Raises for an option or an argument that the command does not have.
        chosen.make_context(module, arguments[1:] if group else list(arguments))


def test_every_figure_has_a_program(readme: str, repository: Path) -> None:
    commands = {cells[1].strip("`") for cells in rows(readme, "figures")}
    assert commands
    for command in commands:
        make, target, *settings = shlex.split(command)
        given = dict(setting.split("=", 1) for setting in settings)
        assert (make, target) == ("make", "bench")
        program = repository / "benchmarks" / f"{given.pop('NAME')}.py"
        assert "__main__" in program.read_text()
        assert all(option in program.read_text() for option in given.values())


# --- paths ------------------------------------------------------------------------------------------------------------


def test_links_lead_somewhere(texts: dict[str, str], repository: Path) -> None:
    links = [(name, link) for name, text in texts.items() for link in re.findall(r"\]\(([^)]+)\)", text)]
    own = [(name, link.partition("#")) for name, link in links if "://" not in link]
    assert own
    for name, (path, _, place) in own:
        leads_to = (repository / name).parent / path if path else repository / name
        assert leads_to.exists(), f"{name}: {path}"
        if place:
            assert place in places_in(leads_to.read_text(encoding="utf-8")), f"{name}: {path}#{place}"


def test_paths_and_tests_that_are_named_are_there(texts: dict[str, str], repository: Path) -> None:
    places = [span for text in texts.values() for span in spans(text) if span.split("/")[0] in OWN and " " not in span]
    assert len(places) >= 20
    for place in places:
        path, _, test = place.partition("::")
        assert (repository / path).exists(), place
        assert not test or f"def {test}(" in (repository / path).read_text(), place


def test_modules_of_the_core_that_are_named_alone_are_there(texts: dict[str, str], repository: Path) -> None:
    alone = [span for span in spans(texts["ARCHITECTURE.md"]) if re.fullmatch(r"\w+\.py", span)]
    assert alone
    assert [name for name in alone if not (repository / "agent_core" / name).is_file()] == []


def test_no_line_is_wider_than_the_code_is(texts: dict[str, str]) -> None:
    wide = [
        f"{name}:{number}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if len(line) > WIDTH
    ]
    assert not wide, f"wrap them at {WIDTH}: {wide}"
