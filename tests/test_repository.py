"""The house rules that a program can check. Each message says what to do about the finding."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("agent_core", "actors", "drivers")
OWN = {*PACKAGES, "benchmarks", "tests", "examples"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
# The hosts that packages come from: anyone may have a mirror, so none is written down.
REGISTRY = re.compile(r"\b(?:[\w-]+\.)*(?:pypi|pythonhosted|npmjs|anaconda|crates)\.(?:org|com|io|net|dev)\b")
# A directory of somebody's machine. What starts at `~`, `$HOME` or a variable is anyone's.
MACHINE_PATH = re.compile(r"(?<![\w.~$})])/(?:work|home|root|Users|mnt|opt)/[\w.-]+")


def tracked(repository: Path) -> list[Path]:
    """Every file that git knows or would add, as long as it is still there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = (repository / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    """The files of the checkout, without what it makes for itself."""
    found = tracked(repository)
    assert found, "git lists no file: run the tests in a checkout"
    return found


@pytest.fixture(scope="module")
def modules(files: list[Path], repository: Path) -> dict[Path, ast.Module]:
    """Every Python file with its syntax tree, by its path from the root."""
    return {path.relative_to(repository): ast.parse(path.read_text()) for path in files if path.suffix == ".py"}


def texts(files: list[Path], repository: Path) -> Iterator[tuple[str, int, str]]:
    """Every line of every text file: its path from the root, its number, itself."""
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, start=1):
            yield path.relative_to(repository).as_posix(), number, line


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def last_line(node: ast.stmt) -> int:
    """The number of a statement's last line."""
    return node.end_lineno or node.lineno


def test_no_file_is_longer_than_four_hundred_lines(modules: dict[Path, ast.Module], repository: Path) -> None:
    lengths = {path: len((repository / path).read_text().splitlines()) for path in modules}
    long = [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > MAX_FILE_LINES]
    assert not long, "each wants to be two modules:\n" + "\n".join(long)


def test_no_function_is_longer_than_sixty_lines(modules: dict[Path, ast.Module]) -> None:
    long = [
        f"{path}:{node.lineno} {node.name}: {last_line(node) - node.lineno + 1} lines"
        for path, tree in modules.items()
        for node in functions(tree)
        if last_line(node) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long, "each wants to be two functions:\n" + "\n".join(long)


def test_no_module_has_a_vague_name(modules: dict[Path, ast.Module]) -> None:
    vague = [str(path) for path in modules if {part.lower() for part in path.with_suffix("").parts} & VAGUE_NAMES]
    assert not vague, "name each for what it holds:\n" + "\n".join(vague)


def test_every_module_says_what_it_is(modules: dict[Path, ast.Module]) -> None:
    silent = [str(path) for path, tree in modules.items() if not ast.get_docstring(tree)]
    assert not silent, "each needs a docstring that says what this is and the rule that holds here:\n" + "\n".join(
        silent
    )


def test_every_directory_of_a_package_says_what_it_is(modules: dict[Path, ast.Module]) -> None:
    directories = {path.parent for path in modules if path.parts[0] in (*PACKAGES, "tests")}
    silent = sorted(str(folder) for folder in directories if folder / "__init__.py" not in modules)
    assert not silent, "each needs an __init__.py with a docstring:\n" + "\n".join(silent)


def test_no_file_names_a_package_registry(files: list[Path], repository: Path) -> None:
    found = [
        f"{path}:{number}: {line.strip()}" for path, number, line in texts(files, repository) if REGISTRY.search(line)
    ]
    assert not found, "say which package, not where it comes from:\n" + "\n".join(found)


def test_no_file_holds_a_path_of_one_machine(files: list[Path], repository: Path) -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, number, line in texts(files, repository)
        if MACHINE_PATH.search(line)
    ]
    assert not found, "make each relative to the repository or to a directory that is asked for:\n" + "\n".join(found)


def test_the_lock_holds_every_requirement(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    asked = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    locked = {
        pin.name: pin.specifier
        for line in (repository / "requirements.lock").read_text().splitlines()
        if (pin := Requirement(line))
    }
    for requirement in map(Requirement, asked):
        assert requirement.name in locked, f"{requirement} is not in requirements.lock: run make lock"
        (pin,) = locked[requirement.name]
        assert requirement.specifier.contains(pin.version), f"{requirement} is not what the lock has: run make lock"


def test_every_imported_package_is_a_declared_requirement(modules: dict[Path, ast.Module], repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    optional = [requirement for extra in extras.values() for requirement in extra]
    runtime = names([*project["project"]["dependencies"], *optional, *groups["weights"], "pydantic-core"])
    development = runtime | names(groups["dev"])
    providers = importlib.metadata.packages_distributions()
    undeclared: list[str] = []
    for path, tree in modules.items():
        declared = runtime if path.parts[0] in PACKAGES else development
        for name, line in imports(tree):
            # What no installed package provides is a module that a test writes for itself.
            found = {canonicalize_name(distribution) for distribution in providers.get(name, ())}
            if found and name not in OWN and name not in sys.stdlib_module_names and declared.isdisjoint(found):
                undeclared.append(f"{path}:{line} imports {name}")
    assert not undeclared, "declare each in pyproject.toml and run make lock:\n" + "\n".join(undeclared)


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements are about."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The top-level name of everything that a module imports, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


def test_every_make_target_that_a_document_names_exists(repository: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (repository / "Makefile").read_text(), flags=re.MULTILINE))
    assert "setup" in targets
    named = {
        (document.name, target)
        for document in repository.glob("*.md")
        for target in re.findall(r"\bmake ([a-z][a-z-]*)\b(?=[`\s])", "\n".join(code_of(document.read_text())))
    }
    unknown = sorted(f"{document}: make {target}" for document, target in named if target not in targets)
    assert not unknown, "not a target of the Makefile:\n" + "\n".join(unknown)


def code_of(markdown: str) -> list[str]:
    """What stands between backticks, in a line or as a block, each ended by a newline."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", markdown, flags=re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", markdown)
    return [text + "\n" for text in (*blocks, *spans)]


def test_make_help_lists_every_target_that_a_user_calls(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):(?! *=)", makefile, flags=re.MULTILINE))
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=repository, capture_output=True, text=True, check=True
    )
    listed = {line.split()[0] for line in shown.stdout.splitlines() if line.startswith("  ")}
    # What `make check` is made of goes without saying; a check of its own does not.
    own = {"check-cluster", "check-growing"}
    assert targets - listed == {target for target in targets if target.startswith("check-")} - own
