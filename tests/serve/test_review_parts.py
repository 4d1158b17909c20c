"""The review page over a directory of parts: one more writer beside the runs and the other reviewers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.commands import visionpipe
from tests.serve.reviewing import Browser, at, captioned, reviewing
from tests.serve.test_asking_again import ended
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

NAMES = ("0.png", "1.png", "2.png")


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(answers="script") as handle:
        handle.set_scenario({"answer": [{"text": "A plain square."}]})
        yield handle


@pytest.fixture
def parts(sandbox: SandboxHandle, tmp_path: Path) -> Path:
    images = tmp_path / "in"
    images.mkdir()
    for name, colour in zip(NAMES, ("red", "green", "blue"), strict=True):
        Image.new("RGB", (80, 60), colour).save(images / name)
    captioned(sandbox, tmp_path, "-o", "out/")
    return tmp_path / "out"


def texts(parts: Path) -> dict[str, str | None]:
    return {result.source: result.caption for result in Parts(open_store(f"{parts}/")).results()}


def items(browser: Browser, **values: str) -> dict[str, str]:
    return {item["source"]: item["caption"] for item in browser.get("/items", **values)["items"]}


def test_each_acknowledged_edit_outlasts_the_servers_death_and_a_later_run(
    sandbox: SandboxHandle, parts: Path, tmp_path: Path
) -> None:
    acknowledged = {}
    with reviewing(sandbox, parts, "--images", "in") as (browser, process):
        assert browser.open() == 303
        assert browser.get("/job")["jobs"][0]["prompt"].startswith("Write one caption")
        assert browser.send("GET", "/picture?source=0.png&size=small")[0] == 200
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
    assert texts(parts) == acknowledged
    captioned(sandbox, tmp_path, "-o", "out/", "--force")
    merged = visionpipe("merge", "out/", folder=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert texts(parts) == acknowledged
    export = visionpipe("export", "out/", "-o", "all.jsonl", "-o", "txt:txt", folder=tmp_path)
    assert export.returncode == 0, export.stderr
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text("utf-8").splitlines()]
    assert {line["path"]: line["caption"] for line in lines} == acknowledged
    assert {note["kind"] for line in lines for note in line["notes"]} == {"edited"}
    with reviewing(sandbox, parts) as (browser, _):
        assert browser.open() == 303
        assert items(browser) == acknowledged
        assert len(browser.get("/item", source="0.png", job=job)["history"]) > 20
        assert browser.do("undo")["changes"] == 1
    assert texts(parts) != acknowledged


def test_a_run_beside_the_review_shows_what_a_person_wrote(
    sandbox: SandboxHandle, parts: Path, tmp_path: Path
) -> None:
    with reviewing(sandbox, parts) as (browser, _):
        assert browser.open() == 303
        browser.do("edit", job=browser.get("/job")["job"], source="1.png", value="Mine.")
        assert browser.get("/state")["held"] is False
        run = visionpipe(
            *("caption", "in", "-o", "out/", "--force", "--json", *at(sandbox)),
            folder=tmp_path,
            env={"VISIONPIPE_API_KEY": sandbox.key},
        )
        assert run.returncode == 0, run.stderr
        told = {line["path"]: line["caption"] for line in map(json.loads, run.stdout.splitlines())}
        assert told == {"0.png": "A plain square.", "1.png": "Mine.", "2.png": "A plain square."}
        browser.do("edit", job=browser.get("/job")["job"], source="2.png", value="Mine too.")
    assert texts(parts) == {"0.png": "A plain square.", "1.png": "Mine.", "2.png": "Mine too."}


def test_further_answers_are_stored_and_change_no_output_until_one_is_chosen(
    sandbox: SandboxHandle, parts: Path, tmp_path: Path
) -> None:
    before = texts(parts)
    sandbox.set_scenario({"answer": [{"text": "A square of one colour."}]})
    with reviewing(sandbox, parts, "--images", "in") as (browser, _):
        assert browser.open() == 303
        browser.do("ask", filter={}, sources=["0.png", "1.png"], prompt="In a word?", requests="5")
        state = ended(browser)
        assert (state["done"], state["error"]) == (2, None)
        assert texts(parts) == before
        job = browser.get("/job")["job"]
        answers = browser.get("/item", source="0.png", job=job)["answers"]
        assert [answer["caption"] for answer in answers] == ["A plain square.", "A square of one colour."]
        browser.do("choose", job=job, source="0.png", result=answers[1]["result"])
        browser.do("export", output=f"pairs:{tmp_path / 'pairs.jsonl'}")
    assert texts(parts) == {**before, "0.png": "A square of one colour."}
    written = visionpipe("export", "out/", "-o", "pairs:again.jsonl", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    pair = json.loads((tmp_path / "pairs.jsonl").read_text("utf-8"))
    again = json.loads((tmp_path / "again.jsonl").read_text("utf-8"))
    assert (again["chosen"], again["rejected"]) == (pair["chosen"], pair["rejected"])
    assert (pair["chosen"], pair["rejected"]) == ("A square of one colour.", "A plain square.")


def test_the_budget_of_asking_again_holds(sandbox: SandboxHandle, parts: Path) -> None:
    with reviewing(sandbox, parts, "--images", "in") as (browser, _):
        assert browser.open() == 303
        browser.do("ask", filter={}, sources=None, prompt="In a word?", requests="1")
        state = ended(browser)
        assert (state["done"], "budget" in str(state["error"])) == (1, True)


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = visionpipe("review", "none/", "--no-browser", folder=tmp_path)
    assert done.returncode == 1
    assert "no results are stored there" in done.stderr


def test_status_tells_how_a_directory_of_parts_stands(
    sandbox: SandboxHandle, parts: Path, tmp_path: Path
) -> None:
    whole = (tmp_path / "in" / "0.png").read_bytes()
    (tmp_path / "in" / "3.png").write_bytes(whole[: len(whole) // 2])
    key = {"VISIONPIPE_API_KEY": sandbox.key}
    visionpipe("caption", "in", "-o", "out/", *at(sandbox), folder=tmp_path, env=key)
    found = json.loads(visionpipe("status", "out/", "--json", folder=tmp_path).stdout)
    (job,) = found["jobs"]
    assert (job["model"], job["done"], job["failed"]) == ("glm-4.6v", 3, 1)
    assert job["prompt"].startswith("Write one caption")
    assert (job["requests"], found["writers"], found["edit_parts"]) == (3, 2, 0)
    assert found["rate"] > 0 and found["last_result_seconds_ago"] < 300
    words = visionpipe("status", "out", folder=tmp_path).stdout
    assert "glm-4.6v: 3 done, 1 failed" in words and "2 writers in the last 5 minutes" in words
    missing = visionpipe("status", "none/", folder=tmp_path)
    assert (missing.returncode, "no results are stored there" in missing.stderr) == (1, True)
