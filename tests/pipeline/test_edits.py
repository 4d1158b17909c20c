"""What people make of answers: it stands in every output, no run takes it away, every step is taken back."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.answering import Scripted, folder_of
from visionpipe.cli.app import status_of
from visionpipe.errors import JournalError
from visionpipe.pipeline.edits import Edits, Step, history
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.merge import merge_journals
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import JournalView, recorded_results
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult, Outcome
from visionpipe.store.database import Database

FIRST = (Path(__file__).parent / "data" / "journal-1.sql").read_text("utf-8")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    images = folder_of(tmp_path / "in", one="1", two="2", three="broken")
    list(Pipeline("What?", answerer=Scripted(), model="m", journal=tmp_path / "j", quality=None).run(images))
    return tmp_path / "j"


def texts(journal: Path) -> dict[str, str | None]:
    return {result.source: result.caption for result in recorded_results(journal)}


def contents(journal: Path) -> dict[str, str]:
    return {result.source: result.sha256 or "" for result in recorded_results(journal)}


def test_an_edit_stands_in_the_answers_place_and_says_so(journal: Path) -> None:
    edits = Edits(journal, "Ana", clock=lambda: 1_700_000_000.0)
    assert edits.apply(
        "", [Step("one.jpg", "caption", "Mine."), Step("two.jpg", "verdict", "rejected", "reject")]
    )
    found = {result.source: result for result in recorded_results(journal)}
    assert found["one.jpg"].caption == "Mine."
    assert [(n.kind, n.detail) for n in found["one.jpg"].notes] == [
        ("edited", "by Ana, 2023-11-14T22:13:20Z")
    ]
    assert [note.kind for note in found["two.jpg"].notes] == ["rejected"]
    assert found["two.jpg"].caption == "a picture of two.jpg"


def test_words_for_a_failed_item_make_it_done(journal: Path) -> None:
    Edits(journal, "Ana").apply("", [Step("three.jpg", "caption", "Seen by myself.")])
    found = {result.source: result for result in recorded_results(journal)}["three.jpg"]
    assert (found.outcome, found.caption, found.failure) == (Outcome.DONE, "Seen by myself.", None)


def test_no_later_run_takes_an_edit_away(journal: Path, tmp_path: Path) -> None:
    Edits(journal, "Ana").apply(
        "", [Step("one.jpg", "caption", "Mine."), Step("three.jpg", "caption", "Mine too.")]
    )
    for prompt in ("What?", "And now?"):
        again = Pipeline(
            prompt,
            answerer=Scripted(),
            model="m",
            journal=journal,
            force=True,
            retry_failed=True,
            quality=None,
        )
        list(again.run(tmp_path / "in"))
        assert texts(journal) == {
            "one.jpg": "Mine.",
            "two.jpg": "a picture of two.jpg",
            "three.jpg": "Mine too.",
        }
    with closing(JournalView.open(journal)) as view:
        said = [result.caption for result in view.answers("one.jpg")]
    assert said == ["a picture of one.jpg"] * 2, "what the model said is kept beside it"


def test_a_run_hands_out_what_it_keeps_as_a_person_left_it(journal: Path, tmp_path: Path) -> None:
    Edits(journal, "Ana").apply("", [Step(name, "caption", "Mine.") for name in ("one.jpg", "three.jpg")])
    answerer = Scripted()
    again = Pipeline("What?", answerer=answerer, model="m", journal=journal, quality=None)
    captions = {result.source: result.caption for result in again.run(tmp_path / "in")}
    assert captions == {"one.jpg": "Mine.", "two.jpg": "a picture of two.jpg", "three.jpg": "Mine."}
    assert not answerer.asked


def test_every_export_has_the_edit(journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Edits(journal, "Ana").apply("", [Step("one.jpg", "caption", "Mine.")])
    outputs = ("out.jsonl", "out.csv", "out.html", "txt:side", "json:side")
    given = [
        part
        for spec in outputs
        for part in ("-o", spec.replace("out", f"{tmp_path}/out").replace("side", f"{tmp_path}/side"))
    ]
    assert status_of(["export", str(journal), *given]) == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert {line["path"]: line["caption"] for line in lines}["one.jpg"] == "Mine."
    with (tmp_path / "out.csv").open(encoding="utf-8-sig") as file:
        assert "Mine." in [row["caption"] for row in csv.DictReader(file)]
    assert "Mine." in (tmp_path / "out.html").read_text("utf-8")
    assert (tmp_path / "side" / "one.txt").read_text("utf-8").strip() == "Mine."
    assert json.loads((tmp_path / "side" / "one.json").read_text("utf-8"))["caption"] == "Mine."


def asked_again(journal: Path, folder: Path, **options: object) -> dict[str, ItemResult]:
    again = Pipeline("What?", answerer=Scripted(), model="m", journal=journal, quality=None, **options)  # type: ignore[arg-type]  # of Pipeline
    return {result.source: result for result in again.run(folder)}


def test_an_edit_is_not_used_for_another_picture_of_the_name(journal: Path, tmp_path: Path) -> None:
    one = contents(journal)["one.jpg"]
    edits = Edits(journal, "Ana", clock=lambda: 1_700_000_000.0)
    edits.apply("", [Step("one.jpg", "caption", "Mine.", content=one)])
    edits.apply("", [Step("one.jpg", "verdict", "accepted", "accept", content=one)])
    (tmp_path / "in" / "one.jpg").write_bytes(b"another picture")
    handed_out = asked_again(journal, tmp_path / "in")["one.jpg"]
    found = {result.source: result for result in recorded_results(journal)}["one.jpg"]
    for result in (handed_out, found):
        assert result.caption == "a picture of one.jpg"
        assert [(note.kind, note.detail) for note in result.notes if note.kind != "changed"] == [
            (
                "earlier_picture",
                "edited by Ana, 2023-11-14T22:13:20Z, as another picture had this name; look at it again",
            )
        ]
    edits.apply("", [Step("one.jpg", "caption", "New.", content=contents(journal)["one.jpg"])])
    result = {result.source: result for result in recorded_results(journal)}["one.jpg"]
    assert (result.caption, [note.kind for note in result.notes]) == ("New.", ["changed", "edited"])
    (tmp_path / "in" / "one.jpg").write_text("1")
    assert asked_again(journal, tmp_path / "in", force=True)["one.jpg"].caption == "Mine."
    edits.undo()
    assert texts(journal)["one.jpg"] == "Mine."


def test_what_was_written_before_the_picture_was_known_becomes_its_own(journal: Path) -> None:
    edits = Edits(journal, "Ana")
    edits.apply("", [Step("one.jpg", "caption", "First.")])
    edits.apply("", [Step("one.jpg", "caption", "Second.", content=contents(journal)["one.jpg"])])
    assert texts(journal)["one.jpg"] == "Second."
    edits.undo()
    assert texts(journal)["one.jpg"] == "First."
    edits.undo()
    assert texts(journal)["one.jpg"] == "a picture of one.jpg"


def test_items_asked_anew_are_handed_out_as_a_person_left_them(journal: Path, tmp_path: Path) -> None:
    Edits(journal, "Ana").apply("", [Step(name, "caption", "Mine.") for name in ("one.jpg", "three.jpg")])
    captions = {name: one.caption for name, one in asked_again(journal, tmp_path / "in", force=True).items()}
    assert captions == {"one.jpg": "Mine.", "two.jpg": "a picture of two.jpg", "three.jpg": "Mine."}


def test_edits_of_the_third_version_are_read_and_kept(journal: Path) -> None:
    Edits(journal, "Ana").apply(
        "", [Step("one.jpg", "caption", "Mine.", content=contents(journal)["one.jpg"])]
    )
    with closing(sqlite3.connect(journal)) as old, old:
        old.executescript(
            "CREATE TABLE reviewed (source TEXT NOT NULL, shape TEXT NOT NULL, caption TEXT, data TEXT, "
            "verdict TEXT, who TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (source, shape)) WITHOUT ROWID;"
            "INSERT INTO reviewed SELECT source, shape, caption, data, verdict, who, at FROM reviews;"
            "DROP TABLE reviews; ALTER TABLE edits DROP COLUMN content; PRAGMA user_version = 3;"
        )
    assert texts(journal)["one.jpg"] == "Mine."
    with closing(Database(journal, JOURNAL, read_only=True)) as database:
        assert [one.after for one in history(database, "one.jpg", "")] == ["Mine."]
    Edits(journal, "Ana").apply("", [Step("two.jpg", "caption", "Too.")])
    assert texts(journal) | {"three.jpg": None} == {"one.jpg": "Mine.", "two.jpg": "Too.", "three.jpg": None}
    with closing(Database(journal, JOURNAL, read_only=True)) as database:
        rows = {row["source"]: row["content"] for row in database.all("SELECT source, content FROM reviews")}
        assert rows == {"one.jpg": contents(journal)["one.jpg"], "two.jpg": ""}


STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["one.jpg", "two.jpg"]),
            st.sampled_from(["caption", "verdict"]),
            st.sampled_from(["accepted", "rejected", None]),
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(actions=STEPS)
def test_undo_leads_back_through_every_state(
    tmp_path_factory: pytest.TempPathFactory, actions: list[list[tuple[str, str, str | None]]]
) -> None:
    path = tmp_path_factory.mktemp("undo") / "j"
    Journal(path).close()
    edits = Edits(path, "Ana")

    def standing() -> list[tuple[object, ...]]:
        with closing(Database(path, JOURNAL, read_only=True)) as database:
            rows = database.all("SELECT source, caption, verdict FROM reviews ORDER BY source")
            return [tuple(row) for row in rows]

    states = [standing()]
    for action in actions:
        steps = [Step(source, field, value) for source, field, value in action]  # type: ignore[arg-type]  # one of Field
        states += [standing()] if edits.apply("", steps) else []
    for state in reversed(states[:-1]):
        assert edits.undo()[0]
        assert standing() == state
    assert edits.undo() == (0, ())


def test_the_history_keeps_who_when_from_what_to_what(journal: Path) -> None:
    moments = iter(range(100, 200))
    ana, bo = (Edits(journal, who, clock=lambda: float(next(moments))) for who in ("Ana", "Bo"))
    ana.apply("", [Step("one.jpg", "caption", "A")])
    bo.apply("", [Step("one.jpg", "caption", "B")])
    ana.undo()
    with closing(Database(journal, JOURNAL, read_only=True)) as database:
        steps = [(one.who, one.kind, one.before, one.after) for one in history(database, "one.jpg", "")]
    assert steps == [("Ana", "undo", "B", "A"), ("Bo", "edit", "A", "B"), ("Ana", "edit", None, "A")]


def test_nothing_is_edited_while_a_run_has_the_journal(journal: Path) -> None:
    edits = Edits(journal, "Ana")
    with closing(Journal(journal)):
        with pytest.raises(JournalError) as caught:
            edits.apply("", [Step("one.jpg", "caption", "Mine.")])
        assert caught.value.code == "locked"
    assert edits.apply("", [Step("one.jpg", "caption", "Mine.")])


def test_a_journal_of_the_first_version_can_be_edited(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "j")) as made:
        made.executescript(FIRST)
    assert texts(tmp_path / "j")["a.jpg"] == "a picture of a.jpg"
    Edits(tmp_path / "j", "Ana").apply("", [Step("a.jpg", "caption", "Mine.")])
    assert texts(tmp_path / "j")["a.jpg"] == "Mine."


def test_a_damaged_edit_is_left_out(journal: Path) -> None:
    Edits(journal, "Ana").apply("", [Step("one.jpg", "caption", "Mine.")])
    with closing(sqlite3.connect(journal)) as damaged, damaged:
        damaged.execute("UPDATE reviews SET at = 'then'")
    assert texts(journal)["one.jpg"] == "a picture of one.jpg"


def test_merged_journals_keep_all_that_people_wrote(journal: Path, tmp_path: Path) -> None:
    ana = Edits(journal, "Ana")
    ana.apply("", [Step(name, "caption", "Ana's.") for name in ("one.jpg", "two.jpg")])
    (tmp_path / "copy").write_bytes(journal.read_bytes())
    moments = iter(range(4_000_000_000, 4_000_000_100))
    bo = Edits(tmp_path / "copy", "Bo", clock=lambda: float(next(moments)))
    bo.apply("", [Step("two.jpg", "caption", "Bo's."), Step("three.jpg", "verdict", "rejected", "reject")])
    bo.apply("", [Step("one.jpg", "verdict", "accepted", "accept")])
    bo.undo()
    ana.apply("", [Step("three.jpg", "caption", "Late.")])
    merge_journals([journal, tmp_path / "copy"], tmp_path / "both")
    assert texts(tmp_path / "both") == {"one.jpg": "Ana's.", "two.jpg": "Bo's.", "three.jpg": "Late."}
    with closing(Database(tmp_path / "both", JOURNAL, read_only=True)) as database:
        steps = [
            one.kind for name in ("one.jpg", "two.jpg", "three.jpg") for one in history(database, name, "")
        ]
        assert sorted(steps) == ["accept", "edit", "edit", "edit", "edit", "reject", "undo"]
    merged = Edits(tmp_path / "both", "Cy")
    assert [merged.undo()[0] > 0 for _ in range(4)] == [True, True, True, False], "one was taken back before"
