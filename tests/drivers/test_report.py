"""A report is one file that needs nothing else, tells what the results say, and shows what went wrong first."""

import base64
import json
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import typer

from agent_core.errors import ConfigError
from agent_core.evaluation.result import ANSWERED, Result, decode, encode
from agent_core.evaluation.score import Score
from drivers import errors
from drivers.reporting.command import report_command, write_report
from drivers.reporting.options import ReportOptions
from tests.drivers.report_world import HOSTILE, HOSTILE_ID, results, write_run

app = typer.Typer(add_completion=False)
app.command("report")(report_command)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended."""
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    """Its report."""
    return write_report(run).read_text()


def text_of(page: str) -> str:
    """What a reader sees of the page before a script has run, on one line."""
    body = re.sub(r"<(style|script)\b.*?</\1>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def unpacked(page: str, id: str) -> str:
    found = re.search(rf'<script type="text/plain" id="{id}">([^<]*)</script>', page)
    assert found, f"there is no {id}"
    return zlib.decompress(base64.b64decode(found[1])).decode()


def listed(page: str) -> dict[str, Any]:
    return json.loads(unpacked(page, "index"))


def embedded(page: str) -> Counter[str]:
    """How many transcripts of each standing the file holds."""
    index = listed(page)
    return Counter(name for name, chunk in zip(index["standing"], index["chunk"], strict=True) if chunk >= 0)


def all_of(run: Path) -> list[Result]:
    return [decode(line) for line in (run / "results.jsonl").read_bytes().splitlines(keepends=True)]


def reported(directory: Path, made: Sequence[Result], **options: Any) -> str:
    """The report of these results, without a record."""
    (directory / "results.jsonl").write_bytes(b"".join(map(encode, made)))
    return write_report(directory, options=ReportOptions(**options)).read_text()


def scored_as(value: float | None, place: int) -> Result:
    """A result that one scorer has given this value."""
    outcome = "unscored" if value is None else "scored"
    changes = {"id": f"q{place}", "outcome": outcome, "error": None, "scores": {"exact": Score(value=value)}}
    return next(results(1, 1, place)).model_copy(update=changes)


def mean_of(means: Sequence[Sequence[float]]) -> str:
    """The mean over samples of the mean over their epochs, as the page writes it."""
    return f"{100 * sum(sum(epochs) / len(epochs) for epochs in means) / len(means):.1f} %"


def exact_scores(run: Path, **metadata: str) -> list[list[float]]:
    """What the scorer `exact` gave the epochs of each sample with this metadata."""
    values: dict[str, list[float]] = {}
    for one in all_of(run):
        if "exact" in one.scores and metadata.items() <= one.metadata.items():
            values.setdefault(one.id, []).append(one.scores["exact"].value or 0.0)
    return list(values.values())


def test_nothing_in_the_page_points_outside(page: str) -> None:
    outside = re.findall(r"""(?:src|href|action|srcset)\s*=\s*["']?\s*((?:https?:)?//[^\s"'>]+)|url\(["']?http""", page)
    assert outside == []
    assert "default-src 'none'" in page
    assert "@import" not in page


def test_no_text_of_a_sample_is_markup(page: str) -> None:
    chunks = len(set(listed(page)["chunk"]))
    assert page.count("<script") == page.count("</script>") == chunks + len(("index", "the page's own"))
    for markup in ("<script>alert", "<img src=x", "<svg onload", "<i>bad", "<u>logic"):
        assert markup not in page
    assert "<u>logic</u>" in text_of(page)


def test_the_list_and_the_chunks_hold_every_result_as_it_was(run: Path, page: str) -> None:
    index, made = listed(page), {(one.id, one.epoch): one for one in all_of(run)}
    chunks = {number: unpacked(page, f"chunk-{number}").split("\n") for number in set(index["chunk"])}
    assert len(index["id"]) == len(made)
    for place, (id, epoch) in enumerate(zip(index["id"], index["epoch"], strict=True)):
        record = json.loads(chunks[index["chunk"][place]][index["line"][place]])
        result = made[id, epoch]
        assert (record["id"], record["epoch"], record["input"]) == (id, epoch, result.input)
        assert len(record["transcript"]) == len(result.transcript or ())
        assert index["outcome"][place] == result.outcome
    hostile = index["id"].index(HOSTILE_ID)
    assert json.loads(chunks[index["chunk"][hostile]][index["line"][hostile]])["error"]["message"] == HOSTILE


def test_ids_are_in_their_natural_order(page: str) -> None:
    ids = [id for id in listed(page)["id"] if id.startswith("logic-")]
    assert ids == sorted(ids, key=lambda id: int(id.partition("-")[2]))


def test_no_signature_of_a_provider_is_in_the_file(page: str) -> None:
    assert not any("signature" in unpacked(page, f"chunk-{number}") for number in set(listed(page)["chunk"]))


def test_the_headline_is_the_mean_over_samples_with_its_interval(run: Path, page: str) -> None:
    scores = exact_scores(run)
    assert f"exact {mean_of(scores)}" in text_of(page)
    assert f"{sum(map(len, scores)):,} of 402 scored, {len(scores):,} samples" in text_of(page)
    assert "(95 % interval)" in text_of(page)


def test_every_planned_result_has_one_outcome(run: Path, page: str) -> None:
    counts = Counter(one.outcome.replace("_", " ") for one in all_of(run)) + Counter({"missing": 1})
    assert counts.total() == 402
    for outcome, number in counts.items():
        assert re.search(rf"\b{outcome} {number} {100 * number / 402:.1f} %", text_of(page)), outcome
    assert "1 of 402 results missing" in text_of(page)


def test_groups_are_the_fields_with_few_values_and_have_their_own_means(run: Path, page: str) -> None:
    tables = re.findall(r'aria-label="Scores by ([^"]*)"', page)
    assert tables == ["subject", "level"]
    for level in ("easy", "medium", "hard"):
        (row,) = re.findall(rf'<th scope="row">{level}</th>(.*?)</tr>', page, flags=re.DOTALL)
        assert mean_of(exact_scores(run, level=level)) in row


def test_groups_that_are_asked_for_may_lie_deep_or_hold_several_names(tmp_path: Path) -> None:
    made = [
        one.model_copy(update={"metadata": {"about": {"tags": ["sea", f"n{place % 2}"]}}})
        for place, one in enumerate(results(30, 1, 3))
    ]
    page = reported(tmp_path, made, group_by=("about.tags",))
    rows = set(re.findall(r'<th scope="row">(\w+)</th><td class="number">', page))
    assert rows - set(listed(page)["scores"]) == {"sea", "n0", "n1"}
    assert listed(page)["groups"]["about.tags"].count(["sea", "n1"]) == len(made) // 2


def test_groups_are_those_of_the_record_if_it_names_some(tmp_path: Path) -> None:
    write_run(tmp_path, samples=20)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "group_by": ["level", "gone"]}))
    assert list(listed(write_report(tmp_path).read_text())["groups"]) == ["level"]


def test_a_failure_is_shown_with_what_was_said_and_a_link_to_its_transcript(run: Path, page: str) -> None:
    failed = next(one for one in all_of(run) if one.error and one.error.kind == "overloaded")
    assert f'href="#sample/{failed.id}/{failed.epoch}"' in page
    assert failed.error
    assert failed.error.message in text_of(page)


def test_failures_are_embedded_first_and_the_page_says_what_was_left_out(tmp_path: Path) -> None:
    made = list(results(400, 1, 3))
    failures = sum(one.outcome not in ANSWERED for one in made)
    page = reported(tmp_path, made, passing=7)
    held = embedded(page)
    assert held["failed"] == failures
    # The slowest and the costliest ones are linked to, so they are there as well.
    assert 7 <= held["passing"] <= 7 + 20
    assert f"Transcripts of all {failures} failed" in text_of(page)
    assert re.search(rf"{held['passing']} of \d+ right\. The rest is left out", text_of(page))
    assert len(listed(page)["id"]) == len(made)


def test_transcripts_stop_where_the_file_would_grow_too_large(tmp_path: Path) -> None:
    made = list(results(300, 1, 3))
    page = reported(tmp_path, made, megabytes=0.02)
    held, index = embedded(page), listed(page)
    assert held["failed"] == Counter(index["standing"])["failed"]
    assert held.total() < len(index["id"])
    assert embedded(reported(tmp_path, made, megabytes=0.0)).total() == 0


def test_a_list_that_is_too_long_keeps_what_failed_and_says_so(tmp_path: Path) -> None:
    made = list(results(300, 1, 3))
    page = reported(tmp_path, made, listed=50, passing=0)
    assert Counter(listed(page)["standing"])["failed"] == sum(one.outcome not in ANSWERED for one in made)
    assert f"50 of {len(made)} results are listed" in text_of(page)


def test_a_score_that_could_not_be_had_is_no_zero(tmp_path: Path) -> None:
    page = reported(tmp_path, [scored_as(value, place) for place, value in enumerate((1.0, 1.0, None))])
    assert "exact 100.0 %" in text_of(page)
    assert listed(page)["scores"]["exact"] == [1.0, 1.0, None]
    assert listed(page)["unscored"]["exact"] == [2]


def test_a_run_without_scores_or_failures_has_a_report(tmp_path: Path) -> None:
    plain = [one.model_copy(update={"scores": {}, "outcome": "completed"}) for one in results(3, 1, 5) if one.answer]
    text = text_of(reported(tmp_path, plain))
    assert f"completed {len(plain)} 100.0 %" in text
    assert "Failures by kind" not in text


def test_a_run_under_way_has_a_report_whatever_its_last_line_is(tmp_path: Path) -> None:
    write_run(tmp_path, samples=20)
    whole = (tmp_path / "results.jsonl").read_bytes()
    (tmp_path / "results.jsonl").write_bytes(whole[:-40])
    assert len(listed(write_report(tmp_path).read_text())["id"]) == whole.count(b"\n") - 1


def test_a_line_that_comes_again_counts_once(tmp_path: Path) -> None:
    (one,) = [one for one in results(1, 1, 5) if one.id != HOSTILE_ID]
    page = reported(tmp_path, [one.model_copy(update={"outcome": "cancelled", "answer": None}), one])
    assert listed(page)["outcome"] == [one.outcome]


def test_what_is_shown_of_a_configuration_is_all_of_it(page: str) -> None:
    text = text_of(page)
    for said in (
        "anthropic/claude-sonnet-5-5",
        "Look things up before you answer.",
        "9f2c4e81d07ab356",
        "almanac",
        "60.0",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not there. Name what --out of the run named"),
        (
            ["{run}", "--group-by", "colour"],
            r"--group-by colour: no result has this field .*\(level, note, number, sou",
        ),
        (["{run}", "--to", "{run}/results.jsonl"], "is what the report is made from"),
        (["{run}", "--to", "{run}/none/report.html"], "cannot be written to .*Choose another place with --to"),
        (["{run}/report.html"], "line 1 is no result"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(
    run: Path, page: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = (run / "results.jsonl").read_bytes()
    code = errors.run(app, program="evaluate", arguments=[word.format(run=run) for word in arguments])
    assert code == 2
    assert re.search(said, capsys.readouterr().err)
    assert (run / "results.jsonl").read_bytes() == before


def test_an_empty_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(ConfigError, match="holds no result yet"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]


def test_the_command_writes_where_it_is_told_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.html"
    code = errors.run(app, program="evaluate", arguments=[str(run), "--to", str(target), "--group-by", "level"])
    assert code == 0
    assert capsys.readouterr().out.startswith(f"{target} (")
    assert re.findall(r'aria-label="Scores by ([^"]*)"', target.read_text()) == ["level"]


def test_the_command_is_light_until_it_is_run() -> None:
    heavy = "{'jinja2', 'matplotlib', 'numpy', 'ray'}"
    code = f"import sys, drivers.reporting.command; sys.exit(str({heavy} & set(sys.modules) or ''))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""


def test_the_same_run_gives_the_same_report(run: Path, page: str) -> None:
    moment = re.compile(r"Made from results.jsonl on [^<]*")
    assert moment.sub("", write_report(run).read_text()) == moment.sub("", page)
