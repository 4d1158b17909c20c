"""The review page in a real browser: filter, edit by keys, undo, replace in all, ask again, export; for
everybody, in light and dark, on a phone, in English and Chinese."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.pipeline.answering import Scripted
from tests.serve.reviewing import asked, captioned, reviewing, served
from tests.system.chromium import chromium
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.reading import recorded_results
from visionpipe.testing.sandbox import running_sandbox

pytestmark = pytest.mark.system

AXE = files("axe_selenium_python") / "node_modules" / "axe-core" / "axe.min.js"
COLOURS = ("crimson", "seagreen", "navy", "gold", "purple", "teal")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for place, colour in enumerate(COLOURS):
        Image.new("RGB", (300, 200), colour).save(folder / f"{place} {colour}.png")
    return folder


@pytest.fixture
def journal(tmp_path: Path, images: Path) -> Path:
    return asked(tmp_path / "j", images)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def until(browser: Chrome, script: str, wanted: Any = True) -> None:
    """Waits until a script gives what is wanted."""
    WebDriverWait(browser, 30, poll_frequency=0.05).until(
        lambda b: b.execute_script(f"return {script}") == wanted
    )


def shown(browser: Chrome, selector: str = "article .caption") -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )
    return found


def press(browser: Chrome, *keys: str) -> None:
    for key in keys:
        if key.startswith(Keys.CONTROL):
            browser.switch_to.active_element.send_keys(key)
        else:
            # To whatever has the focus by then, which may just be moving.
            ActionChains(browser).send_keys(key).perform()


def opened(browser: Chrome, url: str, lang: str = "en") -> None:
    browser.get(url)
    until(browser, "document.querySelectorAll('#outcomes button').length", 4)
    browser.execute_script(f"location.search = 'lang={lang}&sort=path'")
    until(browser, "document.querySelectorAll('#outcomes button').length", 4)
    until(browser, "document.querySelectorAll('article').length > 0")


def texts(journal: Path) -> dict[str, str | None]:
    return {result.source: result.caption for result in recorded_results(journal)}


def test_filter_edit_by_keys_undo_and_replace(browser: Chrome, journal: Path) -> None:
    with served(journal) as page:
        opened(browser, page.url)
        assert shown(browser, "#count") == ["6 items"]
        browser.find_element(By.ID, "path").send_keys("navy")
        until(browser, "document.querySelectorAll('article').length", 1)
        assert "path=navy" in browser.current_url
        browser.find_element(By.ID, "path").send_keys(*[Keys.BACKSPACE] * 4)
        until(browser, "document.querySelectorAll('article').length", 6)

        browser.find_element(By.CSS_SELECTOR, "article .picture").click()
        until(browser, "document.getElementById('single').open")
        press(browser, "e")
        press(browser, Keys.CONTROL + "a" + Keys.NULL, "Bright red.", Keys.ESCAPE)
        until(browser, "document.querySelector('#said:not([hidden])') !== null")
        press(browser, "a")
        until(browser, "document.getElementById('single-path').textContent", f"1 {COLOURS[1]}.png")
        press(browser, "r")
        until(browser, "document.getElementById('single-path').textContent", f"2 {COLOURS[2]}.png")
        press(browser, "k")
        until(browser, "document.getElementById('single-path').textContent", f"1 {COLOURS[1]}.png")
        press(browser, Keys.ESCAPE)
        until(browser, "document.querySelectorAll('.verdict').length", 2)
        assert texts(journal)["0 crimson.png"] == "Bright red."
        assert shown(browser, ".verdict") == ["accepted", "rejected"]

        press(browser, "?")
        until(browser, "document.getElementById('help').open")
        assert "accept, and next" in shown(browser, "#keys dd")
        press(browser, Keys.ESCAPE)
        for left in (1, 0):
            press(browser, "u")
            until(browser, "document.querySelectorAll('.verdict').length", left)
        press(browser, "u")
        until(browser, "document.querySelector('article .caption').textContent", "a picture of 0 crimson.png")
        assert texts(journal)["0 crimson.png"] == "a picture of 0 crimson.png"

        press(browser, "x")
        browser.find_element(By.ID, "select-all").click()
        browser.find_element(By.ID, "open-bulk").click()
        browser.find_element(By.NAME, "find").send_keys("a picture of")
        browser.find_element(By.NAME, "replacement").send_keys("Photo:")
        until(browser, "document.getElementById('bulk-count').textContent", "6 texts would change")
        assert shown(browser, "#bulk-preview ins")[0] == "Photo:"
        browser.find_element(By.ID, "bulk-apply").click()
        until(browser, "document.querySelector('article .caption')?.textContent", "Photo: 0 crimson.png")
        assert set(texts(journal).values()) == {
            f"Photo: {place} {name}.png" for place, name in enumerate(COLOURS)
        }
        entries: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's own
        severe = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
        assert severe == []


def test_ask_again_choose_and_export(browser: Chrome, images: Path, tmp_path: Path) -> None:
    with running_sandbox(answers="script") as sandbox:
        sandbox.set_scenario({"answer": [{"text": "A plain square."}]})
        captioned(sandbox, tmp_path, "-o", "out.jsonl")
        sandbox.set_scenario({"answer": [{"text": "One colour, nothing else."}]})
        journal = tmp_path / "out.jsonl.journal"
        with reviewing(sandbox, journal, "--who", "Ana") as (page, _):
            opened(browser, page.url)
            press(browser, "j", "x")
            until(browser, "document.getElementById('open-ask').hidden", False)
            browser.find_element(By.ID, "open-ask").click()
            browser.find_element(By.CSS_SELECTOR, "#ask [name=model]").send_keys("glm-4v-plus-0111")
            browser.find_element(By.CSS_SELECTOR, "#ask [name=prompt]").send_keys("Only the colour?")
            browser.find_element(By.CSS_SELECTOR, "#ask [name=requests]").send_keys("1")
            browser.find_element(By.ID, "ask-start").click()
            until(browser, "document.getElementById('toast').textContent.startsWith('1 answers came')")
            browser.find_element(By.CSS_SELECTOR, "article .picture").click()
            until(browser, "document.querySelectorAll('#answer-list li').length", 2)
            browser.find_element(By.CSS_SELECTOR, "#answer-list button:not(:disabled)").click()
            until(browser, "document.getElementById('accept').getAttribute('aria-pressed')", "true")
            press(browser, Keys.ESCAPE)
            browser.find_element(By.ID, "open-export").click()
            browser.find_element(By.NAME, "output").send_keys("pairs:pairs.jsonl")
            browser.find_element(By.ID, "export-start").click()
            until(browser, "document.getElementById('toast').textContent.startsWith('pairs:pairs.jsonl')")
    pair = json.loads((tmp_path / "pairs.jsonl").read_text("utf-8"))
    assert (pair["chosen"], pair["rejected"]) == ("One colour, nothing else.", "A plain square.")


def test_while_a_run_has_the_journal_the_page_says_so(browser: Chrome, journal: Path) -> None:
    with served(journal) as page:
        opened(browser, page.url)
        running = Journal(journal)
        try:
            until(browser, "document.getElementById('banner').hidden", False)
            assert shown(browser, "#banner") == [
                "A run has this journal now, so nothing can be changed until it ends."
            ]
            assert browser.find_element(By.ID, "undo").is_enabled() is False
        finally:
            running.close()
        until(browser, "document.getElementById('banner').hidden")


def test_answers_side_by_side_all_that_match_and_plain_tags(
    browser: Chrome, journal: Path, images: Path
) -> None:
    answerer = Scripted(lambda name, number: f"flat, square, {name.split()[1].removesuffix('.png')}")
    asked(journal, images, "Tags?", force=True, answerer=answerer)
    with served(journal) as page:
        opened(browser, page.url)
        assert shown(browser, "#tags .chip")[:2] == ["flat6", "square6"]
        browser.execute_script("[...document.querySelectorAll('#job option')][0].selected = true")
        browser.execute_script("document.getElementById('job').dispatchEvent(new Event('change'))")
        until(browser, "document.querySelectorAll('.side .answer').length", 12)
        assert "job=all" in browser.current_url
        browser.find_element(By.CSS_SELECTOR, "article .picture").send_keys("2")
        until(browser, "document.querySelectorAll('.answer.chosen').length", 1)
        assert texts(journal)["0 crimson.png"] == "a picture of 0 crimson.png"
        browser.find_element(By.ID, "every").click()
        browser.find_element(By.ID, "accept-selected").click()
        until(browser, "document.getElementById('sure').open")
        assert shown(browser, "#sure-count") == ["5 items would be accepted"]
        browser.find_element(By.ID, "sure-apply").click()
        until(browser, "document.querySelectorAll('.verdict.accepted').length", 6)
        browser.find_element(By.ID, "undo").click()
        until(browser, "document.querySelectorAll('.verdict.accepted').length", 1)

        browser.find_element(By.CSS_SELECTOR, "article:nth-child(2) .picture").click()
        until(browser, "document.querySelectorAll('#editor .chip').length", 3)
        assert shown(browser, "#editor .chip small")[0] == "5"
        browser.find_element(By.CSS_SELECTOR, "#editor input").send_keys("green", Keys.ENTER)
        until(browser, "document.querySelector('#said:not([hidden])') !== null")
        assert texts(journal)["1 seagreen.png"] == "flat, square, seagreen, green"
        press(browser, Keys.ESCAPE, Keys.ESCAPE)


def test_words_for_an_earlier_picture_are_offered(browser: Chrome, journal: Path, images: Path) -> None:
    with served(journal) as page:
        opened(browser, page.url)
        browser.find_element(By.CSS_SELECTOR, "article .picture").click()
        until(browser, "document.getElementById('single').open")
        press(browser, "e")
        press(browser, Keys.CONTROL + "a" + Keys.NULL, "Bright red.", Keys.ESCAPE)
        until(browser, "document.querySelector('#said:not([hidden])') !== null")
        Image.new("RGB", (300, 200), "black").save(images / "0 crimson.png")
        asked(journal, images)
        browser.get(f"http://{page.host}/?sort=path")
        until(browser, "document.querySelectorAll('article').length > 0")
        assert "edited for an earlier picture" in shown(browser, "article .notes span")
        browser.find_element(By.CSS_SELECTOR, "article .picture").click()
        until(browser, "document.getElementById('earlier').hidden === false")
        assert shown(browser, "#earlier-text") == ["Bright red."]
        assert texts(journal)["0 crimson.png"] == "a picture of 0 crimson.png"
        browser.find_element(By.ID, "use-earlier").click()
        until(browser, "document.getElementById('earlier').hidden")
        assert texts(journal)["0 crimson.png"] == "Bright red."


@pytest.mark.parametrize(
    ("lang", "dark", "width"),
    [("en", False, 1200), ("zh", True, 1200), ("en", True, 390), ("zh", False, 390)],
)
def test_axe_finds_no_serious_fault(
    tmp_path: Path, journal: Path, images: Path, lang: str, dark: bool, width: int
) -> None:
    asked(
        journal, images, "And how?", force=True, answerer=Scripted(lambda name, number: f"{name}, red, flat")
    )
    with served(journal) as page, chromium(tmp_path / "profile", dark=dark, width=width) as browser:
        if width < 500:  # a window is never as narrow
            size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": True}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened(browser, page.url, lang)
        browser.execute_script(AXE.read_text("utf-8"))

        def checked(state: str) -> None:
            assert serious(browser) == [], state
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), state

        checked("grid")
        browser.find_element(By.CSS_SELECTOR, "article .picture").click()
        until(browser, "document.getElementById('single').open")
        press(browser, "a")
        until(browser, "document.getElementById('single-path').textContent", f"1 {COLOURS[1]}.png")
        press(browser, "k")
        until(browser, "document.getElementById('single-path').textContent", f"0 {COLOURS[0]}.png")
        until(browser, "document.getElementById('past').hidden === false")
        browser.execute_script("document.getElementById('past').open = true")
        checked("single view with its history")
        press(browser, Keys.ESCAPE, "x")
        for dialog in ("bulk", "ask", "export", "help"):
            browser.execute_script(f"document.getElementById('{dialog}').showModal()")
            checked(dialog)
            press(browser, Keys.ESCAPE)
        browser.find_element(By.ID, "every").click()
        browser.find_element(By.ID, "reject-selected").click()
        until(browser, "document.getElementById('sure').open")
        checked("all that match")
        press(browser, Keys.ESCAPE)
        browser.get(f"http://{page.host}/?lang={lang}&job=all")
        until(browser, "document.querySelectorAll('.side .answer').length", 12)
        until(browser, "document.querySelectorAll('#outcomes button').length", 4)
        browser.execute_script(AXE.read_text("utf-8"))
        checked("side by side")
        title = browser.find_element(By.TAG_NAME, "h1").text
        assert re.search("审阅" if lang == "zh" else "Review", title)


def serious(browser: Chrome) -> list[str]:
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
