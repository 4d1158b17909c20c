"""The review page's server: who gets in, which items a filter has, and what is done to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from tests.pipeline.answering import Scripted
from tests.serve.reviewing import Browser, asked, served
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key
from visionpipe.pipeline.reading import recorded_results
from visionpipe.results import ItemResult, Outcome
from visionpipe.stages.keys import Recipe

NAMES = ("a/cat.png", "a/dog.png", "b/sea.png", "b/sky 100%.png")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    for place, name in enumerate(NAMES):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40), (place * 60, 0, 0)).save(path)
    return asked(tmp_path / "j", tmp_path / "in")


@pytest.fixture
def browser(journal: Path) -> Iterator[Browser]:
    with served(journal) as one:
        assert one.open() == 303
        yield one


def sources(browser: Browser, **values: str) -> list[str]:
    return [item["source"] for item in browser.get("/items", **values)["items"]]


def job(browser: Browser) -> str:
    return str(browser.get("/job")["job"])


def texts(journal: Path) -> dict[str, str | None]:
    return {result.source: result.caption for result in recorded_results(journal)}


def test_the_token_works_once_and_nothing_without_it(journal: Path) -> None:
    with served(journal) as browser:
        for path in ("/", "/items", "/job", "/picture?source=a/cat.png", "/page/review.js", "/?token=wrong"):
            assert browser.send("GET", path)[0] == 403, path
        assert browser.open() == 303
        assert "HttpOnly" in browser.send("GET", "/")[1].get("set-cookie", "HttpOnly")
        assert browser.send("GET", "/")[0] == 200
        other = Browser(browser.url)
        assert other.open() == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "10.0.0.1:80"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/items", "/do/undo", "/nowhere"])
def test_no_other_page_gets_in(browser: Browser, path: str, headers: dict[str, str]) -> None:
    method = "POST" if path.startswith("/do") else "GET"
    assert browser.send(method, path, {} if method == "POST" else None, headers)[0] == 403


def test_the_page_itself_may_ask_and_runs_only_its_own_script(browser: Browser) -> None:
    own = {"Origin": f"http://{browser.host}"}
    assert browser.send("POST", "/do/undo", {}, own)[0] == 200
    status, headers, page = browser.send("GET", "/", headers=own)
    assert status == 200
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
    assert b"<style" not in page
    assert b" style=" not in page


def test_what_is_no_json_is_refused(browser: Browser) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.send("POST", "/do/undo", {}, form)[0] == 415
    assert browser.send("POST", "/do/edit", {"source": "a/cat.png"})[0] == 400
    assert browser.send("POST", "/do/edit", [])[0] == 400
    assert browser.send("POST", "/do/nothing", {})[0] == 404
    assert browser.send("GET", "/items?sort=sideways")[0] == 400
    assert browser.send("GET", "/items?after=x")[0] == 400


def test_filters(browser: Browser) -> None:
    browser.do("judge", filter={}, sources=["a/dog.png"], verdict="rejected")
    browser.do("edit", job=job(browser), source="b/sea.png", value="The sea.")
    assert sources(browser) == list(NAMES)
    assert sources(browser, path="b/") == list(NAMES[2:])
    assert sources(browser, path="100%") == ["b/sky 100%.png"]
    assert sources(browser, path="%") == ["b/sky 100%.png"]
    assert sources(browser, text="SEA the") == ["b/sea.png"]
    assert sources(browser, reviewed="no") == ["a/cat.png", "b/sky 100%.png"]
    assert sources(browser, reviewed="rejected") == ["a/dog.png"]
    assert sources(browser, reviewed="edited") == ["b/sea.png"]
    assert sources(browser, outcome="failed") == []
    assert sources(browser, model="m", sort="path") == sorted(NAMES)
    assert sources(browser, sort="shortest")[0] == "b/sea.png"
    assert sources(browser, sort="longest")[-1] == "b/sea.png"
    assert browser.get("/count", reviewed="yes") == {"count": 2}
    facets = browser.get("/job")["facets"]
    assert facets["reviewed"] == [["no", 2], ["edited", 1], ["rejected", 1]]


@pytest.mark.parametrize("sort", ["listed", "path", "newest", "shortest", "longest"])
def test_pages_have_every_item_once(browser: Browser, sort: str) -> None:
    seen: list[str] = []
    values = {"sort": sort, "most": "1"}
    while True:
        page = browser.get("/items", **values)
        seen += [item["source"] for item in page["items"]]
        if page["after"] is None:
            break
        values["after"] = page["after"]
    assert sorted(seen) == sorted(NAMES)


def test_pictures_are_small_kept_and_only_of_the_journals_items(browser: Browser, tmp_path: Path) -> None:
    status, headers, data = browser.send("GET", "/picture?source=a/cat.png&size=small")
    assert (status, data[:4]) == (200, b"RIFF")
    again = browser.send("GET", "/picture?source=a/cat.png", headers={"If-None-Match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")
    Image.new("RGB", (61, 41), "blue").save(tmp_path / "in" / "a" / "cat.png")
    assert (
        browser.send("GET", "/picture?source=a/cat.png", headers={"If-None-Match": headers["etag"]})[0] == 200
    )
    for name in ("/etc/passwd", str(tmp_path / "in" / "a" / "cat.png"), "../j", ""):
        assert browser.send("GET", f"/picture?source={name}")[0] == 404


def test_bulk_changes_are_shown_first_and_taken_back_at_once(browser: Browser, journal: Path) -> None:
    before = texts(journal)
    asking = {"filter": {"path": "a/"}, "find": "a picture of", "replacement": "Photo:", "suffix": " (c)"}
    shown = browser.do("bulk", **asking)
    assert (shown["changes"], texts(journal)) == (2, before)
    assert shown["shown"][0]["after"] == "Photo: a/cat.png (c)"
    assert browser.do("bulk", **asking, dry=False)["changes"] == 2
    assert texts(journal)["a/dog.png"] == "Photo: a/dog.png (c)"
    assert browser.do("undo")["changes"] == 2
    assert texts(journal) == before


def test_structured_data_is_edited_by_its_schema(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["tags"],
    }
    images = tmp_path / "in"
    images.mkdir()
    Image.new("RGB", (9, 9)).save(images / "x.png")
    journal = tmp_path / "j"
    with closing(Journal(journal)) as made:
        made.begin(Recipe("m", "Tags?", {}, schema=schema))
        result = ItemResult(
            "x.png", Outcome.DONE, '{"tags":["cat","red cat"]}', {"tags": ["cat", "red cat"]}, "m"
        )
        made.record(Key("x.png", "q", None), result)
        made.end("complete")
    with served(journal) as browser:
        browser.open()
        found = browser.get("/job")
        kind = found["kinds"][found["job"]]
        assert (kind["tags"], kind["listed"]) == ("tags", False)
        assert found["facets"]["tag"] == [["cat", 1], ["red cat", 1]]
        assert sources(browser, tag="cat") == ["x.png"]
        assert sources(browser, tag="at") == []
        refused = browser.send(
            "POST", "/do/edit", {"job": found["job"], "source": "x.png", "value": {"tags": [1]}}
        )
        assert refused[0] == 400
        assert b"does not fit its schema" in refused[2]
        browser.do("edit", job=found["job"], source="x.png", value={"tags": ["dog", "cat"]})
        assert browser.do("bulk", filter={}, find="dog", replacement="cat", dry=False)["changes"] == 1
        assert browser.get("/item", source="x.png")["data"] == {"tags": ["cat"]}
    result = next(iter(recorded_results(journal)))
    assert (result.data, json.loads(result.caption or "")) == ({"tags": ["cat"]}, {"tags": ["cat"]})


def test_one_of_several_answers_is_chosen(browser: Browser, journal: Path, tmp_path: Path) -> None:
    asked(journal, tmp_path / "in", "And how?", force=True)
    item = browser.get("/item", source="a/cat.png")
    assert [answer["prompt"] for answer in item["answers"]] == ["And how?", "What?"]
    browser.do(
        "choose",
        job=job(browser),
        source="a/cat.png",
        result=item["answers"][1]["result"],
    )
    found = browser.get("/item", source="a/cat.png")
    assert (found["edited"], found["verdict"]) == (True, "accepted")
    assert {step["kind"] for step in found["history"]} == {"choose"}


def test_all_models_and_prompts_show_each_image_once_with_every_answer(
    browser: Browser, journal: Path, tmp_path: Path
) -> None:
    asked(journal, tmp_path / "in", "And how?", force=True, answerer=Scripted(lambda name, n: f"Like {name}"))
    found = browser.get("/items", job="all")["items"]
    assert [item["source"] for item in found] == list(NAMES)
    for item in found:
        assert [answer["prompt"] for answer in item["answers"]] == ["And how?", "What?"]
        assert [answer["shown"] for answer in item["answers"]] == [True, False]
        assert item["caption"] == f"Like {item['source']}"
    assert browser.get("/count", job="all") == {"count": 4}
    facets = browser.get("/job", job="all")["facets"]
    jobs = {one["prompt"]: one["job"] for one in browser.get("/job", job="all")["jobs"]}
    assert sorted(facets["prompt"]) == sorted([key, 4] for key in jobs.values())
    assert sources(browser, job="all", text="like a/") == ["a/cat.png", "a/dog.png"]
    assert sources(browser, job="all", text="picture", sort="path", most="2") == ["a/cat.png", "a/dog.png"]
    only = browser.get("/items", job="all", prompt=jobs["What?"], text="dog")["items"]
    assert [item["caption"] for item in only] == ["a picture of a/dog.png"]
    one = found[0]["answers"][1]
    browser.do("choose", job=one["job"], source="a/cat.png", result=one["result"])
    assert texts(journal)["a/cat.png"] == "a picture of a/cat.png"
    assert browser.get("/items", job="all", reviewed="accepted")["items"][0]["edited"] is True
    changed = browser.do("bulk", filter={"job": "all", "path": "a/"}, find="a/", replacement="", dry=False)
    assert changed["changes"] == 2
    assert (texts(journal)["a/cat.png"], texts(journal)["a/dog.png"]) == (
        "a picture of cat.png",
        "Like dog.png",
    )


def test_all_that_match_are_judged_at_once_shown_first_and_taken_back(
    browser: Browser, journal: Path
) -> None:
    asking = {"filter": {"path": "a/"}, "sources": None, "verdict": "accepted"}
    shown = browser.do("judge", **asking, dry=True)
    assert (shown["changes"], [one["source"] for one in shown["shown"]]) == (2, list(NAMES[:2]))
    assert sources(browser, reviewed="accepted") == []
    browser.do("judge", filter={}, sources=["a/cat.png"], verdict="accepted")
    assert browser.do("judge", **asking)["changes"] == 1
    assert sources(browser, reviewed="accepted") == list(NAMES[:2])
    assert browser.do("undo")["sources"] == ["a/dog.png"]
    refused = browser.send("POST", "/do/judge", {**asking, "sources": ["nowhere.png"]})
    assert refused[0] == 400
    assert browser.send("POST", "/do/judge", {**asking, "verdict": "perhaps"})[0] == 400


def test_plain_lists_of_tags_are_tags(journal: Path, tmp_path: Path) -> None:
    lists = {
        "a/cat.png": "cat, red， sofa",
        "a/dog.png": "dog, red, lawn, ball",
        "b/sea.png": "sea, sky, sail",
    }
    answerer = Scripted(lambda name, number: lists.get(name, "sky, blue, 100%"))
    made = asked(tmp_path / "tags", tmp_path / "in", "Tags?", answerer=answerer)
    with served(made) as browser:
        browser.open()
        found = browser.get("/job")
        assert found["kinds"][found["job"]]["listed"] is True
        assert dict(found["facets"]["tag"]) == {
            **{"red": 2, "sky": 2, "cat": 1, "sofa": 1, "dog": 1, "lawn": 1, "ball": 1, "sea": 1},
            **{"sail": 1, "blue": 1, "100%": 1},
        }
        assert sources(browser, tag="red") == ["a/cat.png", "a/dog.png"]
        assert sources(browser, tag="re") == []
        asking = {"filter": {"tag": "red"}, "find": "red", "replacement": "crimson", "prefix": "photo"}
        assert browser.do("bulk", **asking)["shown"][0]["after"] == "photo, cat, crimson, sofa"
        browser.do("bulk", **asking, dry=False)
        assert sources(browser, tag="crimson") == ["a/cat.png", "a/dog.png"]
        assert texts(made)["a/dog.png"] == "photo, dog, crimson, lawn, ball"
        browser.do("undo")
        assert sources(browser, tag="red") == ["a/cat.png", "a/dog.png"]
    with served(journal) as browser:
        browser.open()
        found = browser.get("/job")
        assert found["kinds"][found["job"]]["listed"] is False
        assert found["facets"]["tag"] == []


def test_words_for_an_earlier_picture_are_told_of_and_taken_over_when_asked(
    browser: Browser, journal: Path, tmp_path: Path
) -> None:
    browser.do("edit", job=job(browser), source="a/cat.png", value="My cat.")
    Image.new("RGB", (60, 40), "blue").save(tmp_path / "in" / "a" / "cat.png")
    assert browser.get("/item", source="a/cat.png")["changed"] is True
    assert browser.get("/item", source="a/dog.png")["changed"] is False
    asked(journal, tmp_path / "in")
    item = browser.get("/item", source="a/cat.png")
    assert (item["caption"], item["edited"], item["changed"]) == ("a picture of a/cat.png", False, False)
    assert (item["earlier"]["caption"], item["earlier"]["who"]) == ("My cat.", "Ana")
    assert [step["earlier"] for step in item["history"]] == [True]
    assert sources(browser, reviewed="earlier") == ["a/cat.png"]
    assert "a/cat.png" in sources(browser, reviewed="no")
    browser.do("edit", job=job(browser), source="a/cat.png", value=item["earlier"]["caption"])
    item = browser.get("/item", source="a/cat.png")
    assert (item["caption"], item["edited"], item["earlier"]) == ("My cat.", True, None)
    assert sources(browser, reviewed="earlier") == []
    browser.do("undo")
    assert texts(journal)["a/cat.png"] == "a picture of a/cat.png"


def test_while_a_run_has_the_journal_the_page_only_reads(browser: Browser, journal: Path) -> None:
    key = job(browser)
    with closing(Journal(journal)):
        assert browser.get("/state")["held"] is True
        assert sources(browser) == list(NAMES)
        status, _, body = browser.send("POST", "/do/edit", {"job": key, "source": "a/cat.png", "value": "x"})
        assert (status, json.loads(body)["error"]["code"]) == (409, "locked")
    assert browser.get("/state")["held"] is False
    assert browser.do("edit", job=key, source="a/cat.png", value="x")["action"] == 1


def test_a_name_that_is_none_of_the_journals_is_refused(browser: Browser) -> None:
    status, _, body = browser.send(
        "POST", "/do/edit", {"job": job(browser), "source": "nowhere.png", "value": "x"}
    )
    assert status == 400
    assert b"no such item" in body
