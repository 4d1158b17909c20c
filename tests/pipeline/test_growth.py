"""Large jobs: a resume looks items up by the page, and what was used is summed in SQL."""

from __future__ import annotations

import os
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import visionpipe as vp
from tests.pipeline.answering import Scripted, numbered
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.reading import PAGE, JournalView
from visionpipe.stages.keys import Recipe
from visionpipe.values import Money


def job(answerer: Scripted, journal: Path, prompt: str | vp.Template = "What is it?") -> vp.Pipeline:
    return vp.Pipeline(prompt, answerer=answerer, model="m", journal=journal, quality=None)


def test_a_resume_over_several_pages_asks_only_about_what_is_new_or_changed(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 2 * PAGE + 40)
    first = {result.source: result for result in job(Scripted(), tmp_path / "j").run(folder)}
    (folder / "i0300.jpg").write_bytes(b"other content")
    (folder / "i0000a.jpg").write_bytes(b"new content")
    answerer = Scripted()
    run = job(answerer, tmp_path / "j").run(folder)
    second = {result.source: result for result in run}
    assert sorted(answerer.asked) == ["i0000a.jpg", "i0300.jpg"]
    assert second.keys() == first.keys() | {"i0000a.jpg"}
    assert all(second[name] == first[name] for name in first.keys() - {"i0300.jpg"})
    assert run.summary is not None and run.summary.kept == len(first) - 1 and run.summary.not_started == 0


def test_a_touched_file_of_the_same_bytes_is_read_and_not_asked_again(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    list(job(Scripted(), tmp_path / "j").run(folder))
    os.utime(folder / "i0001.jpg", ns=(1, 1))
    answerer = Scripted()
    assert len(list(job(answerer, tmp_path / "j").run(folder))) == 3
    assert not answerer.asked


def test_an_item_named_twice_in_a_page_is_kept_once_for_each(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    paths = [str(folder / f"i{number:04}.jpg") for number in (0, 1, 0, 2, 1)]
    list(job(Scripted(), tmp_path / "j").run(paths[:1]))
    answerer = Scripted()
    results = list(job(answerer, tmp_path / "j").run(paths))
    assert len(results) == 5 and sorted(answerer.asked.values()) == [1, 1]
    assert sum(result.reason == "listed twice" for result in results) == 1


def test_each_prompt_of_a_template_is_found_again(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 5)
    asked = vp.Template("What is {path.stem}?")
    first = list(job(Scripted(), tmp_path / "j", asked).run(folder))
    list(job(Scripted(), tmp_path / "j", "Another?").run(folder))
    answerer = Scripted()
    again = list(job(answerer, tmp_path / "j", asked).run(folder))
    assert sorted(again, key=lambda one: one.source) == sorted(first, key=lambda one: one.source)
    assert not answerer.asked


def test_leaving_a_resume_early_counts_what_had_come_to_its_end(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 30)
    list(job(Scripted(), tmp_path / "j").run(folder))
    run = job(Scripted(), tmp_path / "j").run(folder)
    for _ in run:
        break
    assert run.summary is not None
    assert run.summary.seen == run.summary.kept + run.summary.not_started == 30


amounts = st.decimals("0", "9999", places=6, allow_nan=False)
requests = st.builds(
    Sent,
    seconds=st.just(1.0),
    billable=st.booleans(),
    tokens=st.none() | st.integers(0, 2**62),
    cost=st.none() | st.builds(Money, amounts, st.sampled_from(["CNY", "USD"])),
    refused=st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(requests, max_size=12))
def test_what_was_used_is_the_exact_sum(sent: list[Sent]) -> None:
    with closing(Journal(None)) as journal:
        journal.begin(Recipe("m", "What is it?"))
        for number, one in enumerate(sent):
            journal.record(Key(f"i{number}", "q", None), None, [one])
        spent = JournalView(journal.database).spent()
    billed = [one for one in sent if one.billable]
    sums: dict[str, Decimal] = {}
    for one in billed:
        if one.cost is not None:
            sums[one.cost.currency] = sums.get(one.cost.currency, Decimal(0)) + one.cost.amount
    assert spent.requests == len(billed)
    assert spent.tokens == sum(one.tokens or 0 for one in billed)
    assert spent.refusals == sum(one.refused for one in sent)
    assert {money.currency: money.amount for money in spent.money} == sums
