"""Journals of one job made into one: answers win, nothing is lost or counted twice, the parts stay."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.commands import visionpipe
from tests.pipeline.answering import Scripted, numbered
from visionpipe.errors import JournalError, RejectedRequestError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.merge import Merged, merge_journals
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import JournalView, recorded_results
from visionpipe.sources.find import find_sources
from visionpipe.values import Money


def refuse(*names: str) -> Callable[[str, int], str | None]:
    def script(name: str, number: int) -> str | None:
        if name in names:
            raise RejectedRequestError("no", cure="Ask otherwise.")
        return None

    return script


def ask(
    journal: Path,
    folder: Path,
    script: Callable[[str, int], str | None] = lambda name, number: None,
    *,
    names: tuple[int, int] = (0, 99),
    force: bool = False,
) -> Scripted:
    answerer = Scripted(script, cost=Money(Decimal("0.01"), "CNY"))
    job = Pipeline("What?", answerer=answerer, model="m", journal=journal, force=force, concurrency=1)
    list(job.run(list(find_sources(folder))[slice(*names)]))
    return answerer


def told(journal: Path) -> tuple[dict[str, str], int]:
    """What became of each item, and how many requests were billed."""
    with closing(JournalView.open(journal)) as view:
        ends = {one.source: one.caption or one.outcome.value for one in view.results()}
        return ends, view.spent(job=view.last_job()).requests


def test_parts_of_a_folder_become_one_job(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 9)
    parts = [tmp_path / f"{n}.journal" for n in range(3)]
    for n, part in enumerate(parts):
        ask(part, folder, names=(3 * n, 3 * n + 3))
    before = {path: path.read_bytes() for path in tmp_path.glob("*.journal")}
    merged = merge_journals(parts, tmp_path / "all")
    assert merged == Merged({"done": 9}, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.journal",
        "1.journal",
        "2.journal",
        "all",
        "in",
    ]
    assert {path: path.read_bytes() for path in before} == before
    ends, requests = told(tmp_path / "all")
    assert (len(ends), requests) == (9, 9)
    assert list(ends) == [one.source for part in parts for one in recorded_results(part)]
    assert not ask(tmp_path / "all", folder).asked


def test_an_answer_wins_over_a_failure_whichever_comes_first(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 4)
    one, two = tmp_path / "one", tmp_path / "two"
    ask(one, folder, refuse("i0001.jpg", "i0003.jpg"))
    ask(two, folder, refuse("i0002.jpg", "i0003.jpg"))
    for order in ((one, two), (two, one)):
        target = tmp_path / f"all-{order[0].name}"
        assert merge_journals(order, target) == Merged({"done": 3, "failed": 1}, 4)
        ends, requests = told(target)
        assert {name for name, end in ends.items() if end == "failed"} == {"i0003.jpg"}
        assert requests == told(one)[1] + told(two)[1]


def test_of_two_answers_the_later_one_counts(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 2)
    one, two = tmp_path / "one", tmp_path / "two"
    ask(one, folder, lambda name, number: "earlier")
    ask(two, folder, lambda name, number: "later")
    merge_journals([two, one], tmp_path / "all")
    assert set(told(tmp_path / "all")[0].values()) == {"later"}


def test_a_copy_that_was_gone_on_with_counts_what_both_have_once(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 6)
    one, two = tmp_path / "one", tmp_path / "two"
    ask(one, folder, names=(0, 2))
    shutil.copyfile(one, two)
    ask(one, folder, names=(2, 4))
    ask(two, folder, names=(4, 6))
    assert merge_journals([one, two, one], tmp_path / "all").outcomes == {"done": 6}
    assert told(tmp_path / "all")[1] == 6
    with closing(JournalView.open(tmp_path / "all")) as view:
        row = view.database.one("SELECT count(*) AS runs, sum(ending = 'complete') AS ended FROM runs")
        assert row is not None
        assert tuple(row) == (3, 3)


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder, other = numbered(tmp_path / "in", 2), tmp_path / "other"
    one, two, third = (tmp_path / name for name in ("one", "two", "third"))
    ask(one, folder)
    shutil.copytree(folder, other)
    shutil.move(other / "i0000.jpg", other / "i0009.jpg")
    shutil.move(other / "i0001.jpg", other / "i0000.jpg")
    ask(two, other)
    list(Pipeline("Why?", answerer=Scripted(), model="m", journal=third).run(folder))
    (tmp_path / "notes").write_text("no journal, but long enough to be looked into")
    for parts, target, words in (
        ([one, two], "all", "i0000.jpg names different pictures"),
        ([one, third], "all", "different jobs: .*What.*Why"),
        ([one, tmp_path / "missing"], "all", "no such journal"),
        ([one, tmp_path / "notes"], "all", "notes"),
        ([one, one], "two", "there already"),
        ([one, one], "nowhere/all", "nothing can be written"),
    ):
        with pytest.raises(JournalError, match=words):
            merge_journals(parts, tmp_path / target)
    with closing(Journal(one)), pytest.raises(JournalError, match="a run is using it"):
        merge_journals([one, one], tmp_path / "all")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "notes", "one", "other", "third", "two"]


def test_the_command_merges_and_outputs_go_on(tmp_path: Path) -> None:
    """Sidecars that the parts wrote are known as ours, wherever the new journal lies."""
    samples = Path(__file__).parents[2] / "samples"
    (tmp_path / "in").mkdir()
    (tmp_path / "new").mkdir()
    for name in ("coffee.png", "chelsea.png"):
        shutil.copy(samples / name, tmp_path / "in" / name)
        words = ["caption", f"in/{name}", "-o", "txt:", "--journal", f"{name}.journal"]
        assert visionpipe(*words, folder=tmp_path).returncode == 0
    parts = ["coffee.png.journal", "chelsea.png.journal"]
    done = visionpipe("journal", "merge", *parts, "-o", "new/all.journal", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "new/all.journal: 2 items of 2 journals: 2 done\n"
    words = ["caption", "in", "-o", "txt:", "--journal", "new/all.journal", "--prefix", "photo of "]
    again = visionpipe(*words, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "requests: 0" in again.stderr
    assert "kept: " not in again.stderr.replace("kept from earlier", "")
    assert (tmp_path / "in" / "coffee.txt").read_text().startswith("photo of ")
    alone = visionpipe("journal", "merge", parts[0], "-o", "x.journal", folder=tmp_path)
    assert (alone.returncode, "Name two or more" in alone.stderr) == (2, True)
