"""A job through batch files against the sandbox: every item once, whatever breaks on the way."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from visionpipe.client.client import Client
from visionpipe.errors import AccountError, ServerError, UnsupportedError
from visionpipe.loaders.sources import Source
from visionpipe.pipeline.answerer import Answer, Judgement
from visionpipe.pipeline.budget import Caps
from visionpipe.pipeline.events import Event, ItemEnded, RunEnded, RunStarted
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.pipeline.provider_batch import ProviderBatch
from visionpipe.pipeline.provider_batch_run import BatchRun
from visionpipe.pipeline.provider_batch_work import BatchEvent
from visionpipe.pipeline.reading import recorded_results
from visionpipe.prompts import presets
from visionpipe.results import ItemResult, Outcome
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox
from visionpipe.transport.auth import ApiKey
from visionpipe.transport.httpx_sync import HttpSender
from visionpipe.transport.sender import ByteStream
from visionpipe.values import Money, Note
from visionpipe.wire.batch_lines import BatchLimits
from visionpipe.wire.http import HttpRequest, HttpResponse

MODEL = "glm-4v-plus-0111"


@pytest.fixture
def service() -> Iterator[SandboxHandle]:
    """A sandbox with nothing stored in it."""
    with running_sandbox() as handle:
        yield handle


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six different pictures."""
    return album(tmp_path / "photos", 6)


def album(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        name = f"{number:04}.png"
        (folder / name).write_bytes(image_bytes("png", 8 + number % 40, 8 + number // 40))
    return folder


def client_for(service: SandboxHandle, **more: Any) -> Client:
    more.setdefault("sleep", lambda seconds: None)
    return Client(MODEL, base_url=f"bigmodel+{service.base_url}", api_key=service.key, **more)


def job(client: Client, tmp_path: Path, **more: Any) -> ProviderBatch:
    more.setdefault("sleep", lambda seconds: None)
    return ProviderBatch("What is it?", client=client, journal=tmp_path / "job.journal", **more)


def ends(results: list[ItemResult]) -> dict[str, str]:
    assert len({result.source for result in results}) == len(results), "an item came out twice"
    return {result.source: str(result.outcome) for result in results}


def lines_at(service: SandboxHandle) -> list[int]:
    """How many lines each batch at the service has."""
    with client_for(service) as client:
        return [batch.total or 0 for batch in client.batches.list(limit=100).items]


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


def test_errors_of_lines_are_the_items_errors(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    service.set_scenario(
        {
            "rule": [
                {"path": "/v4/*", "after": 1, "count": 1, "fault": {"kind": "error", "code": "1301"}},
                {"path": "/v4/*", "after": 2, "count": 1, "fault": {"kind": "error", "code": "1234"}},
                {"path": "/v4/*", "after": 3, "count": 1, "fault": {"kind": "finish", "reason": "sensitive"}},
            ]
        }
    )
    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path).run(photos)}
        assert Counter(r.outcome for r in results.values()) == {Outcome.DONE: 3, Outcome.FAILED: 3}
        codes = {r.failure.code: r for r in results.values() if r.failure is not None}
        assert set(codes) == {"1301", "1234", "filtered_answer"}
        assert codes["filtered_answer"].usage is not None, "a filtered answer was billed"
        assert codes["1301"].usage is None
        again = {r.source: r for r in job(client, tmp_path, retry_failed=True).run(photos)}
    assert Counter(r.outcome for r in again.values()) == {Outcome.DONE: 4, Outcome.FAILED: 2}
    assert sorted(lines_at(service)) == [1, 6]


def test_an_error_of_the_account_stops_the_job_and_its_item_has_no_end(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    service.set_scenario(
        {"rule": [{"path": "/v4/*", "after": 4, "count": 1, "fault": {"kind": "error", "code": "1113"}}]}
    )
    with client_for(service) as client:
        run = job(client, tmp_path).run(photos)
        results: list[ItemResult] = []
        with pytest.raises(AccountError):
            results.extend(run)
        assert run.summary is not None
        assert (run.summary.done, run.summary.not_started, run.summary.stopped) == (5, 1, "error")
        assert ends(list(job(client, tmp_path).run(photos))) == {f"{n:04}.png": "done" for n in range(6)}
    assert sorted(lines_at(service)) == [1, 6]


def test_files_are_split(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service) as client:
        results = list(job(client, tmp_path, limits=BatchLimits(lines=4)).run(photos))
    assert len(ends(results)) == 6
    assert sorted(lines_at(service)) == [2, 4]


def test_a_line_over_the_limit_is_the_items_error(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    (photos / "large.jpg").write_bytes(image_bytes("jpeg", 600, 600))
    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path, limits=BatchLimits(size=3000)).run(photos)}
    failure = results.pop("large.jpg").failure
    assert failure is not None and failure.code == "bytes"
    assert {r.outcome for r in results.values()} == {Outcome.DONE}


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


def test_a_judge_notes_and_lets_fail(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    def judge(answer: Answer, second: bool) -> Judgement:
        assert second, "nobody is asked again within a batch"
        narrow = "png 8x" in answer.reply.text
        return Judgement((Note("short", "a word"),), "fail" if narrow else "keep")

    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path, judge=judge).run(photos)}
    assert [name for name, r in results.items() if r.outcome is Outcome.FAILED] == ["0000.png"]
    assert all(Note("short", "a word") in r.notes for r in results.values())


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


def test_structured_data_in_a_batch(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    good = '```json\n{"title": "A square", "count": 3,}\n```'
    answers = [{"text": good}] * 4 + [{"text": "no data"}, {"text": '{"title": "B"}'}]
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["title", "count"],
    }
    with running_sandbox("script", task_polls=0) as scripted:
        scripted.set_scenario({"answer": answers})
        with client_for(scripted) as client:
            results = list(job(client, tmp_path, schema=schema).run(photos))
    assert [r.data for r in results if r.outcome is Outcome.DONE] == [{"title": "A square", "count": 3}] * 4
    bad = [r.failure for r in results if r.failure is not None]
    assert {(f.code, f.retryable) for f in bad} == {("schema", True)}
    assert len(bad) == 2


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
        run: BatchRun = job(client, tmp_path, on_step=lambda event: run.stop()).run(photos)
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
        one = ProviderBatch(presets.tags, client=client, journal=tmp_path / "a.journal")
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


class Killed(BaseException):
    """The end of a process, as far as one can have it without ending it."""


class Mortal:
    """A sender that dies at its n-th request, before it goes out or after it was answered."""

    def __init__(self, service: SandboxHandle, dies_at: int, answered: bool) -> None:
        self._inner = HttpSender(service.base_url, auth=ApiKey(service.key))
        self._left = dies_at
        self._answered = answered

    def send(self, request: HttpRequest) -> HttpResponse:
        self._die(before=True)
        response = self._inner.send(request)
        self._die(before=False)
        return response

    def open(self, request: HttpRequest) -> ByteStream:
        self._die(before=True)
        stream = self._inner.open(request)
        if not self._left and self._answered:
            stream.close()
        self._die(before=False)
        return stream

    def close(self) -> None:
        self._inner.close()

    def _die(self, *, before: bool) -> None:
        if before:
            self._left -= 1
        if self._left == 0 and before is not self._answered:
            raise Killed


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_death_at_any_request_costs_nothing(
    service: SandboxHandle, photos: Path, tmp_path: Path, dies_at: int, answered: bool
) -> None:
    collected: list[ItemResult] = []
    limits = BatchLimits(lines=4)
    with client_for(service, sender=Mortal(service, dies_at, answered)) as client:
        try:
            collected.extend(job(client, tmp_path, limits=limits).run(photos))
        except Killed:
            pass
        else:
            assert len(collected) == 6
    with client_for(service) as client:
        run = job(client, tmp_path, limits=limits).run(photos)
        results = list(run)
    assert ends(results) == {f"{n:04}.png": "done" for n in range(6)}
    assert sorted(lines_at(service)) == [2, 4], "no line was asked twice"
    journal = Journal(tmp_path / "job.journal")
    assert journal.spent().requests == 6
    journal.close()
    assert not Path(f"{tmp_path / 'job.journal'}.batch").exists()


CHILD = """
import sys
from visionpipe.client.client import Client
from visionpipe.pipeline.provider_batch import ProviderBatch
from visionpipe.stages.polling import PollPolicy
from tenacity import wait_fixed

url, key, journal, photos = sys.argv[1:]
with Client("glm-4v-plus-0111", base_url=url, api_key=key) as client:
    run = ProviderBatch(
        "What is it?", client=client, journal=journal, policy=PollPolicy(wait_fixed(0.02)),
        on_step=lambda event: print(event.state, event.lines, flush=True),
    ).run(photos)
    for result in run:
        print("result", result.source, flush=True)
print("end", run.summary.done, run.summary.kept, flush=True)
"""


def test_a_thousand_pictures_and_three_kills(tmp_path: Path) -> None:
    photos = album(tmp_path / "photos", 1000)
    journal = tmp_path / "job.journal"
    hold = {"kind": "hold"}
    with running_sandbox(task_polls=3) as service:
        command = [
            sys.executable,
            "-c",
            CHILD,
            f"bigmodel+{service.base_url}",
            service.key,
            str(journal),
            str(photos),
        ]

        def run_until(word: str) -> None:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                assert any(line.startswith(word) for line in child.stdout)
                child.send_signal(signal.SIGKILL)

        service.set_scenario({"rule": [{"path": "*/files", "fault": hold}]})
        run_until("written 1000")  # the upload is under way, and held
        service.set_scenario({})
        run_until("in_progress 1000")  # being asked after
        service.set_scenario(
            {"rule": [{"path": "*/content", "fault": {"kind": "slow_writer", "bytes_per_second": 50_000}}]}
        )
        run_until("completed 1000")  # being downloaded
        service.set_scenario({})
        run_until("result 0500.png")  # being read
        last = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        assert sorted(lines_at(service)) == [1000], "one batch, and every line in it once"
    assert last.stdout.splitlines()[-1].split()[:2] == ["end", "1000"]
    results = list(recorded_results(journal))
    assert ends(results) == {f"{n:04}.png": "done" for n in range(1000)}
    found = Journal(journal)
    assert found.spent().requests == 1000
    found.close()
