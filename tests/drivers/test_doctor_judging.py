"""What the doctor makes of facts: each kind right and wrong, without anything being looked at."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.examining import Head, NodeAnswer, NodeSeen, Versions
from actors.examining_node import NodeFacts
from agent_core.errors import JournalError, PlacementError
from agent_core.journals.postgres_examining import PostgresFacts
from drivers.doctoring import cluster, journal_database, journal_file, keys, machine, program, registry
from drivers.doctoring.checks import Check, Result, make
from drivers.doctoring.findings import Finding, Mark, of_error, ok, problem, size, skipped
from drivers.doctoring.printing import lines_of, total
from drivers.doctoring.subject import Subject
from drivers.options import ModelOptions, PlaceOptions

GB = 1_000_000_000
NODE = NodeSeen("a1", "10.0.0.1", is_head=True, resources={"CPU": 4.0, "memory": 8.0 * GB})
FACTS = NodeFacts(
    *(0.0, "host", "3.11.7", 16 * GB, 8 * GB, 50 * GB, 100 * GB, 65_536),
    packages={"ray": "2.60.0"},
    variables={"ANTHROPIC_API_KEY": True},
)
ANSWER = NodeAnswer(NODE, FACTS, skew=0.004, error=0.002)
HEAD = Head("10.0.0.1:6379", Versions("2.60.0", "3.11.7"), 0.001, [NODE], 0, "127.0.0.1:8265")
SERVER = PostgresFacts(
    server="17.2 (Debian)",
    latency=0.001,
    version="2",
    foreign=False,
    settings={"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"},
    connections=10,
    max_connections=100,
    reserved=3,
    standby=False,
    encrypted=True,
    by_socket=False,
    may_create=True,
    bytes=10**8,
    newest=2,
)
OTHER = replace(NODE, id="b2", address="10.0.0.2")


def answer(**changes: Any) -> NodeAnswer:
    return NodeAnswer(OTHER, replace(FACTS, **changes))


GOOD = {
    "python": program.judge_python((3, 12), "3.12.1"),
    "packages": program.judge_packages(["ray"], {"ray": {"2.60.0", "2.61.0"}}, {"ray": "2.60.0"}),
    "keys": keys.judge_keys(["OPENAI_API_KEY"], ["OPENAI_API_KEY"], elsewhere=False),
    "memory": machine.judge_memory(8 * GB, 16 * GB),
    "shared memory": machine.judge_shared_memory(8 * GB, 16 * GB),
    "files": machine.judge_files(65_536, 65_536),
    "files that Ray raises": machine.judge_files(1024, 65_536),
    "disk": machine.judge_disk(Path("data"), 50 * GB, 100 * GB, "Free some."),
    "ports": machine.judge_ports({}),
    "ports of Ray": machine.judge_ports({6379: "Ray (pid 7)"}),
    "journal version": journal_file.judge_version(2, 2, "it"),
    "journal integrity": journal_file.judge_integrity("ok", Path("j")),
    "journal log": journal_file.judge_log(10 * GB, 4_000_000),
    "journal system": journal_file.judge_system("ext4"),
    "journal holders": journal_file.judge_holders([(7, "python")], set()),
    "database server": journal_database.judge_server(SERVER, "db"),
    "database schema": journal_database.judge_schema(SERVER),
    "database none yet": journal_database.judge_schema(replace(SERVER, version=None)),
    "database durability": journal_database.judge_durability(SERVER.settings),
    "database connections": journal_database.judge_connections(10, 100, 3),
    "token": cluster.judge_token("a file", exposed=False),
    "head": cluster.judge_head(0.001),
    "versions": cluster.judge_versions(HEAD.versions, HEAD.versions),
    "dashboard": cluster.judge_dashboard("127.0.0.1:8265", 200, "2.60.0"),
    "nodes": cluster.judge_nodes(HEAD),
    "runtimes": cluster.judge_runtimes({"rayconteur/desk": 5, "other": 1}, None),
    "runtime": cluster.judge_runtimes({"rayconteur/desk": 5}, "desk"),
    "tasks": cluster.judge_answers([ANSWER], 0),
    "clocks": cluster.judge_clocks([ANSWER]),
    "code": cluster.judge_code([ANSWER], {"ray": "2.60.0"}),
    "limits": cluster.judge_limits([ANSWER]),
    "node keys": cluster.judge_keys([ANSWER], "anthropic/x"),
    "no key for local": cluster.judge_keys([answer(variables={"X": False})], "local/smollm2"),
}

BAD = {
    "python": (program.judge_python((3, 10), "3.10.2"), Mark.PROBLEM, "3.10.2 is too old"),
    "a missing package": (program.judge_packages(["ray"], {}, {"ray": None}), Mark.PROBLEM, "not installed: ray"),
    "another version": (
        program.judge_packages(["ray"], {"ray": {"2.60.0"}}, {"ray": "2.61.0"}),
        Mark.WARNING,
        "ray 2.61.0 (lock: 2.60.0)",
    ),
    "no key": (keys.judge_keys([], ["OPENAI_API_KEY"], elsewhere=False), Mark.WARNING, "$OPENAI_API_KEY"),
    "little memory": (machine.judge_memory(GB, 16 * GB), Mark.WARNING, "1.0 GB of 16 GB"),
    "no memory": (machine.judge_memory(GB // 4, 16 * GB), Mark.PROBLEM, "250 MB"),
    "shared memory": (machine.judge_shared_memory(64_000_000, 16 * GB), Mark.WARNING, "64 MB"),
    "few files": (machine.judge_files(1024, 4096), Mark.WARNING, "1,024"),
    "no files": (machine.judge_files(256, 256), Mark.PROBLEM, "256"),
    "a full disk": (machine.judge_disk(Path("d"), 4 * GB, 100 * GB, "Free some."), Mark.WARNING, "4.0 GB of 100 GB"),
    "no disk": (machine.judge_disk(Path("d"), 1000, 100 * GB, "Free some."), Mark.PROBLEM, "1 KB"),
    "a port": (machine.judge_ports({6379: "redis (pid 7)"}), Mark.WARNING, "6379 (the head) by redis (pid 7)"),
    "an old journal": (journal_file.judge_version(1, 2, "it"), Mark.WARNING, "of version 1"),
    "a damaged journal": (journal_file.judge_integrity("page 3 is gone", Path("j")), Mark.PROBLEM, "page 3"),
    "a long log": (journal_file.judge_log(GB, GB), Mark.WARNING, "write-ahead log 1.0 GB"),
    "a journal on NFS": (journal_file.judge_system("nfs4"), Mark.PROBLEM, "nfs4"),
    "a lock": (journal_file.judge_holders([(7, "python")], {7}), Mark.WARNING, "python (pid 7) holds"),
    "a standby": (journal_database.judge_server(replace(SERVER, standby=True), "db"), Mark.PROBLEM, "standby"),
    "a slow database": (journal_database.judge_server(replace(SERVER, latency=0.2), "db"), Mark.WARNING, "200.0 ms"),
    "an old server": (journal_database.judge_server(replace(SERVER, server="9.6.1"), "db"), Mark.WARNING, "9.6.1"),
    "another's tables": (journal_database.judge_schema(replace(SERVER, foreign=True)), Mark.PROBLEM, "another"),
    "a newer schema": (journal_database.judge_schema(replace(SERVER, version="9")), Mark.PROBLEM, "version 9"),
    "an older schema": (journal_database.judge_schema(replace(SERVER, version="1")), Mark.WARNING, "version 1"),
    "no right": (
        journal_database.judge_schema(replace(SERVER, version=None, may_create=False)),
        Mark.PROBLEM,
        "may make none",
    ),
    "no fsync": (journal_database.judge_durability({"fsync": "off"}), Mark.WARNING, "fsync off"),
    "few connections": (journal_database.judge_connections(95, 100, 3), Mark.WARNING, "2 of 100"),
    "a token for all": (cluster.judge_token("a file", exposed=True), Mark.WARNING, "read by others"),
    "a slow head": (cluster.judge_head(0.5), Mark.WARNING, "500.0 ms"),
    "other versions": (
        cluster.judge_versions(Versions("2.59.0", "3.11.7"), HEAD.versions),
        Mark.PROBLEM,
        "Ray 2.59.0, Python 3.11.7 there",
    ),
    "no token": (cluster.judge_dashboard("127.0.0.1:8265", 401, ""), Mark.PROBLEM, "token"),
    "a broken dashboard": (cluster.judge_dashboard("127.0.0.1:8265", 500, ""), Mark.WARNING, "status 500"),
    "an open dashboard": (cluster.judge_dashboard("0.0.0.0:8265", 200, "2.60.0"), Mark.WARNING, "open to every"),
    "no CPU": (cluster.judge_nodes(replace(HEAD, nodes=[replace(NODE, resources={})])), Mark.WARNING, "0 CPUs"),
    "draining": (cluster.judge_nodes(replace(HEAD, nodes=[NODE, replace(OTHER, draining=True)])), Mark.WARNING, "1 dr"),
    "silence": (cluster.judge_answers([ANSWER, NodeAnswer(OTHER, failure="gone")], 0), Mark.PROBLEM, "10.0.0.2 (gone)"),
    "a clock": (cluster.judge_clocks([ANSWER, NodeAnswer(OTHER, FACTS, -7.5, 0.01)]), Mark.WARNING, "7.5 s behind"),
    "no package": (cluster.judge_code([answer(packages={"ray": None})], {}), Mark.PROBLEM, "ray on 10.0.0.2"),
    "another package": (
        cluster.judge_code([answer(packages={"ray": "1"})], {"ray": "2"}),
        Mark.WARNING,
        "ray 1 on 10.0.0.2 (here 2)",
    ),
    "a node's disk": (cluster.judge_limits([answer(disk_free=100)]), Mark.WARNING, "100 B of disk"),
    "a node's files": (cluster.judge_limits([answer(files=1024)]), Mark.WARNING, "1,024 open files"),
    "a key on one node": (
        cluster.judge_keys([ANSWER, answer(variables={"ANTHROPIC_API_KEY": False})], "anthropic/x"),
        Mark.WARNING,
        "on some nodes only",
    ),
    "a key on none": (cluster.judge_keys([answer(variables={"X": False})], "anthropic/x"), Mark.WARNING, "no node"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_as_it_should_be_is_ok(name: str) -> None:
    assert (GOOD[name].mark, GOOD[name].mend) == (Mark.OK, ""), GOOD[name]


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_is_told_with_its_weight_and_a_mend(name: str) -> None:
    finding, mark, told = BAD[name]
    assert finding.mark is mark
    assert told in finding.text
    assert finding.mend.endswith((".", "setup", ".recover")), finding


def test_what_cannot_be_known_is_no_problem() -> None:
    assert journal_file.judge_integrity(None, Path("j")).mark is Mark.SKIPPED
    assert keys.judge_keys([], ["OPENAI_API_KEY"], elsewhere=True).mark is Mark.SKIPPED
    assert cluster.judge_clocks([NodeAnswer(OTHER, failure="gone")]).mark is Mark.SKIPPED
    assert "3 gone" in cluster.judge_nodes(replace(HEAD, dead=3)).text
    assert "not running" in cluster.judge_runtimes({}, "desk").text
    assert "40 more were not asked" in cluster.judge_answers([ANSWER], 40).text


@pytest.mark.parametrize("refused", [True, False])
async def test_a_cluster_that_cannot_be_joined_is_told_once_and_its_nodes_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    async def resolve(_: str | None) -> str:
        if refused:
            raise PlacementError("The cluster at x:1 wants its token. Set it.", "token")
        return "x:1"

    async def look(_: str) -> Head:
        return replace(HEAD, versions=Versions("2.59.0", "3.11.7"), dashboard=None)

    async def actors(*_: str) -> SimpleNamespace:
        return SimpleNamespace(resolve=resolve, look=look, local_versions=lambda: HEAD.versions)

    monkeypatch.setattr(Subject, "actors", staticmethod(actors))
    subject = Subject(ModelOptions(), PlaceOptions(address="x:1"), asks_model=False)
    made = {f"{each.check.area} {each.check.name}": each.finding async for each in make(cluster.CHECKS, subject)}
    problems = [name for name, finding in made.items() if finding.mark is Mark.PROBLEM]
    assert problems == ["cluster address" if refused else "cluster versions"]
    assert {finding.mark for name, finding in made.items() if name.startswith("nodes ")} == {Mark.SKIPPED}


def test_an_error_is_told_as_what_is_wrong_and_what_to_do() -> None:
    error = PlacementError("No head at 10.0.0.1:6379 (nothing listens there). Check the address. Or leave it out.")
    assert of_error(error) == problem(
        "No head at 10.0.0.1:6379 (nothing listens there)", "Check the address. Or leave it out."
    )
    assert of_error(JournalError("It failed (a: b): try again.")) == problem("It failed (a: b)", "Try again.")
    assert of_error(JournalError("The DSN is none: give another.")) == problem("The DSN is none", "Give another.")
    assert of_error(JournalError("It failed (x): end that program.")) == problem("It failed (x)", "End that program.")


def test_lines_keep_within_their_width_and_say_a_common_reason_once() -> None:
    def result(name: str, finding: Finding) -> Result:
        return Result(Check("cluster", name, lambda _: None), finding, 0.1)  # type: ignore[arg-type,return-value]

    long = problem("a word " * 40, "/a/path/that/has/no/place/to/break/it" * 6)
    results = [
        result("address", long),
        result("head", skipped("why")),
        result("nodes", skipped("why")),
        result("x", ok("y")),
    ]
    lines = lines_of(results, width=80, coloured=False)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "cluster"
    assert [line for line in lines if "not checked" in line] == ["  not checked head          and nodes: why"]
    assert any(line.lstrip().startswith("-> /a/path") for line in lines)
    assert "\x1b[1;31m" in "".join(lines_of(results, width=80, coloured=True))
    assert total(results) == "1 ok, 0 warnings, 1 problem, 2 not checked"


def test_sizes_are_told_in_units_of_a_thousand() -> None:
    assert [size(number) for number in (0, 999, 1_000, 64_000_000, 1_500_000_000, 2e12)] == [
        *("0 B", "999 B", "1 KB", "64 MB", "1.5 GB", "2.0 TB")
    ]


def test_every_check_has_a_name_of_its_own_that_fits_its_column_and_a_time() -> None:
    names = [(check.area, check.name) for check in registry.ALL]
    assert len(set(names)) == len(names) >= 25
    assert all(len(check.name) < 14 and 0 < check.seconds <= 120 for check in registry.ALL)


def test_a_lock_may_have_one_version_or_another_of_a_package() -> None:
    lock = "Num_Py==2.4 ; python_full_version < '3.12'\nnum-py==2.5 ; python_full_version >= '3.12'\nray==2.60.0\n# no"
    assert program.pins_of(lock) == {"num-py": {"2.4", "2.5"}, "ray": {"2.60.0"}}
