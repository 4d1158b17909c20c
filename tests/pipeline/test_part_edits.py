"""What people make of results in a directory of parts: written as one more writer, and never written over."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.test_parts import QUESTION, RECIPE, done, opened, record
from tests.s3_store import S3Store
from visionpipe.errors import JournalError
from visionpipe.files.stores import Store, open_store
from visionpipe.pipeline.edits import Step
from visionpipe.pipeline.part_edits import FEW_PARTS, EditParts, merge_edits, recipes
from visionpipe.pipeline.part_mirror import PartMirror
from visionpipe.pipeline.parts import Parts
from visionpipe.pipeline.reading import JournalView, recorded_results
from visionpipe.results import ItemResult
from visionpipe.stages.keys import Recipe

CONTENT = "0" * 64
OTHER = "1" * 64


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any] | None]:
    if request.param == "local":
        return f"{tmp_path}/out/", None
    s3: S3Store = request.getfixturevalue("s3_store")
    return f"s3://{s3.bucket}/out/", s3.options


@pytest.fixture
def store(place: tuple[str, dict[str, Any] | None]) -> Store:
    ledger = opened(*place)
    record(ledger, done("a"), done("b"), content=CONTENT)
    ledger.close()
    return open_store(*place)


def step(source: str, text: str | None, content: str = CONTENT) -> Step:
    return Step(source, "caption", text, content=content)


def texts(store: Store) -> dict[str, str | None]:
    return {result.source: result.caption for result in Parts(store).results()}


def mirror(store: Store, folder: Path, who: str = "Ana") -> PartMirror:
    return PartMirror(store, folder / f"{who}.journal", who)


def mirrored(one: PartMirror) -> dict[str, str | None]:
    return {result.source: result.caption for result in recorded_results(one.path)}


def test_an_edit_wins_in_exports_merges_and_later_runs(
    store: Store, place: tuple[str, dict[str, Any] | None], tmp_path: Path
) -> None:
    ana = mirror(store, tmp_path)
    assert ana.edits.apply("", [step("a", "Mine.")])
    assert texts(store) == mirrored(ana) == {"a": "Mine.", "b": "A cat."}
    ledger = opened(*place)
    found = ledger.recorded("a", QUESTION)
    assert found is not None
    assert found.result.caption == "A cat.", "what the model said is kept beside it"
    assert ledger.standing(found.result, CONTENT).caption == "Mine."
    record(ledger, done("a", "Asked again."), content=CONTENT)
    ledger.close()
    assert texts(store)["a"] == "Mine."
    Parts(store).merge()
    assert texts(store) == {"a": "Mine.", "b": "A cat."}
    ana.refresh()
    assert mirrored(ana)["a"] == "Mine."
    with closing(JournalView.open(ana.path)) as view:
        assert [answer.caption for answer in view.answers("a")] == ["Asked again."]


def test_an_edit_is_not_used_for_another_picture_of_the_name(
    store: Store, place: tuple[str, dict[str, Any] | None], tmp_path: Path
) -> None:
    mirror(store, tmp_path).edits.apply("", [step("a", "Mine.")])
    ledger = opened(*place)
    record(ledger, done("a", "Another one."), content=OTHER)
    ledger.close()
    result = next(result for result in Parts(store).results() if result.source == "a")
    assert (result.caption, result.notes[-1].kind) == ("Another one.", "earlier_picture")
    again = mirror(store, tmp_path, "Bo")
    assert mirrored(again)["a"] == "Another one."


def test_two_people_and_a_restart_see_the_same(store: Store, tmp_path: Path) -> None:
    ana, bo = mirror(store, tmp_path), mirror(store, tmp_path, "Bo")
    ana.edits.apply("", [step("a", "Ana's."), step("b", "Ana's.")])
    assert bo.refresh()
    bo.edits.apply("", [step("a", "Bo's.")])
    assert not bo.refresh()
    assert ana.refresh()
    cy = mirror(store, tmp_path, "Cy")
    for one in (ana, bo, cy):
        assert mirrored(one) == {"a": "Bo's.", "b": "Ana's."}
    assert texts(store) == {"a": "Bo's.", "b": "Ana's."}
    assert cy.edits.undo() == (0, ()), "each takes back their own"
    (tmp_path / "later").mkdir()
    later = mirror(store, tmp_path / "later", "Bo")
    assert later.edits.undo()[1] == ("a",)
    assert texts(store) == {"a": "Ana's.", "b": "Ana's."}


def test_a_step_is_later_than_what_it_follows_whatever_the_clocks_say(store: Store, tmp_path: Path) -> None:
    ana, bo = mirror(store, tmp_path), mirror(store, tmp_path, "Bo")
    ana.edits._clock = lambda: 5_000_000_000.0
    ana.edits.apply("", [step("a", "From the future.")])
    bo.edits.apply("", [step("b", "Late to arrive.")])
    bo.refresh()
    bo.edits.apply("", [step("a", "Corrected.")])
    ana.refresh()
    for one in (ana, bo):
        assert mirrored(one) == {"a": "Corrected.", "b": "Late to arrive."}
    assert texts(store) == {"a": "Corrected.", "b": "Late to arrive."}


def test_many_small_parts_are_put_together_and_no_step_is_lost_or_taken_twice(
    store: Store, tmp_path: Path
) -> None:
    ana, bo = mirror(store, tmp_path), mirror(store, tmp_path, "Bo")
    for number in range(FEW_PARTS + 2):
        ana.edits.apply("", [step("a", f"{number}.")])
    bo.refresh()
    assert merge_edits(store) == FEW_PARTS + 2
    assert len(EditParts(store).names()) == 1
    assert merge_edits(store) == 0
    bo.refresh()
    assert _steps(bo) == _steps(mirror(store, tmp_path, "Cy")) == FEW_PARTS + 2
    assert texts(store)["a"] == f"{FEW_PARTS + 1}."
    assert [bool(ana.edits.undo()[0]) for _ in range(FEW_PARTS + 3)] == [True] * (FEW_PARTS + 2) + [False]
    assert texts(store)["a"] == "A cat."


def _steps(one: PartMirror) -> int:
    with closing(JournalView.open(one.path)) as view:
        row = view.database.one("SELECT count(*) AS n FROM edits")
        return 0 if row is None else int(row["n"])


def test_a_directory_without_edits_or_recipes_is_read_as_before(tmp_path: Path) -> None:
    address = f"{tmp_path}/out/"
    ledger = opened(address)
    record(ledger, done("a"))
    ledger.close()
    store = open_store(address)
    assert recipes(store) == {RECIPE.job: Recipe("m", "What is it?")}
    for file in (tmp_path / "out" / "jobs").iterdir():
        file.unlink()
    assert texts(store) == {"a": "A cat."}
    one = mirror(store, tmp_path)
    one.edits.apply("", [step("a", "Mine.", "")])
    assert mirrored(one) == texts(store) == {"a": "Mine."}


def test_a_place_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no results are stored"):
        mirror(open_store(f"{tmp_path}/none/"), tmp_path)


def test_a_name_that_is_no_unicode_keeps_its_edit(tmp_path: Path) -> None:
    address, name = f"{tmp_path}/out/", "a\udc80.png"
    ledger = opened(address)
    record(ledger, done(name), content=CONTENT)
    ledger.close()
    one = mirror(open_store(address), tmp_path)
    shown = next(iter(recorded_results(one.path)))
    one.edits.apply("", [step(shown.source, "Mine.")])
    assert list(texts(open_store(address)).values()) == ["Mine."]
    again = opened(address)
    result: ItemResult = again.standing(done(name), CONTENT)
    assert result.caption == "Mine."
    again.close()
