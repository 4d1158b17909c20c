"""The gallery in a real browser: thumbnails are there, search finds a caption, nothing leaves the page."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.sinks.sample_results import BROKEN, CAT, COPY, DONE_BEFORE, SEA
from tests.system.chromium import chromium
from visionpipe.images.thumbnail import thumbnail
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.sink import export
from visionpipe.values import Note

pytestmark = pytest.mark.system

HOSTILE = ItemResult(
    source="photos/<img src=x onerror=alert(1)>.jpg",
    outcome=Outcome.DONE,
    caption="</script><script>document.title='taken over'</script><b>bold</b>",
    notes=(Note("refusal", '"><script>'),),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gallery")
    for source, colour in ((CAT.source, "orange"), (SEA.source, "navy"), (COPY.source, "gray")):
        path = root / source
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200), colour).save(path)
    results = (CAT, SEA, COPY, BROKEN, DONE_BEFORE, HOSTILE)
    export(results, HtmlSink(root / "out.html", locate=lambda source: root / source))
    return root / "out.html"


def count(browser: Chrome) -> str:
    return browser.find_element(By.ID, "count").text


def log(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    """The entries since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's own
    return entries


def texts(browser: Chrome, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def wait_for_count(browser: Chrome, text: str) -> None:
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda b: count(b) == text)


def test_thumbnails_are_shown(browser: Chrome, gallery: Path) -> None:
    browser.get(gallery.as_uri())
    assert count(browser) == "6 items"
    WebDriverWait(browser, 20, poll_frequency=0.05).until(
        lambda b: b.execute_script(
            "return [...document.images].length === 3 && [...document.images].every((i) => i.complete)"
        )
    )
    sizes = browser.execute_script(
        "return [...document.images].map((i) => [i.naturalWidth, i.naturalHeight])"
    )
    assert sizes == [[256, 171]] * 3
    assert texts(browser, ".plain").count("local analysis") == 1


def test_search_finds_a_caption(browser: Chrome, gallery: Path) -> None:
    browser.get(gallery.as_uri())
    search = browser.find_element(By.ID, "search")
    search.send_keys("asleep MAT")
    wait_for_count(browser, "1 of 6 items")
    (caption,) = browser.find_elements(By.CSS_SELECTOR, ".caption")
    assert caption.text.startswith('A cat, "asleep" on a <b>mat</b> & a rug.')
    assert texts(browser, "mark") == ["asleep", "mat"]
    search.clear()
    search.send_keys("一艘船")
    wait_for_count(browser, "1 of 6 items")
    search.send_keys("xyz")
    wait_for_count(browser, "0 of 6 items")
    assert texts(browser, ".none") == ["Nothing matches."]


def test_outcomes_and_notes_are_filters(browser: Chrome, gallery: Path) -> None:
    browser.get(gallery.as_uri())
    browser.find_element(By.CSS_SELECTOR, "button[value=failed]").click()
    assert count(browser) == "1 of 6 items"
    assert texts(browser, ".caption") == ["the service failed </script>"]
    assert texts(browser, ".cure") == ["Try again in a moment."]
    browser.find_element(By.CSS_SELECTOR, "button[value=all]").click()
    notes = Select(browser.find_element(By.ID, "notes"))
    assert [option.text for option in notes.options] == [
        "any note",
        "truncated (1)",
        "too long (1)",
        "refusal (1)",
    ]
    notes.select_by_value("too_long")
    assert texts(browser, ".path") == [SEA.source]


def test_nothing_is_run_and_nothing_is_fetched(browser: Chrome, gallery: Path) -> None:
    log(browser, "performance")
    log(browser, "browser")
    browser.get(gallery.as_uri())
    assert count(browser) == "6 items"
    assert browser.title == "Captions"
    assert HOSTILE.caption in texts(browser, ".caption")
    sent: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"] for entry in log(browser, "performance")
    ]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}
    assert [url for url in urls if url.startswith("file")] == [gallery.as_uri()]
    assert log(browser, "browser") == []


def test_ten_thousand_items_are_searched_at_once(browser: Chrome, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.effect_noise((400, 300), 40).save(tmp_path / "photos" / "a.jpg")
    results = (
        replace(CAT, source=f"photos/{n:05d}.jpg", caption=f"Picture number {n}, " + "a long way home " * 10)
        for n in range(10_000)
    )
    picture = thumbnail(tmp_path / "photos" / "a.jpg", 256)
    sink = HtmlSink(
        tmp_path / "out.html",
        locate=lambda _: tmp_path / "photos" / "a.jpg",
        thumbnailer=lambda path, pixels: picture,
    )
    export(results, sink)
    started = time.perf_counter()
    browser.get((tmp_path / "out.html").as_uri())
    wait_for_count(browser, "10,000 items")
    opened = time.perf_counter() - started
    cards = len(browser.find_elements(By.TAG_NAME, "article"))
    assert 60 <= cards <= 240
    milliseconds = browser.execute_async_script(
        """const done = arguments[0], start = performance.now(), field = document.getElementById("search");
        new MutationObserver(() => done(performance.now() - start)).observe(
            document.getElementById("count"), { childList: true });
        field.value = "number 9876,"; field.dispatchEvent(new Event("input"));"""
    )
    assert count(browser) == "1 of 10,000 items"
    assert texts(browser, ".path") == ["photos/09876.jpg"]
    assert milliseconds < 1_500
    assert opened < 30
