"""What nobody foresaw ends the item that met it, and after five in a row the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import batch_jobs
from tests.pipeline.answering import Scripted, numbered
from visionpipe.errors import AccountError, UnexpectedError
from visionpipe.pipeline.answerer import Answer, Judgement, PreparedItem
from visionpipe.pipeline.events import RunSummary
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.unexpected import MOST_IN_A_ROW
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import Source
from visionpipe.testing.sandbox import SandboxHandle

BAD = "i0005.jpg"


def mistaken(name: str, bad: str = BAD) -> None:
    if name == bad:
        raise ZeroDivisionError("a mistake")


class Unprepared(Scripted):
    def prepare(self, source: Source, prompt: str) -> PreparedItem:
        mistaken(source.name)
        return super().prepare(source, prompt)


def asked(name: str, number: int) -> None:
    mistaken(name)


def judge(answer: Answer, reasked: bool) -> Judgement:
    mistaken(answer.reply.text.removeprefix("a picture of "))
    return Judgement()


def skip(source: Source) -> None:
    mistaken(source.name)


WAYS: dict[str, Callable[[Path], Pipeline]] = {
    "answer": lambda j: Pipeline("What?", answerer=Scripted(asked), model="m", journal=j),
    "prepare": lambda j: Pipeline("What?", answerer=Unprepared(), model="m", journal=j),
    "judge": lambda j: Pipeline("What?", answerer=Scripted(), model="m", journal=j, judge=judge),
    "skip": lambda j: Pipeline("What?", answerer=Scripted(), model="m", journal=j, skip=skip),
}


def summary_of(run: Any) -> RunSummary:
    assert run.summary is not None
    summary: RunSummary = run.summary
    return summary


@pytest.mark.parametrize("way", WAYS)
def test_a_mistake_is_the_failure_of_its_item_alone(tmp_path: Path, way: str) -> None:
    folder = numbered(tmp_path / "in", 10)
    run = WAYS[way](tmp_path / "j").run(folder)
    results = {result.source: result for result in run}
    assert {name for name, result in results.items() if result.outcome is Outcome.FAILED} == {BAD}
    failure = results[BAD].failure
    assert failure is not None
    assert (failure.error, failure.code, failure.retryable) == ("UnexpectedError", "unexpected", True)
    assert "unexpected ZeroDivisionError: a mistake (" in failure.reason
    assert "test_unexpected.py:" in failure.reason or "visionpipe/pipeline/" in failure.reason
    assert "Report this line" in failure.cure
    assert summary_of(run).complete
    again = Pipeline("What?", answerer=Scripted(), model="m", journal=tmp_path / "j", retry_failed=True)
    list(rerun := again.run(folder))
    assert (summary_of(rerun).ok, summary_of(rerun).kept) == (True, 9)


def test_an_answer_that_a_judge_fails_over_is_accounted_for(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 10)
    run = WAYS["judge"](tmp_path / "j").run(folder)
    bad = {result.source: result for result in run}[BAD]
    assert bad.usage is not None
    assert summary_of(run).requests == 10


def test_a_judge_can_stop_the_job(tmp_path: Path) -> None:
    def stops(answer: Answer, reasked: bool) -> Judgement:
        raise AccountError("no more", cure="Pay.")

    folder = numbered(tmp_path / "in", 10)
    with pytest.raises(AccountError):
        list(Pipeline("What?", answerer=Scripted(), model="m", judge=stops).run(folder))


def always(name: str, number: int) -> str | None:
    raise ZeroDivisionError("a mistake")


def test_several_in_a_row_stop_the_run_and_a_rerun_goes_on(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 60)
    answerer = Scripted(always)
    run = Pipeline("What?", answerer=answerer, model="m", journal=tmp_path / "j", concurrency=2).run(folder)
    with pytest.raises(UnexpectedError, match="5 items in a row") as caught:
        list(run)
    assert caught.value.scope == "job"
    summary = summary_of(run)
    assert summary.stopped == "error"
    assert MOST_IN_A_ROW <= summary.failed <= MOST_IN_A_ROW + 1
    assert summary.seen == summary.failed + summary.not_started
    assert "Report this line" in summary.lines()[-1]
    again = Pipeline("What?", answerer=Scripted(), model="m", journal=tmp_path / "j", retry_failed=True)
    list(rerun := again.run(folder))
    assert summary_of(rerun).ok


def test_many_with_good_ones_between_stop_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 40)

    def every_fourth(name: str, number: int) -> str | None:
        mistaken(name, name if int(name[1:5]) % 4 else "")
        return None

    answerer = Scripted(every_fourth)
    run = Pipeline("What?", answerer=answerer, model="m", concurrency=1, preparers=1).run(folder)
    results: list[ItemResult] = list(run)
    assert sum(result.outcome is Outcome.FAILED for result in results) == 30
    assert summary_of(run).complete


def test_in_batch_files_a_mistake_is_its_items_too(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    first = min(path.name for path in photos.iterdir())
    judged: list[int] = []

    def judge_once(answer: Answer, reasked: bool) -> Judgement:
        judged.append(1)
        mistaken(str(len(judged)), "1")
        return Judgement()

    with batch_jobs.client_for(service) as client:
        run = batch_jobs.job(
            client, tmp_path, skip=lambda source: mistaken(source.name, first), judge=judge_once
        ).run(photos)
        results = list(run)
    failed = [result.failure for result in results if result.failure is not None]
    assert [failure.error for failure in failed] == ["UnexpectedError"] * 2
    assert sum(result.outcome is Outcome.DONE for result in results) == len(results) - 2


def test_in_batch_files_several_in_a_row_stop_the_run(service: SandboxHandle, tmp_path: Path) -> None:
    album = batch_jobs.album(tmp_path / "many", 12)
    with batch_jobs.client_for(service) as client:
        run = batch_jobs.job(client, tmp_path, skip=lambda source: mistaken("", "")).run(album)
        with pytest.raises(UnexpectedError, match="5 items in a row"):
            list(run)
    assert (summary_of(run).failed, summary_of(run).stopped) == (MOST_IN_A_ROW, "error")
