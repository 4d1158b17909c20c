"""A run from folder to summary: every item comes to one end, and to the right one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.answering import Scripted, broken, folder_of, numbered, refused
from visionpipe.errors import (
    AccountError,
    EmptyAnswerError,
    JournalError,
    OutputError,
    ParameterError,
    RateLimitError,
    ReplyTimeoutError,
    VisionPipeError,
)
from visionpipe.pipeline.answerer import Answer, Judgement
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.events import (
    Event,
    ItemEnded,
    LevelChanged,
    RunEnded,
    RunStarted,
    RunStopping,
    RunSummary,
)
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.pipeline.run import Run
from visionpipe.prompts.template import Template
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import SkippedSource, Source
from visionpipe.values import Money, Note


def job(answerer: Scripted, **arguments: Any) -> Pipeline:
    return Pipeline("What is it?", **{"answerer": answerer, "model": "m", "concurrency": 4, **arguments})


def finished(run: Run) -> tuple[dict[str, ItemResult], RunSummary]:
    results = list(run)
    by_name = {result.source: result for result in results}
    assert len(by_name) == len(results)
    assert run.summary is not None
    return by_name, run.summary


def raising(**errors: VisionPipeError | list[VisionPipeError]) -> Scripted:
    """An answerer that raises for the named items: once each listed error, or always the single one."""

    def script(name: str, number: int) -> str | None:
        found = errors.get(name.removesuffix(".jpg"))
        if isinstance(found, list):
            if number <= len(found):
                raise found[number - 1]
        elif found is not None:
            raise found
        return None

    return Scripted(script)


def too_many() -> RateLimitError:
    return RateLimitError("too many at once", cure="Wait.", code="1302")


def test_every_item_is_answered_and_recorded(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 30)
    run = job(Scripted(), journal=tmp_path / "j").run(folder)
    results, summary = finished(run)
    assert len(results) == 30
    assert results["i0007.jpg"].caption == "a picture of i0007.jpg"
    assert results["i0007.jpg"].attempts == 1
    assert len(results["i0007.jpg"].sha256 or "") == 64
    assert (summary.seen, summary.done, summary.requests, summary.stopped) == (30, 30, 30, None)
    assert summary.ok
    assert summary.usage.total_tokens == 30 * 110
    assert {r.source: r for r in recorded_results(tmp_path / "j")} == results


def test_the_same_command_again_asks_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 10)
    first, _ = finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    again = Scripted()
    second, summary = finished(job(again, journal=tmp_path / "j").run(folder))
    assert second == first
    assert not again.asked
    assert not again.prepared
    assert (summary.done, summary.kept, summary.requests) == (10, 10, 0)
    run = job(again, journal=tmp_path / "j").run(folder, hand_out_kept=False)
    assert list(run) == []
    assert run.summary is not None
    assert run.summary.kept == 10


def test_a_changed_file_and_a_new_one_are_asked_about(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="one", b="two")
    finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    folder_of(folder, a="changed", c="new")
    again = Scripted()
    _, summary = finished(job(again, journal=tmp_path / "j").run(folder))
    assert again.asked == {"a.jpg": 1, "c.jpg": 1}
    assert (summary.done, summary.kept) == (3, 1)
    assert len(list(recorded_results(tmp_path / "j"))) == 3


def test_another_prompt_is_another_job(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="one")
    finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    again = Scripted()
    other = Pipeline("Who is it?", answerer=again, model="m", journal=tmp_path / "j")
    finished(other.run(folder))
    assert again.asked == {"a.jpg": 1}


def test_force_asks_everything_again_but_twins_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="same", b="same", c="other")
    finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    again = Scripted()
    _, summary = finished(job(again, journal=tmp_path / "j", force=True).run(folder))
    assert again.asked.total() == 2
    assert (summary.done, summary.kept, summary.duplicates) == (3, 0, 1)


def test_identical_files_are_asked_about_once_and_marked(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", **{f"n{i:03}": "same" for i in range(40)}, other="other")
    answerer = Scripted(cost=Money(Decimal("0.5"), "CNY"))
    results, summary = finished(job(answerer, journal=tmp_path / "j").run(folder))
    assert answerer.asked.total() == 2
    originals = {r.source for r in results.values() if r.duplicate_of is None and r.source != "other.jpg"}
    assert len(originals) == 1
    copies = [r for r in results.values() if r.duplicate_of is not None]
    assert {r.duplicate_of for r in copies} == originals
    assert all(r.caption == results[originals.copy().pop()].caption and r.cost is None for r in copies)
    assert summary.duplicates == 39
    assert summary.cost == (Money(Decimal("1.0"), "CNY"),)
    _, again = finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    assert again.kept == 41


def test_a_twins_lasting_failure_is_shared_and_a_passing_one_is_not(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", **{f"n{i}": "same" for i in range(4)})
    lasting = Scripted(lambda name, number: (_ for _ in ()).throw(refused()))
    results, summary = finished(job(lasting).run(folder))
    assert lasting.asked.total() == 1
    assert summary.failures == {"1210": 4}
    passing = Scripted(lambda name, number: (_ for _ in ()).throw(broken()))
    _, summary = finished(job(passing).run(folder))
    assert passing.asked.total() == 4
    assert summary.failures == {"1234": 4}
    assert sum(r.duplicate_of is not None for r in results.values()) == 3


def test_items_fail_for_themselves(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="broken", c="y")
    results, summary = finished(job(raising(c=refused())).run(folder))
    assert [results[f"{n}.jpg"].outcome for n in "abc"] == [Outcome.DONE, Outcome.FAILED, Outcome.FAILED]
    assert summary.failures == {"corrupt": 1, "1210": 1}
    assert summary.complete
    assert not summary.ok
    failure = results["c.jpg"].failure
    assert failure is not None
    assert (failure.error, failure.code, failure.cure) == ("RejectedRequestError", "1210", "Look.")


def test_retry_failed_takes_only_what_may_pass(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="y", c="z")
    finished(job(raising(a=refused(), b=broken()), journal=tmp_path / "j").run(folder))
    plain = Scripted()
    _, summary = finished(job(plain, journal=tmp_path / "j").run(folder))
    assert not plain.asked
    assert (summary.failed, summary.kept) == (2, 3)
    again = Scripted()
    results, summary = finished(job(again, journal=tmp_path / "j", retry_failed=True).run(folder))
    assert again.asked == {"b.jpg": 1}
    assert results["a.jpg"].outcome is Outcome.FAILED
    assert (summary.done, summary.failed) == (2, 1)


def test_a_429_never_fails_an_item(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 12)
    answerer = Scripted(lambda name, number: (_ for _ in ()).throw(too_many()) if number == 1 else None)
    results, summary = finished(job(answerer, concurrency=2).run(folder))
    assert summary.done == 12
    assert summary.refusals == 12
    assert {r.attempts for r in results.values()} == {2}
    assert summary.requests == 12


def test_a_permanent_error_stops_the_job_at_once_with_its_cure(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 200)

    def script(name: str, number: int) -> str | None:
        if name == "i0010.jpg":
            raise AccountError("no balance", cure="Top up.", code="1113")
        return None

    answerer = Scripted(script)
    run = job(answerer, journal=tmp_path / "j", concurrency=2).run(folder)
    results = []
    with pytest.raises(AccountError, match="Top up"):
        results += list(run)
    summary = run.summary
    assert summary is not None
    assert summary.stopped == "error"
    assert summary.error is not None
    assert summary.error.code == "1113"
    assert answerer.asked.total() < 60
    assert (summary.seen, summary.done + summary.not_started) == (200, 200)
    assert summary.failed == 0
    again, whole = finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    assert len(again) == 200
    assert whole.ok


def test_the_end_of_the_process_within_the_answerer_is_raised_and_loses_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 20)

    def script(name: str, number: int) -> str | None:
        if name == "i0005.jpg":
            raise SystemExit("enough")
        return None

    run = job(Scripted(script), journal=tmp_path / "j").run(folder)
    with pytest.raises(SystemExit):
        list(run)
    assert run.summary is not None
    assert run.summary.stopped == "error"
    _, summary = finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    assert summary.ok


def test_a_budget_of_100_answers_stops_at_100(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 130)
    answerer = Scripted(lambda name, number: (_ for _ in ()).throw(too_many()) if number % 5 == 4 else None)
    _, summary = finished(
        job(answerer, journal=tmp_path / "j", budget=Caps(requests=100), concurrency=8).run(folder)
    )
    assert (summary.done, summary.not_started, summary.stopped) == (100, 30, "budget")
    assert not summary.complete
    assert "budget" in summary.lines()[-1]
    _, summary = finished(job(Scripted(), journal=tmp_path / "j", budget=Caps(requests=100)).run(folder))
    assert (summary.requests, summary.stopped) == (0, "budget")
    assert summary.done == summary.kept
    _, summary = finished(job(Scripted(), journal=tmp_path / "j", budget=Caps(requests=140)).run(folder))
    assert (summary.done, summary.requests) == (130, 30)
    assert summary.ok


def test_money_without_a_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    answerer = Scripted()
    caps = Caps(money=Money(Decimal(1), "CNY"))
    with pytest.raises(VisionPipeError, match="no price is known"):
        list(job(answerer, budget=caps).run(numbered(tmp_path / "in", 5)))
    assert not answerer.asked


def test_stopping_drains_and_the_rest_is_counted(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 100)
    answerer = Scripted()
    run = job(answerer, journal=tmp_path / "j", concurrency=2).run(folder)
    got = []
    for result in run:
        got.append(result)
        if len(got) == 5:
            run.stop()
    summary = run.summary
    assert summary is not None
    assert summary.stopped == "stopped"
    assert len(got) == summary.done == answerer.asked.total()
    assert (summary.seen, summary.not_started) == (100, 100 - summary.done)


def test_leaving_the_loop_early_loses_nothing_that_was_asked(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 100)
    answerer = Scripted()
    for _ in job(answerer, journal=tmp_path / "j").run(folder):
        break
    assert len(list(recorded_results(tmp_path / "j"))) == answerer.asked.total()
    again = Scripted()
    finished(job(again, journal=tmp_path / "j").run(folder))
    assert not set(again.asked) & set(answerer.asked)


def test_an_abort_waits_for_nothing(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 10)
    held = threading.Event()
    begun = threading.Event()
    asked: list[str] = []

    def script(name: str, number: int) -> str | None:
        asked.append(name)
        if len(asked) == 4:
            begun.set()
            held.wait(30)
        return None

    run = job(Scripted(script), journal=tmp_path / "j", concurrency=1).run(folder)

    def abort_when_begun() -> None:
        begun.wait(30)
        run.abort()

    aborter = threading.Thread(target=abort_when_begun)
    aborter.start()
    results = list(run)
    aborter.join(10)
    assert len(asked) == 4
    assert {result.source for result in results} <= set(asked[:3])
    assert run.summary is not None
    assert run.summary.stopped == "aborted"
    held.set()
    _, summary = finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    assert summary.ok
    assert summary.maybe_billed_twice == 1


def test_a_stop_before_the_start_starts_nothing(tmp_path: Path) -> None:
    answerer = Scripted()
    run = job(answerer).run(numbered(tmp_path / "in", 5))
    run.stop()
    assert list(run) == []
    assert run.summary is not None
    assert run.summary.not_started == 5
    assert not answerer.asked


def test_the_deadline_of_the_job(tmp_path: Path) -> None:
    now = [0.0]

    def script(name: str, number: int) -> str | None:
        now[0] += 1.0
        return None

    answerer = Scripted(script)
    run = job(answerer, concurrency=1, job_seconds=10.5, clock=lambda: now[0]).run(
        numbered(tmp_path / "in", 50)
    )
    results = list(run)
    assert len(results) == 11
    assert run.summary is not None
    assert run.summary.stopped == "deadline"
    assert run.summary.not_started == 39


def test_the_deadline_of_an_item_leaves_out_the_waiting(tmp_path: Path) -> None:
    now = [0.0]
    failures = [too_many(), EmptyAnswerError("empty", cure="Again.")]

    def script(name: str, number: int) -> str | None:
        now[0] += 4.0
        if failures:
            raise failures.pop(0)
        raise ReplyTimeoutError("too late", cure="Later.")

    answerer = Scripted(script)

    def keep(answer: Answer, reasked: bool) -> Judgement:
        return Judgement()

    run = job(answerer, concurrency=1, item_seconds=10.0, clock=lambda: now[0], judge=keep).run(
        folder_of(tmp_path / "in", a="x")
    )
    results, _ = finished(run)
    assert answerer.seconds == [10.0, 10.0, 6.0]
    failure = results["a.jpg"].failure
    assert failure is not None
    assert failure.error == "ReplyTimeoutError"


def test_a_poor_answer_is_asked_for_once_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="y")
    answerer = Scripted(lambda name, number: "poor" if number == 1 or name == "b.jpg" else "good")

    def judge(answer: Answer, reasked: bool) -> Judgement:
        if answer.reply.text != "poor":
            return Judgement()
        return Judgement((Note("poor", "it is poor"),), "fail" if reasked else "reask")

    results, summary = finished(job(answerer, judge=judge).run(folder))
    assert answerer.asked == {"a.jpg": 2, "b.jpg": 2}
    assert results["a.jpg"].caption == "good"
    usage = results["a.jpg"].usage
    assert usage is not None
    assert usage.total_tokens == 220
    failure = results["b.jpg"].failure
    assert failure is not None
    assert failure.code == "quality"
    assert results["b.jpg"].notes == (Note("poor", "it is poor"),)
    assert summary.requests == 4


def test_skips_are_counted_by_reason(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="y")
    listing: list[Source | SkippedSource] = [
        Source("a.jpg", str(folder / "a.jpg")),
        Source("b.jpg", str(folder / "b.jpg")),
        SkippedSource("notes.txt", "not an image", "it begins with text"),
        Source("a.jpg", str(folder / "a.jpg")),
    ]

    def skip(source: Source) -> str | None:
        return "sidecar present" if source.name == "b.jpg" else None

    run = job(Scripted(), skip=skip, preparers=1, concurrency=1).run(listing)
    results = list(run)
    assert Counter(r.outcome for r in results) == {Outcome.SKIPPED: 3, Outcome.DONE: 1}
    assert run.summary is not None
    assert run.summary.skips == {"sidecar present": 1, "not an image": 1, "listed twice": 1}
    assert run.summary.seen == 4


def test_an_answered_item_is_not_skipped_for_its_own_sidecar(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x")
    finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    results, summary = finished(
        job(Scripted(), journal=tmp_path / "j", skip=lambda source: "sidecar present").run(folder)
    )
    assert results["a.jpg"].outcome is Outcome.DONE
    assert summary.kept == 1


def test_a_missing_file_and_a_missing_field_fail_their_items(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x", b="y")
    listing = [
        Source("a.jpg", str(folder / "a.jpg"), {"product": "a mug"}),
        Source("b.jpg", str(folder / "b.jpg")),
        Source("gone.jpg", str(folder / "gone.jpg"), {"product": "a hat"}),
    ]
    prompt = Template("Describe the {product}.")
    asked: list[str] = []

    class Listening(Scripted):
        def answer(self, prepared: Any, seconds: float | None) -> Answer:
            asked.append(prepared.request[1])
            return super().answer(prepared, seconds)

    pipeline = Pipeline(prompt, answerer=Listening(), model="m", journal=tmp_path / "j")
    results, summary = finished(pipeline.run(listing))
    assert asked == ["Describe the a mug."]
    assert summary.failures == {"missing_field": 1, "missing": 1}
    assert results["gone.jpg"].sha256 is None
    listing[1] = Source("b.jpg", str(folder / "b.jpg"), {"product": "a cup"})
    folder_of(folder, gone="here now")
    _, summary = finished(pipeline.run(listing))
    assert (summary.done, summary.failed, summary.kept) == (3, 0, 1)
    assert len(list(recorded_results(tmp_path / "j"))) == 3


def test_a_broken_listing_stops_the_job(tmp_path: Path) -> None:
    with pytest.raises(VisionPipeError, match="nowhere"):
        list(job(Scripted()).run(tmp_path / "nowhere"))


def test_sidecars_of_one_name_are_found_before_anything_runs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a="x")
    (folder / "a.png").write_bytes(b"y")
    answerer = Scripted()
    with pytest.raises(OutputError, match=r"a\.jpg and a\.png"):
        list(job(answerer, sidecar=lambda name: str(Path(name).with_suffix(".txt"))).run(folder))
    assert not answerer.prepared


def test_the_second_run_on_one_journal_is_refused(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 5)
    first = iter(job(Scripted(), journal=tmp_path / "j").run(folder))
    next(first)
    with pytest.raises(JournalError, match="another run"):
        list(job(Scripted(), journal=tmp_path / "j").run(folder))
    assert len(list(first)) == 4


def test_events_come_in_order_in_the_callers_thread(tmp_path: Path) -> None:
    events: list[Event] = []
    threads: set[int] = set()

    def hear(event: Event) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    together = threading.Barrier(4)

    def fill_the_level(name: str, number: int) -> str | None:
        if number < 40:
            together.wait(30)
            # A service takes most of a request's time, or more of them at once would bring nothing.
            time.sleep(0.02)
        return None

    answerer = Scripted(fill_the_level)
    run = job(answerer, on_event=hear, concurrency=16).run(numbered(tmp_path / "in", 60))
    list(run)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].summary == run.summary
    ended = [event for event in events if isinstance(event, ItemEnded)]
    assert [event.progress.ended for event in ended] == list(range(1, 61))
    assert ended[-1].progress.done == 60
    assert any(isinstance(event, LevelChanged) and event.level > 4 for event in events)
    assert threads == {threading.get_ident()}


def test_a_stop_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    run = job(Scripted(), budget=Caps(requests=1), on_event=events.append).run(numbered(tmp_path / "in", 3))
    list(run)
    assert [event.reason for event in events if isinstance(event, RunStopping)] == ["budget"]


@pytest.mark.parametrize("kind", [RunStarted, ItemEnded])
def test_a_callers_mistake_in_a_callback_comes_back_to_the_caller(
    tmp_path: Path, kind: type[RunStarted | ItemEnded]
) -> None:
    def hear(event: Event) -> None:
        if isinstance(event, kind):
            raise KeyError("mistake")

    run = job(Scripted(), on_event=hear, journal=tmp_path / "j").run(numbered(tmp_path / "in", 3))
    with pytest.raises(KeyError):
        list(run)
    assert run.summary is not None
    assert run.summary.stopped in (None, "stopped", "aborted")


def test_results_come_on_somebody_elses_event_loop(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 40)
    threads: set[int] = set()
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    async def consume() -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(tick())
        results = [r async for r in job(Scripted(), on_event=hear).arun(folder)]
        beside.cancel()
        return len(results), ticks

    count, ticks = asyncio.run(consume())
    assert count == 40
    assert ticks > 1
    assert threads == {threading.get_ident()}
    assert isinstance(events[-1], RunEnded)


def test_leaving_an_async_loop_drains_too(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 40)
    answerer = Scripted()

    async def consume() -> None:
        results = job(answerer, journal=tmp_path / "j").arun(folder)
        async for _ in results:
            break
        await results.aclose()

    asyncio.run(consume())
    assert len(list(recorded_results(tmp_path / "j"))) == answerer.asked.total()


def test_errors_reach_an_async_caller(tmp_path: Path) -> None:
    answerer = raising(a=AccountError("no balance", cure="Top up.", code="1113"))

    async def consume() -> None:
        async for _ in job(answerer).arun(folder_of(tmp_path / "in", a="x")):
            pass

    with pytest.raises(AccountError):
        asyncio.run(consume())


def test_a_run_is_iterated_once(tmp_path: Path) -> None:
    run = job(Scripted()).run(numbered(tmp_path / "in", 1))
    list(run)
    with pytest.raises(RuntimeError, match="once"):
        list(run)


def test_no_more_at_once_than_allowed(tmp_path: Path) -> None:
    answerer = Scripted()
    finished(job(answerer, concurrency=3).run(numbered(tmp_path / "in", 60)))
    assert 1 <= answerer.most_at_once <= 3


@pytest.mark.parametrize(
    "arguments", [{"concurrency": 0}, {"rpm": -1}, {"item_seconds": 0}, {"preparers": -1}, {"model": None}]
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        job(Scripted(), **arguments)


def test_paths_may_come_from_anything_that_can_be_gone_through(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    paths = sorted(folder.iterdir())
    for given in ((path for path in paths), iter(map(str, paths)), set(paths), tuple(paths), [folder]):
        found, summary = finished(job(Scripted()).run(given))
        assert (len(found), summary.done) == (3, 3)
    for nothing in (7, b"a.jpg", None):
        with pytest.raises(ParameterError, match="names no images"):
            list(job(Scripted()).run(nothing))  # type: ignore[arg-type]  # what no type checker lets through
