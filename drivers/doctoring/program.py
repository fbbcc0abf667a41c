"""Checks of this program: its Python, its packages, its optional parts.

The rule here: the lock is what the project is tested with, so another version is a warning and none at all a problem.
"""

import importlib.metadata
import platform
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from drivers.doctoring.checks import Check, blocking
from drivers.doctoring.findings import Finding, ok, problem, skipped, warning
from drivers.doctoring.subject import Subject

ROOT = Path(__file__).resolve().parent.parent.parent
OLDEST = (3, 11)
SHOWN = ("ray", "anthropic", "openai")
_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+)")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MOST_NAMED = 4


async def python(_: Subject) -> Finding:
    """The interpreter."""
    return judge_python(sys.version_info[:2], platform.python_version())


def judge_python(version: tuple[int, ...], told: str) -> Finding:
    """Whether the project runs on that version."""
    oldest = ".".join(map(str, OLDEST))
    if version < OLDEST:
        return problem(f"Python {told} is too old", f"Use Python {oldest} or newer: make PYTHON=/path/to/it setup")
    return ok(f"Python {told}")


async def packages(_: Subject) -> Finding:
    """What is installed, beside what the project asks for and is tested with."""
    return await blocking(_packages)


def _packages() -> Finding:
    lock, project = ROOT / "requirements.lock", ROOT / "pyproject.toml"
    if not (lock.exists() and project.exists()):
        return skipped("there is no requirements.lock beside this program", "Run it from the root of a checkout.")
    needed = [name_of(text) for text in tomllib.loads(project.read_text())["project"]["dependencies"]]
    pinned = pins_of(lock.read_text())
    return judge_packages(needed, pinned, {name: _installed(name) for name in {*needed, *pinned}})


def judge_packages(needed: list[str], pinned: Mapping[str, set[str]], installed: Mapping[str, str | None]) -> Finding:
    """Whether what the project needs is there, in the versions of the lock; names are normalised."""
    if missing := sorted(name for name in needed if installed.get(name) is None):
        return problem(f"not installed: {_several(missing)}", "Run `make setup` in the checkout.")
    other = sorted(name for name, versions in pinned.items() if installed.get(name) not in (None, *versions))
    if other:
        told = _several([f"{name} {installed[name]} (lock: {' or '.join(sorted(pinned[name]))})" for name in other])
        return warning(f"not as tested: {told}", "Run `make setup` in the checkout.")
    shown = ", ".join(f"{name} {installed[name]}" for name in SHOWN if installed.get(name))
    return ok(f"{shown}; as in requirements.lock")


def name_of(requirement: str) -> str:
    """The normalised name in a requirement."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def pins_of(lock: str) -> dict[str, set[str]]:
    """The versions of each package in a lock; some have several, for one or another kind of machine."""
    pins: dict[str, set[str]] = {}
    for line in lock.splitlines():
        if found := _PINNED.match(line.strip()):
            pins.setdefault(name_of(found[1]), set()).add(found[2])
    return pins


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _several(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


async def inspect(_: Subject) -> Finding:
    """The optional part that runs Inspect's tasks."""
    version = _installed("inspect-ai")
    if version is None:
        return ok("not installed; only tasks that were written for Inspect need it")
    return ok(f"inspect-ai {version}")


CHECKS = (
    Check("program", "python", python),
    Check("program", "packages", packages),
    Check("program", "inspect", inspect),
)
