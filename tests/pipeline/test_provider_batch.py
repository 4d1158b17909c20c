"""A job through batch files against the sandbox: every item once, whatever breaks on the way."""

from __future__ import annotations

import gc
from decimal import Decimal
from pathlib import Path

import pytest

from tests.pipeline.batch_jobs import MODEL, client_for, ends, job, lines_at
from visionpipe.client import Client
from visionpipe.errors import AccountError, ServerError, UnsupportedError
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.events import BatchEvent, Event, ItemEnded, RunEnded, RunStarted
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.reading import recorded_results
from visionpipe.pipeline.run import Run
from visionpipe.prompts import presets
from visionpipe.results import Outcome
from visionpipe.sources.find import Found, SkippedSource, Source
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.values import Money
from visionpipe.wire.batches import BatchLimits


def test_a_folder_is_answered_at_half_the_price(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    told: list[BatchEvent] = []
    with client_for(service) as client:
        run = job(client, tmp_path, options={"max_tokens": 100}, on_step=told.append).run(photos)
        results = list(run)
        whole = client.ask("What is it?", photos / "0000.png", max_tokens=100)
    assert ends(results) == {f"{n:04}.png": "done" for n in range(6)}
    first = results[0]
    assert first.caption == whole.text
    assert first.usage == whole.usage
    assert first.cost is not None and whole.cost is not None
    assert first.cost.amount == whole.cost.amount * Decimal("0.5")
    assert (first.attempts, first.local, first.model) == (1, False, whole.model)
    assert run.summary is not None
    assert (run.summary.seen, run.summary.done, run.summary.requests) == (6, 6, 6)
    assert run.summary.ok
    assert [event.state for event in told][:3] == ["written", "uploaded", "created"]
    assert told[-1].state == "collected"
    assert not Path(f"{tmp_path / 'job.journal'}.batch").exists(), "nothing is left of the files"
    assert {r.source for r in recorded_results(tmp_path / "job.journal")} == set(ends(results))


def test_what_is_recorded_is_not_asked_again(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        first = list(job(client, tmp_path).run(photos))
        (photos / "more.png").write_bytes(image_bytes("png", 60, 60))
        run = job(client, tmp_path).run(photos)
        second = list(run)
    assert ends(second) == {**ends(first), "more.png": "done"}
    assert run.summary is not None
    assert run.summary.kept == 6
    assert sorted(lines_at(service)) == [1, 6]


def test_the_plain_pipeline_goes_on_with_a_batch(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    with client_for(service) as client:
        list(job(client, tmp_path).run(photos))
        run = Pipeline("What is it?", client=client, journal=tmp_path / "job.journal").run(photos)
        assert ends(list(run)) == {f"{n:04}.png": "done" for n in range(6)}
    assert run.summary is not None
    assert (run.summary.kept, run.summary.requests) == (6, 0)


def test_twins_share_one_line(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    (photos / "copy.png").write_bytes((photos / "0003.png").read_bytes())
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path).run(photos)}
    assert results["copy.png"].duplicate_of == "0003.png"
    assert results["copy.png"].caption == results["0003.png"].caption
    assert results["copy.png"].usage is None
    assert results["broken.jpg"].outcome is Outcome.FAILED
    assert lines_at(service) == [6]


def test_files_are_split(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        results = list(job(client, tmp_path, limits=BatchLimits(lines=4)).run(photos))
    assert len(ends(results)) == 6
    assert sorted(lines_at(service)) == [2, 4]


def test_a_models_queue_is_kept(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text(
        f'[[model]]\nid = "{MODEL}"\nbatch_queue = 4\n[model.sources]\nbatch_queue = "a test"\n'
    )
    under_way: set[str] = set()
    most = 0

    def told(event: BatchEvent) -> None:
        nonlocal most
        if event.state == "created":
            under_way.add(event.file)
        elif event.state == "completed":
            under_way.discard(event.file)
        most = max(most, len(under_way))

    with client_for(service, catalog=overlay) as client:
        results = list(job(client, tmp_path, limits=BatchLimits(lines=2), on_step=told).run(photos))
    assert len(ends(results)) == 6
    assert most == 2
    assert sorted(lines_at(service)) == [2, 2, 2]


def test_handed_in_now_and_collected_later(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        run = job(client, tmp_path, wait=False).run(photos)
        assert list(run) == []
        assert run.summary is not None
        assert (run.summary.not_started, run.summary.stopped) == (6, "waiting")
        (photos / "0000.png").unlink()
        later = job(client, tmp_path).run(photos)
        assert ends(list(later)) == {f"{n:04}.png": "done" for n in range(6)}
        assert later.summary is not None
        assert (later.summary.seen, later.summary.not_started) == (6, 0)
    assert lines_at(service) == [6]


def test_a_cancelled_batch_ends_every_item(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        list(job(client, tmp_path, wait=False).run(photos))
        client.batches.cancel(client.batches.list().items[0].id)
        results = list(job(client, tmp_path).run(photos))
        assert {r.failure.code for r in results if r.failure} == {"batch_cancelled"}
        assert len(ends(results)) == 6
        again = list(job(client, tmp_path, retry_failed=True).run(photos))
    assert set(ends(again).values()) == {"done"}


def test_an_outage_while_waiting_is_waited_out(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    fault = {"kind": "error", "code": "1234", "status": 503}
    service.set_scenario({"rule": [{"path": "*/batches/*", "count": 9, "fault": fault}]})
    troubles: list[str] = []

    def told(event: BatchEvent) -> None:
        if event.trouble:
            troubles.append(event.trouble)

    with client_for(service) as client:
        assert len(ends(list(job(client, tmp_path, on_step=told).run(photos)))) == 6
    assert len(troubles) == 1


def test_a_batch_whose_answer_was_lost_is_found_again(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    service.set_scenario(
        {"rule": [{"path": "*/batches", "count": 1, "fault": {"kind": "reset", "when": "first_byte"}}]}
    )
    with client_for(service) as client:
        assert len(ends(list(job(client, tmp_path).run(photos)))) == 6
    assert lines_at(service) == [6]


def test_a_service_that_makes_no_batches_ends_the_run(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    service.set_scenario({"rule": [{"path": "*/batches", "fault": {"kind": "error", "code": "1234"}}]})
    with client_for(service) as client:
        with pytest.raises(ServerError):
            list(job(client, tmp_path).run(photos))
        service.reset()
        assert len(ends(list(job(client, tmp_path).run(photos)))) == 6
    assert lines_at(service) == [6]


def test_an_endpoint_without_batches(tmp_path: Path) -> None:
    with (
        Client(base_url="embedded") as client,
        pytest.raises(UnsupportedError, match=r"no batch files.*bigmodel"),
    ):
        job(client, tmp_path)


def test_a_budget_counts_what_is_handed_in(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    caps = Caps(requests=4)
    with client_for(service) as client:
        run = job(client, tmp_path, budget=caps, wait=False).run(photos)
        assert list(run) == []
        assert run.summary is not None
        assert (run.summary.stopped, run.summary.not_started) == ("budget", 5)
        again = job(client, tmp_path, budget=caps).run(photos)
        assert len(list(again)) == 4
        assert again.summary is not None
        assert again.summary.stopped == "budget"
        price = Money(Decimal("0.00001"), "CNY")
        dear = job(client, tmp_path, budget=Caps(money=price)).run(photos)
        assert {r.outcome for r in dear} == {Outcome.DONE}, "what is recorded is handed out"
        assert dear.summary is not None and dear.summary.stopped == "budget"
        assert len(list(job(client, tmp_path, budget=Caps(requests=6)).run(photos))) == 6
    assert sorted(lines_at(service)) == [2, 4]


def test_events_tell_of_items_and_of_the_run(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    with client_for(service) as client:
        list(job(client, tmp_path).run(photos))
        (photos / "more.png").write_bytes(image_bytes("png", 70, 9))
        run = job(client, tmp_path, on_event=told.append).run(photos, hand_out_kept=False)
        assert [result.source for result in run] == ["more.png"]
    assert isinstance(told[0], RunStarted)
    items = [event for event in told if isinstance(event, ItemEnded)]
    assert [event.kept for event in items] == [True] * 6 + [False]
    assert (items[-1].progress.ended, items[-1].progress.seen, items[-1].progress.listed) == (7, 7, True)
    assert run.summary is not None
    assert told[-1] == RunEnded(run.summary)


def test_a_stopped_run_is_gone_on_with(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        run: Run = job(client, tmp_path, on_step=lambda event: run.stop()).run(photos)
        assert list(run) == []
        assert run.summary is not None
        assert run.summary.stopped == "stopped"
        left = iter(job(client, tmp_path, limits=BatchLimits(lines=2)).run(photos))
        first = next(left)
        del left  # left in the middle of it
        gc.collect()
        results = list(job(client, tmp_path).run(photos))
    assert first.source in ends(results)
    assert len(results) == 6
    assert lines_at(service) == [6]


def test_a_preset_is_the_same_job_either_way(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        one = job(client, tmp_path, presets.tags, journal=tmp_path / "a.journal")
        other = Pipeline(presets.tags, client=client, journal=tmp_path / "a.journal")
        assert one.job == other.job


def test_names_listed_twice_come_out_twice_and_are_asked_once(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    twice = [Source("a.png", str(photos / "0000.png"))] * 2
    with client_for(service) as client:
        results = list(job(client, tmp_path).run(twice))
        assert [(r.outcome, r.reason) for r in results] == [
            (Outcome.SKIPPED, "listed twice"),
            (Outcome.DONE, None),
        ]
    assert lines_at(service) == [1]


def test_what_needs_no_line(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        list(job(client, tmp_path).run(photos))
        (photos / "copy.png").write_bytes((photos / "0001.png").read_bytes())
        (photos / "notes.txt").write_text("words")
        listed: list[Found] = [
            *(Source(f"000{n}.png", str(photos / f"000{n}.png")) for n in range(2)),
            Source("copy.png", str(photos / "copy.png")),
            Source("own.png", str(photos / "0000.png")),
            Source("gone.png", str(photos / "gone.png")),
            SkippedSource("notes.txt", "not an image"),
        ]
        mine = {"own.png": "mine"}
        run = job(client, tmp_path, skip=lambda source: mine.get(source.name)).run(listed)
        results = {r.source: r for r in run}
    assert results["copy.png"].duplicate_of == "0001.png"
    assert results["own.png"].reason == "mine"
    assert results["notes.txt"].reason == "not an image"
    assert results["gone.png"].failure is not None
    assert run.summary is not None
    assert (run.summary.seen, run.summary.kept, run.summary.skipped, run.summary.failed) == (6, 2, 2, 1)
    assert lines_at(service) == [6]


def test_an_account_that_runs_dry_while_waiting(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    rule = {"path": "*/batches/*", "count": 1, "fault": {"kind": "error", "code": "1113"}}
    service.set_scenario({"rule": [rule]})
    with client_for(service) as client:
        with pytest.raises(AccountError):
            list(job(client, tmp_path).run(photos))
        assert set(ends(list(job(client, tmp_path).run(photos))).values()) == {"done"}
    assert lines_at(service) == [6]
