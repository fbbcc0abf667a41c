"""The page: what was read and drawn, put into its templates and written as one file.

The rule here: Jinja escapes every value. What is not escaped is ours: style sheet, script and plots. The page's policy
names the script by its digest, so that no other one runs, whatever slips through.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from typing import IO, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from drivers.reporting.effort import effort_plots, facts, notable
from drivers.reporting.embedding import Embedded
from drivers.reporting.ends import failure_plots, kinds, outcomes, told_of
from drivers.reporting.reading import Reading
from drivers.reporting.scoring import groups, headlines, metrics, score_plots, scored_by
from drivers.reporting.setup import model_of, moment, setup

SCRIPTS = ("data.js", "list.js", "transcript.js", "start.js")


def write_page(target: IO[bytes], reading: Reading, embedded: Embedded, clock: Callable[[], float] = time.time) -> None:
    """Write the page in UTF-8, chunk by chunk. `clock` gives seconds since the epoch. Raises OSError."""
    environment = Environment(
        loader=PackageLoader("drivers.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").stream(
        **_about(reading, embedded, clock()), **_sections(reading, embedded), **_assets(environment)
    )
    page.enable_buffering(32)
    page.dump(target, encoding="utf-8", errors="replace")


def _about(reading: Reading, embedded: Embedded, now: float) -> dict[str, Any]:
    record, collected = reading.record, reading.collected
    epochs = f"{collected.epochs} epochs of " if collected.epochs > 1 else ""
    samples = f"{epochs}{collected.planned // collected.epochs:,} samples"
    over = [record.run_id, moment(record.created_at)] if record else [reading.path.parent.name]
    missing = collected.outcomes["missing"]
    under = [model_of(record), samples, f"{missing:,} of {collected.planned:,} results missing" if missing else ""]
    phrases, note = told_of(embedded.held, scored=bool(reading.scorers))
    return {
        "title": (record.task or record.dataset) if record else reading.path.name,
        "over": " · ".join(over),
        "under": " · ".join(part for part in under if part),
        "planned": f"{collected.planned:,}",
        "standings": phrases,
        "options_note": note,
        "footer": f"Made from {reading.path.name} on {moment(now)}. This file needs no network.",
        "index": embedded.index,
        "chunks": embedded.chunks(),
    }


def _sections(reading: Reading, embedded: Embedded) -> dict[str, Any]:
    scorers, epochs = scored_by(reading), reading.collected.epochs
    return {
        "headlines": headlines(scorers),
        "scorers": metrics(scorers, epochs),
        "score_plots": score_plots(scorers, reading),
        "fields": groups(scorers, reading),
        "outcomes": outcomes(reading),
        "facts": facts(reading),
        "effort_plots": effort_plots(reading),
        "slowest": notable(embedded.slowest, "seconds", epochs),
        "costliest": notable(embedded.costliest, "cost", epochs),
        "kinds": kinds(reading, embedded, epochs),
        "failure_plots": failure_plots(reading),
        "setup": setup(reading.record),
    }


def _assets(environment: Environment) -> dict[str, Any]:
    parts = "\n".join(_source(environment, name) for name in SCRIPTS)
    script = f"(() => {{\n'use strict';\n{parts}\n}})();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = _source(environment, "report.css")
    return {"style": Markup(style), "script": Markup(script), "script_digest": Markup(f"sha256-{digest}")}  # noqa: S704


def _source(environment: Environment, name: str) -> str:
    """A template as it is written, which is not a template but a part of one."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]
