"""A report in a real browser: opened from disk without a network, searched, filtered, read, and not taken in."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from agent_core.evaluation.result import Result, encode
from drivers.reporting.command import write_report
from tests.drivers.report_world import HOSTILE, HOSTILE_ID, results, write_run

CHROMIUM = shutil.which("chromium")
NEEDLE = "the lighthouse of 1837"
MANY = 20_000
# As root, which a container often is, Chromium starts only without its sandbox.
FLAGS = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that has ended."""
    return write_report(write_run(tmp_path_factory.mktemp("run")))


@contextmanager
def opened(browser: Browser, path: Path, link: str = "", width: int = 1400) -> Iterator[Page]:
    """The page, ready. That it asks for nothing, says nothing on the console and shows no dialog is seen to."""
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: troubles.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    asked: list[str] = []
    page.goto(path.as_uri() + link)
    page.wait_for_selector("html[data-ready]")
    yield page
    context.close()
    assert troubles == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def shows(page: Page, count: str) -> None:
    """Wait until the list says that it has so many."""
    expect(page.locator("#count")).to_have_text(count)


def link_of(id: str, epoch: int = 1) -> str:
    return f"#sample/{quote(id, safe='')}/{epoch}"


def failed_in(report: Path) -> Result:
    """A result that the infrastructure failed."""
    return next(one for one in results(200, 2, 7) if one.outcome == "infrastructure_failed")


def test_a_failed_sample_opens_by_its_link_with_its_error_and_its_transcript(browser: Browser, report: Path) -> None:
    failed = failed_in(report)
    with opened(browser, report, link_of(failed.id, failed.epoch)) as page:
        page.wait_for_selector("#detail .message")
        detail = page.inner_text("#detail")
        assert failed.error
        assert failed.error.message in detail
        assert failed.input in detail
        assert page.locator("#detail details.fold[open]").count() == 0
        page.keyboard.press("u")
        assert "The almanac has" in page.inner_text("#detail")
        assert page.locator(".row[aria-selected=true]").count() == 1


def test_a_search_finds_what_stands_in_a_transcript_only_and_filters_narrow_it(browser: Browser, report: Path) -> None:
    made = list(results(200, 2, 7))
    lost = [one for one in made if one.id.startswith("logic") and "no such place" in repr(one.transcript)]
    with opened(browser, report) as page:
        shows(page, "401 results")
        page.keyboard.press("/")
        page.keyboard.type('"KEYERROR: no such" logic')
        shows(page, f"{len(lost)} of 401 results")
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        expect(page.locator("#detail .fold[open] mark").first).to_be_visible()
        page.fill("#query", lost[0].id)
        shows(page, f"{sum(lost[0].id in one.id for one in made)} of 401 results")
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        expect(page.locator("#detail h3")).to_contain_text(lost[0].id)
        page.keyboard.press("/")
        page.keyboard.press("Escape")
        page.select_option("#by-result", "outcome:limit_hit")
        shows(page, f"{sum(one.outcome == 'limit_hit' for one in made)} of 401 results")
        page.select_option("#by-score", label="exact: right")
        shows(page, "0 of 401 results")


def test_a_hostile_sample_is_nothing_but_text(browser: Browser, report: Path) -> None:
    with opened(browser, report, link_of(HOSTILE_ID)) as page:
        page.wait_for_selector("#detail .message")
        page.keyboard.press("u")
        assert HOSTILE in (page.locator("#detail .text").first.text_content() or "")
        assert page.locator("#detail :is(script, svg, iframe, a, i, u)").count() == 0
        images = page.locator("img")
        assert images.count() == 1
        assert (images.first.get_attribute("src") or "").startswith("data:image/png;base64,")
        assert images.first.evaluate("image => image.naturalWidth") == 24
        assert "Image at https://example.com/pixel.png (not part of this file)" in page.inner_text("#detail")


def test_a_script_that_got_into_the_page_would_not_run(browser: Browser, report: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(report.read_text().replace("<main>", "<main><script>document.title = 'taken'</script>"))
    page = browser.new_page(offline=True)
    page.goto(spoilt.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.title() == "capitals-and-sums.jsonl · evaluation report"
    page.close()


def test_a_narrow_screen_scrolls_in_one_direction_and_reads_one_sample_at_a_time(
    browser: Browser, report: Path
) -> None:
    with opened(browser, report, width=400) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        page.locator(".row").first.click()
        page.wait_for_selector("#detail .message")
        assert page.evaluate("document.getElementById('detail').scrollWidth") <= 400
        assert page.locator("#detail").bounding_box() == {"x": 0, "y": 0, "width": 400, "height": 900}
        page.get_by_role("button", name="Back to the list").click()
        assert not page.locator("#detail").is_visible()


def test_twenty_thousand_samples_open_search_and_scroll_in_little_memory(browser: Browser, tmp_path: Path) -> None:
    # The first two messages of each suffice: many short ones are harder on a list than a few long ones.
    some = [one.model_copy(update={"transcript": (one.transcript or ())[:2]}) for one in results(100, 1, 3)]
    made = [encode(one) for one in some[1:]]
    planted = next(number for number in range(12_345, MANY) if b'"outcome":"limit_hit"' in made[number % len(made)])
    with (tmp_path / "results.jsonl").open("wb") as file:
        for number in range(MANY):
            line = made[number % len(made)].replace(b'{"id":"', b'{"id":"%d-' % number, 1)
            file.write(line.replace(b"The almanac has", NEEDLE.encode()) if number == planted else line)
    report = write_report(tmp_path)
    assert report.stat().st_size < 12_000_000
    with opened(browser, report) as page:
        shows(page, "20,000 results")
        page.fill("#query", f'"{NEEDLE}"')
        expect(page.locator("#count")).to_have_text("1 of 20,000 results", timeout=30_000)
        page.fill("#query", "")
        shows(page, "20,000 results")
        page.focus("#list")
        page.keyboard.press("End")
        assert page.locator("#list .row").count() < 60
        assert page.locator(".row[aria-posinset='20000'][aria-selected=true]").is_visible()
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        session.send("Performance.enable")
        metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        assert metrics["JSHeapUsedSize"] < 100e6
        assert metrics["Nodes"] < 20_000
