"""Checks of the cluster: its address and token, its head and dashboard, and what its nodes say of themselves.

The rule here: no cluster is started, unless its address is given as `local`; where there is none, that is said once.
"""

import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.doctoring.checks import Check, blocking
from drivers.doctoring.findings import Finding, ok, problem, size, skipped, warning
from drivers.doctoring.machine import FEW_FILES, FULL, LITTLE_DISK
from drivers.doctoring.subject import MOST_NODES, Subject

if TYPE_CHECKING:
    from actors.examining import Head, NodeAnswer, Versions

SLOW = 0.1
# Leases go by each process's own clock; the times of entries, and the ages of sessions, are compared across nodes.
SKEW = 1.0
_PATIENCE = 60.0
_NO_HEAD = "there is no head to ask"
_NO_NODES = "there are no nodes to ask"
_MOST_NAMED = 3


async def address(subject: Subject) -> Finding:
    """Where the cluster is, and whether a head answers there and lets this program in."""
    found = await subject.address()
    if found == "local":
        return ok("none is running here; a program that needs one starts its own")
    return ok(f"a head answers at {found}")


async def token(_: Subject) -> Finding:
    """Whether this program has a token to show, and where from."""
    return await blocking(_token)


def _token() -> Finding:
    """In the order in which Ray looks."""
    # https://docs.ray.io/en/latest/ray-security/token-auth.html
    if os.environ.get("RAY_AUTH_TOKEN"):
        return judge_token("RAY_AUTH_TOKEN", exposed=False)
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if not path.exists():
        return skipped(f"there is none ({path}); a cluster that wants one refuses this program")
    folders = [path.absolute(), *path.absolute().parents]
    reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in folders[1:])
    return judge_token(str(path), exposed=reachable and bool(path.stat().st_mode & stat.S_IROTH))


def judge_token(where: str, *, exposed: bool) -> Finding:
    """Whether the token's file is the user's alone."""
    if exposed:
        return warning(f"{where} can be read by others, and whoever has it runs code", f"Run `chmod 600 {where}`.")
    mode_set = os.environ.get("RAY_AUTH_MODE", "")
    return ok(f"in {where}" + (f" (RAY_AUTH_MODE={mode_set})" if mode_set else ""))


async def head(subject: Subject) -> Finding:
    """Whether the head tells what it knows, and how quickly."""
    found = await subject.head()
    return judge_head(found.latency)


def judge_head(latency: float) -> Finding:
    """Whether it answers in time."""
    told = f"answers in {latency * 1000:.1f} ms"
    if latency > SLOW:
        return warning(told, "See what keeps the head's machine busy: all that is placed goes through it.")
    return ok(told)


async def versions(subject: Subject) -> Finding:
    """Whether this program can join: Ray asks for the very same versions."""
    found = await subject.head.needed(_NO_HEAD)
    examining = await subject.actors()
    return judge_versions(found.versions, examining.local_versions())


def judge_versions(theirs: "Versions", ours: "Versions") -> Finding:
    """The cluster's versions beside those of this process."""
    if theirs == ours:
        return ok(f"Ray {theirs.ray} and Python {theirs.python}, here and there")
    return problem(
        f"Ray {theirs.ray}, Python {theirs.python} there; Ray {ours.ray}, Python {ours.python} here",
        "Install the cluster's versions here, or this program's on the cluster; or send a job (`ray job submit`).",
    )


async def dashboard(subject: Subject) -> Finding:
    """Whether the dashboard lets this program look, and takes jobs."""
    found = await subject.head.needed(_NO_HEAD)
    if found.dashboard is None:
        return skipped("the dashboard is off; jobs, metrics and `ray list` need it")
    examining = await subject.actors()
    status, told = await examining.ask_dashboard(found.dashboard)
    return judge_dashboard(found.dashboard, status, told)


def judge_dashboard(url: str, status: int, version: str) -> Finding:
    """What its version page said."""
    if status == 401:
        return problem(
            f"http://{url} wants the cluster's token", "Set RAY_AUTH_MODE=token; `ray get-auth-token` prints it there."
        )
    if status != 200 or not version:
        return warning(f"http://{url} answers with status {status}", "Look into dashboard.log on the head.")
    if url.startswith("0.0.0.0:"):
        return warning(
            f"http://{url} is open to every network of the head", "Start the head with --dashboard-host=127.0.0.1."
        )
    return ok(f"http://{url}")


async def nodes(subject: Subject) -> Finding:
    """Who is there."""
    return judge_nodes(await subject.head.needed(_NO_HEAD))


def judge_nodes(found: "Head") -> Finding:
    """How many nodes, and what they have together."""
    cpus = sum(node.resources.get("CPU", 0) for node in found.nodes)
    memory = sum(node.resources.get("memory", 0) for node in found.nodes)
    roles = Counter(role for node in found.nodes if (role := node.labels.get("rayconteur-role")))
    told = f"{len(found.nodes)} alive with {cpus:g} CPUs and {size(memory)}"
    if roles:
        told += " (" + ", ".join(f"{count} for {role}" for role, count in sorted(roles.items())) + ")"
    if not cpus:
        return warning(told, "No node has a CPU for tools: add one, or let the autoscaler add it.")
    if draining := sum(node.draining for node in found.nodes):
        return warning(f"{told}; {draining} draining", "What runs there moves; wait until they are gone.")
    if found.dead:
        told += f"; {found.dead} gone"
    return ok(told)


async def runtimes(subject: Subject) -> Finding:
    """Which runtimes have actors there."""
    found = await subject.nodes.needed(_NO_NODES)
    return judge_runtimes(found.actors, subject.place.name)


def judge_runtimes(actors: dict[str, int], name: str | None) -> Finding:
    """`actors` counts those of each namespace; a runtime is the namespace `rayconteur/NAME`."""
    prefix = "rayconteur/"
    found = {space.removeprefix(prefix): count for space, count in actors.items() if space.startswith(prefix)}
    if name is not None:
        return ok(
            f"{name} has {found[name]} actors" if name in found else f"{name} is not running; who names it begins it"
        )
    return ok(_named([f"{name} ({count} actors)" for name, count in sorted(found.items())]) or "none is running")


async def answers(subject: Subject) -> Finding:
    """Whether a task runs on every node."""
    found = (await subject.nodes.needed(_NO_NODES)).nodes
    head = await subject.head()
    return judge_answers(found, left_out=len(head.nodes) - len(found))


def judge_answers(found: "Sequence[NodeAnswer]", left_out: int) -> Finding:
    """Which nodes did not answer."""
    silent = [f"{answer.node.address} ({answer.failure})" for answer in found if answer.facts is None]
    if silent:
        return problem(
            f"no task ran on {_named(silent)}", "Look into raylet.out there; a node that stays silent is best drained."
        )
    told = f"a task ran on each of {len(found)}"
    return ok(told + (f"; {left_out} more were not asked (the first {MOST_NODES} are)" if left_out else ""))


async def clocks(subject: Subject) -> Finding:
    """How far the nodes' clocks are from this one's."""
    return judge_clocks((await subject.nodes.needed(_NO_NODES)).nodes)


def judge_clocks(found: "Sequence[NodeAnswer]") -> Finding:
    """The largest difference, less what the question itself took."""
    told = [answer for answer in found if answer.facts is not None]
    if not told:
        return skipped("no node answered")
    worst = max(told, key=lambda answer: abs(answer.skew) - answer.error)
    sure = max(0.0, abs(worst.skew) - worst.error)
    if sure > SKEW:
        ahead = "ahead" if worst.skew > 0 else "behind"
        return warning(
            f"that of {worst.node.address} is {abs(worst.skew):.1f} s {ahead}", "Run a time service there (chrony)."
        )
    return ok(f"within {max(abs(answer.skew) + answer.error for answer in told) * 1000:.0f} ms of this one")


async def code(subject: Subject) -> Finding:
    """Whether the nodes have the packages that this program has; its own code is sent along."""
    import importlib.metadata

    from drivers.doctoring.subject import PACKAGES

    def installed(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    found = (await subject.nodes.needed(_NO_NODES)).nodes
    return judge_code(found, await blocking(lambda: {name: installed(name) for name in PACKAGES}))


def judge_code(found: "Sequence[NodeAnswer]", ours: dict[str, str | None]) -> Finding:
    """Missing packages are a problem, other versions a warning."""
    missing: list[str] = []
    other: list[str] = []
    for answer in found:
        for name, version in (answer.facts.packages if answer.facts else {}).items():
            if version is None:
                missing.append(f"{name} on {answer.node.address}")
            elif version != ours.get(name):
                other.append(f"{name} {version} on {answer.node.address} (here {ours.get(name)})")
    mend = "Install requirements.lock on every node, as cluster.yaml does."
    if missing:
        return problem(f"missing: {_named(missing)}", mend)
    if other:
        return warning(_named(other), mend)
    return ok("the same packages on every node")


async def limits(subject: Subject) -> Finding:
    """Disk, shared memory and open files of the nodes."""
    return judge_limits((await subject.nodes.needed(_NO_NODES)).nodes)


def judge_limits(found: "Sequence[NodeAnswer]") -> Finding:
    """Whether a node is short of something."""
    short: list[str] = []
    for answer in found:
        if (facts := answer.facts) is None:
            continue
        if facts.disk_free < max(LITTLE_DISK, (1 - FULL) * facts.disk_total):
            short.append(f"{answer.node.address}: {size(facts.disk_free)} of disk left")
        if facts.files < FEW_FILES:
            short.append(f"{answer.node.address}: {facts.files:,} open files")
    if short:
        return warning(_named(short), "Free space, or run `ulimit -n 65536` there before `ray start`.")
    return ok("every node has disk and open files")


async def keys(subject: Subject) -> Finding:
    """Whether what a key's reference names is set on the nodes too."""
    return judge_keys((await subject.nodes.needed(_NO_NODES)).nodes, subject.model.chosen_model)


def judge_keys(found: "Sequence[NodeAnswer]", model: str) -> Finding:
    """Sessions may come to be on any node, so a variable belongs on all of them or on none."""
    told = [answer for answer in found if answer.facts is not None]
    where: dict[str, list[str]] = {}
    for answer in told:
        for name, there in (answer.facts.variables if answer.facts else {}).items():
            where.setdefault(name, []).extend([answer.node.address] if there else [])
    some = [name for name, nodes in where.items() if 0 < len(nodes) < len(told)]
    if some:
        return warning(
            f"{', '.join(f'${name}' for name in some)}: set on some nodes only",
            "Export it where `ray start` runs, on every node that may have sessions.",
        )
    everywhere = [f"${name}" for name, nodes in where.items() if nodes and told]
    if everywhere:
        return ok(f"{', '.join(everywhere)} set on every node")
    if model.startswith("local/"):
        return ok(f"none is set, and {model} needs none")
    return warning(
        "no node has a key in its environment", "Export it where `ray start` runs, or use --api-key file:PATH."
    )


def _named(items: Sequence[str]) -> str:
    rest = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


CHECKS = (
    Check("cluster", "token", token),
    Check("cluster", "address", address, _PATIENCE),
    Check("cluster", "head", head, _PATIENCE),
    Check("cluster", "versions", versions, _PATIENCE),
    Check("cluster", "dashboard", dashboard, _PATIENCE),
    Check("cluster", "nodes", nodes, _PATIENCE),
    Check("cluster", "runtimes", runtimes, _PATIENCE),
    Check("nodes", "tasks", answers, _PATIENCE),
    Check("nodes", "clocks", clocks, _PATIENCE),
    Check("nodes", "packages", code, _PATIENCE),
    Check("nodes", "limits", limits, _PATIENCE),
    Check("nodes", "keys", keys, _PATIENCE),
)
