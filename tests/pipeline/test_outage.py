"""A service out of reach ends no item: whole runs, most of them on a clock of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.answering import Scripted, broken, folder_of, numbered, refused
from visionpipe.errors import (
    ConnectionFailedError,
    ParameterError,
    UnreadableAnswerError,
    VisionPipeError,
)
from visionpipe.pipeline.answerer import PreparedItem
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.events import Event, LevelChanged, RunSummary, ServiceBack, ServiceLost
from visionpipe.pipeline.limiter import Limiter, Permit
from visionpipe.pipeline.outage import HOPELESS_AFTER, OUT_OF_REACH_AFTER
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.pipeline.run import Run
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import Source
from visionpipe.store.database import Database


def dead() -> ConnectionFailedError:
    return ConnectionFailedError("nothing listens there", cure="Check the line.")


def not_for_us() -> UnreadableAnswerError:
    return UnreadableAnswerError("the answer is a page", cure="Check the base URL.", code="not_json")


class Clock:
    """Seconds that pass only by what a test does."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class OneLane(Limiter):
    """One request at a time; its pauses pass at once on the test's clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(1, start=1, clock=clock)
        self._now = clock

    def enter(self, stopped: Callable[[], bool] = lambda: False) -> Permit | None:
        while not stopped():
            found = self.try_enter()
            if isinstance(found, Permit):
                return found
            assert found is not None
            self._now.now += found
        return None


class Line:
    """A service that fails while its clock is in one of the spans; every request takes a second.

    Attributes:
        sent: when each request came, and for which item.
    """

    def __init__(self, clock: Clock, *spans: tuple[float, float], seconds: float = 1.0) -> None:
        self._clock = clock
        self._spans = spans
        self._seconds = seconds
        self.sent: list[tuple[float, str]] = []

    def __call__(self, name: str, number: int) -> str | None:
        now = self._clock.now
        self._clock.now += self._seconds
        self.sent.append((now, name))
        if any(begin <= now < end for begin, end in self._spans):
            raise dead()
        return None


def job(answerer: Scripted, **arguments: Any) -> Pipeline:
    return Pipeline("What is it?", **{"answerer": answerer, "model": "m", "concurrency": 1, **arguments})


def timed(answerer: Scripted, clock: Clock, **arguments: Any) -> Pipeline:
    return job(answerer, **{"clock": clock, "limiter": OneLane(clock), "preparers": 1, **arguments})


def finished(run: Run) -> tuple[list[ItemResult], RunSummary]:
    """The results, each item once, and a summary that accounts for all of them."""
    results = list(run)
    assert len({result.source for result in results}) == len(results)
    assert run.summary is not None
    return results, run.summary


def ended_by(run: Run, kind: type[VisionPipeError]) -> tuple[VisionPipeError, RunSummary]:
    with pytest.raises(kind) as caught:
        list(run)
    summary = run.summary
    assert summary is not None
    assert summary.stopped == "error"
    assert summary.seen == summary.done + summary.failed + summary.not_started
    assert caught.value.scope == "job"
    return caught.value, summary


def always(make: Callable[[], VisionPipeError], *, but: int = 0) -> Scripted:
    """Every item meets that error; all but the first so many of the listing."""

    def script(name: str, number: int) -> str | None:
        if name >= f"i{but:04}":
            raise make()
        return None

    return Scripted(script)


@pytest.mark.parametrize("make", [dead, broken])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_where_no_answer_ever_came_the_job_stops_at_once(
    tmp_path: Path, make: Callable[[], VisionPipeError], concurrency: int
) -> None:
    folder, answerer = numbered(tmp_path / "in", 40), always(make)
    run = job(answerer, journal=tmp_path / "j", concurrency=concurrency).run(folder)
    error, summary = ended_by(run, type(make()))
    assert error.reason == make().reason
    assert (summary.failed, summary.not_started) == (OUT_OF_REACH_AFTER - 1, 41 - OUT_OF_REACH_AFTER)
    assert answerer.asked.total() <= OUT_OF_REACH_AFTER + concurrency
    assert summary.error is not None
    assert "\n".join(summary.lines()).count(error.cure) == 1
    again, whole = finished(job(Scripted(), journal=tmp_path / "j", retry_failed=True).run(folder))
    assert len(again) == whole.done == 40


def test_an_outage_is_waited_out(tmp_path: Path) -> None:
    clock, events = Clock(), list[Event]()
    line, gathered = Line(clock, (20, 620)), threading.Event()

    class Gathering(Scripted):
        def prepare(self, source: Source, prompt: str) -> PreparedItem:
            prepared = super().prepare(source, prompt)
            if self.prepared.total() >= 28:
                gathered.set()
            return prepared

    def script(name: str, number: int) -> str | None:
        if clock.now >= 24:
            # Time stands still until there are other items to take turns with.
            assert gathered.wait(20)
        return line(name, number)

    run = timed(Gathering(script), clock, journal=tmp_path / "j", on_event=events.append).run(
        numbered(tmp_path / "in", 60)
    )
    results, summary = finished(run)
    assert (summary.done, summary.failed, summary.not_started) == (56, 4, 0)
    assert len(results) == 60
    assert summary.refusals == 0
    probes = [(at, name) for at, name in line.sent if 24 <= at < 620]
    assert len(probes) < 40
    assert max(later - sooner for (sooner, _), (later, _) in pairwise(probes)) <= 31.0
    assert all(one != other for (_, one), (_, other) in pairwise(probes))
    back = min(at for at, _ in line.sent if at >= 620)
    assert back <= 620 + 31
    # From then on nothing waits: a second for each.
    assert clock.now - back == sum(at >= back for at, _ in line.sent)
    told = [event for event in events if isinstance(event, ServiceLost | ServiceBack)]
    assert told == [ServiceLost("nothing listens there"), ServiceBack(back + 1 - 25)]
    assert not [event for event in events if isinstance(event, LevelChanged) and event.refused]
    # Every probe is on record, as not billed; no item lost its attempts.
    assert sum(result.attempts for result in results) == len(line.sent)
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        rows = list(database.all("SELECT failed_with, billable, refused FROM attempts"))
    lost = [row for row in rows if row["failed_with"] == "connection"]
    assert len(rows) == len(line.sent)
    assert len(lost) == len(probes) + 4
    assert {(row["billable"], row["refused"]) for row in lost} == {(0, 0)}


def test_an_outage_longer_than_allowed_stops_the_job(tmp_path: Path) -> None:
    clock, folder = Clock(), numbered(tmp_path / "in", 60)
    line = Line(clock, (20, float("inf")))
    run = timed(Scripted(line), clock, journal=tmp_path / "j", outage_seconds=300).run(folder)
    error, summary = ended_by(run, ConnectionFailedError)
    assert error.cure == "Check the line."
    assert 25 + 300 <= clock.now <= 25 + 300 + 32
    assert (summary.done, summary.failed, summary.not_started) == (20, 4, 36)
    assert len(list(recorded_results(tmp_path / "j"))) == 24
    _, whole = finished(job(Scripted(), journal=tmp_path / "j", retry_failed=True).run(folder))
    assert (whole.done, whole.kept) == (60, 20)


def test_an_hour_is_waited_unless_told_otherwise(tmp_path: Path) -> None:
    for hours, arguments in ((0.9, {}), (5.0, {"outage_seconds": None})):
        clock = Clock()
        line = Line(clock, (20, 20 + hours * 3600))
        _, summary = finished(timed(Scripted(line), clock, **arguments).run(numbered(tmp_path / "in", 30)))
        assert (summary.done, summary.failed) == (26, 4)
    clock = Clock()
    line = Line(clock, (20, 20 + 1.1 * 3600))
    ended_by(timed(Scripted(line), clock).run(numbered(tmp_path / "in", 30)), ConnectionFailedError)


@pytest.mark.parametrize("seconds", [0, -1])
def test_the_longest_outage_is_more_than_nothing(seconds: float) -> None:
    with pytest.raises(ParameterError, match="outage_seconds"):
        job(Scripted(), outage_seconds=seconds)


def test_an_outage_under_many_threads_loses_nothing(tmp_path: Path) -> None:
    lock, all_seen = threading.Lock(), threading.Event()
    begun, failures = 0, 0

    def script(name: str, number: int) -> str | None:
        nonlocal begun, failures
        with lock:
            begun += 1
            answers = begun <= 20
        if not answers:
            # An answer from before would end the row that is to be shown.
            assert all_seen.wait(20)
            with lock:
                failures += 1
                if failures <= 8:
                    raise broken()
        return None

    run = job(Scripted(script), concurrency=4).run(numbered(tmp_path / "in", 60))
    results = []
    for result in run:
        results.append(result)
        if len(results) == 20:
            all_seen.set()
    summary = run.summary
    assert summary is not None
    assert len({result.source for result in results}) == 60
    assert summary.done + summary.failed == 60
    # What was under way when the first answer came is no item's failure either.
    assert summary.failed == 4


def test_one_bad_item_among_good_ones_fails_alone(tmp_path: Path) -> None:
    def script(name: str, number: int) -> str | None:
        if name in ("i0000.jpg", "i0013.jpg"):
            raise broken()
        return None

    events: list[Event] = []
    answerer = Scripted(script)
    run = job(answerer, concurrency=4, on_event=events.append).run(numbered(tmp_path / "in", 30))
    results, summary = finished(run)
    assert (summary.done, summary.failed, summary.failures) == (28, 2, {"1234": 2})
    assert {r.source for r in results if r.outcome is Outcome.FAILED} == {"i0000.jpg", "i0013.jpg"}
    assert answerer.asked.total() == 30
    assert not [event for event in events if isinstance(event, ServiceLost)]


@pytest.mark.parametrize("first", [0, 6])
def test_the_last_items_fail_as_ever_while_they_are_few(tmp_path: Path, first: int) -> None:
    folder = numbered(tmp_path / "in", first + OUT_OF_REACH_AFTER - 1)
    _, summary = finished(job(always(dead, but=first)).run(folder))
    assert (summary.done, summary.failed) == (first, OUT_OF_REACH_AFTER - 1)
    assert summary.complete


def test_more_last_items_wait_for_the_service(tmp_path: Path) -> None:
    clock, folder = Clock(), numbered(tmp_path / "in", 12)
    line = Line(clock, (6, float("inf")))
    _, summary = ended_by(timed(Scripted(line), clock, outage_seconds=600).run(folder), ConnectionFailedError)
    assert (summary.done, summary.failed, summary.not_started) == (6, 4, 2)


@pytest.mark.parametrize("make", [refused, not_for_us])
def test_a_job_whose_every_item_is_refused_stops(tmp_path: Path, make: Callable[[], VisionPipeError]) -> None:
    folder, answerer = numbered(tmp_path / "in", 60), always(make)
    _, summary = ended_by(job(answerer, quality=None).run(folder), type(make()))
    assert answerer.asked.total() == HOPELESS_AFTER
    assert (summary.failed, summary.not_started) == (HOPELESS_AFTER - 1, 61 - HOPELESS_AFTER)


def test_after_one_answer_refusals_are_the_items_own(tmp_path: Path) -> None:
    _, summary = finished(job(always(refused, but=1)).run(numbered(tmp_path / "in", 60)))
    assert (summary.done, summary.failed, summary.stopped) == (1, 59, None)


def test_what_an_earlier_run_has_answered_says_nothing_of_this_one(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", 3)
    finished(job(Scripted(), journal=tmp_path / "j").run(folder))
    numbered(folder, 30)
    _, summary = ended_by(job(always(dead), journal=tmp_path / "j").run(folder), ConnectionFailedError)
    assert (summary.kept, summary.failed, summary.not_started) == (3, 4, 23)


def test_waiting_spends_neither_budget_nor_the_items_time(tmp_path: Path) -> None:
    clock = Clock()
    answerer = Scripted(Line(clock, (12, 600), seconds=4.0))
    pipeline = timed(answerer, clock, item_seconds=10.0, budget=Caps(requests=8, tokens=8 * 110))
    _, summary = finished(pipeline.run(numbered(tmp_path / "in", 12)))
    assert (summary.done, summary.failed, summary.stopped) == (8, 4, None)
    assert max(answerer.asked.values()) > 3
    assert set(answerer.seconds) == {10.0}


def test_the_jobs_time_runs_on_while_it_waits(tmp_path: Path) -> None:
    clock = Clock()
    line = Line(clock, (20, float("inf")))
    _, summary = finished(timed(Scripted(line), clock, job_seconds=200).run(numbered(tmp_path / "in", 60)))
    assert (summary.done, summary.failed, summary.not_started) == (20, 4, 36)
    assert summary.stopped == "deadline"
    assert clock.now <= 200 + 31


def test_a_stop_while_it_waits_ends_the_run_at_once(tmp_path: Path) -> None:
    waiting = threading.Event()

    class Noticing(Limiter):
        def leave_refused(self, permit: Permit, retry_after: float | None = None) -> bool:
            # The pause is as long as the clock stands still.
            changed = super().leave_refused(permit, retry_after)
            if self.state.pause_s:
                waiting.set()
            return changed

    folder = numbered(tmp_path / "in", 30)
    pipeline = job(always(dead, but=3), journal=tmp_path / "j", limiter=Noticing(1, clock=Clock()))
    run = pipeline.run(folder)

    def stop() -> None:
        assert waiting.wait(20)
        run.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    _, summary = finished(run)
    stopper.join(20)
    assert (summary.done, summary.failed, summary.not_started) == (3, 4, 23)
    assert summary.stopped == "stopped"
    assert summary.maybe_billed_twice == 0
    _, whole = finished(job(Scripted(), journal=tmp_path / "j", retry_failed=True).run(folder))
    assert (whole.done, whole.maybe_billed_twice) == (30, 0)


def test_a_bad_file_in_the_middle_of_an_outage_ends_as_ever(tmp_path: Path) -> None:
    clock, folder = Clock(), numbered(tmp_path / "in", 30)
    folder_of(folder, i0025="broken")
    _, summary = finished(timed(Scripted(Line(clock, (20, 300))), clock).run(folder))
    assert (summary.done, summary.failures) == (25, {"connection": 4, "corrupt": 1})
