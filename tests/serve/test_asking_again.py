"""Asking again from the review page, at the sandbox: further answers to choose from, under a budget."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.serve.reviewing import Browser, captioned, reviewing
from visionpipe.pipeline.reading import recorded_results
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

PROMPT = "What is this, in a word?"


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(answers="script") as handle:
        handle.set_scenario({"answer": [{"text": "A plain square."}]})
        yield handle


@pytest.fixture
def journal(sandbox: SandboxHandle, tmp_path: Path) -> Path:
    images = tmp_path / "in"
    images.mkdir()
    for place, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (80, 60), colour).save(images / f"{place}.png")
    captioned(sandbox, tmp_path, "-o", "out.jsonl")
    return tmp_path / "out.jsonl.journal"


def ended(browser: Browser) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state: dict[str, object] = browser.get("/state")["asking"]
        if state["ended"]:
            return state
    raise AssertionError("it did not end")


def test_further_answers_are_chosen_from_and_make_pairs(
    sandbox: SandboxHandle, journal: Path, tmp_path: Path
) -> None:
    said = {result.source: result.caption for result in recorded_results(journal)}
    sandbox.set_scenario({"answer": [{"text": "A square of one colour."}]})
    with reviewing(sandbox, journal, "--who", "Ana") as (browser, _):
        assert browser.open() == 303
        job = browser.get("/job")["job"]
        asked = {"filter": {}, "sources": ["0.png", "1.png"], "model": "glm-4v-plus-0111", "prompt": PROMPT}
        assert browser.do("ask", **asked, requests="5")["total"] == 2
        assert ended(browser) == {"done": 2, "total": 2, "ended": True, "error": None}
        answers = browser.get("/item", source="0.png", job=job)["answers"]
        assert (answers[0]["model"], answers[0]["prompt"]) == ("glm-4v-plus-0111", PROMPT)
        assert len(answers) == 2
        assert len(browser.get("/item", source="2.png", job=job)["answers"]) == 1
        assert {result.source: result.caption for result in recorded_results(journal)} == said
        fresh = next(one for one in answers if one["prompt"] == PROMPT)
        browser.do("choose", job=job, source="0.png", result=fresh["result"])
        browser.do("edit", job=job, source="2.png", value="Blue.")
        written = browser.do("export", output=f"pairs:{tmp_path / 'pairs.jsonl'}")
        assert written["lines"][0].startswith("pairs:")
    written_pairs = (tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()
    pairs = [json.loads(line) for line in written_pairs]
    assert {Path(one["images"][0]).name: (one["chosen"], one["rejected"]) for one in pairs} == {
        "0.png": (fresh["caption"], said["0.png"]),
        "2.png": ("Blue.", said["2.png"]),
    }
    assert all(one["prompt"].startswith("Write one caption") for one in pairs)
    captioned(sandbox, tmp_path, "-o", "out.jsonl", "-o", "pairs:more.jsonl")
    assert sorted((tmp_path / "more.jsonl").read_text("utf-8").splitlines()) == sorted(written_pairs)


def test_the_budget_ends_it_and_a_mistake_is_named(sandbox: SandboxHandle, journal: Path) -> None:
    with reviewing(sandbox, journal) as (browser, _):
        assert browser.open() == 303
        for wrong in ({"requests": "many"}, {"money": "lots"}, {"preset": "nothing"}, {"sources": ["x.png"]}):
            body: dict[str, object] = {"filter": {}, "sources": None, **wrong}
            assert browser.send("POST", "/do/ask", body)[0] == 400, wrong
        browser.do("ask", filter={}, sources=None, prompt=PROMPT, requests="1")
        state = ended(browser)
        assert state["error"]
        answers = [browser.get("/item", source=f"{place}.png")["answers"] for place in range(3)]
        assert sorted(map(len, answers)) == [1, 1, 2]


def test_each_acknowledged_edit_outlasts_the_servers_death_and_a_later_run(
    sandbox: SandboxHandle, journal: Path, tmp_path: Path
) -> None:
    acknowledged = {}
    with reviewing(sandbox, journal) as (browser, process):
        assert browser.open() == 303
        job = browser.get("/job")["job"]
        for number in range(200):
            if number == 100:
                process.kill()
            try:
                browser.do("edit", job=job, source=f"{number % 3}.png", value=f"Mine, {number}.")
            except (OSError, AssertionError):
                continue
            acknowledged[f"{number % 3}.png"] = f"Mine, {number}."
    assert len(acknowledged) == 3
    assert {result.source: result.caption for result in recorded_results(journal)} == acknowledged
    captioned(sandbox, tmp_path, "-o", "out.jsonl", "-o", "txt:txt", "--force")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert {line["path"]: line["caption"] for line in lines} == acknowledged
    for source, text in acknowledged.items():
        assert (tmp_path / "txt" / source).with_suffix(".txt").read_text("utf-8").strip() == text
