"""What becomes of the answers in a batch: results, failures, data and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.batch_jobs import Mortal, client_for, ends, job, lines_at
from visionpipe.errors import AccountError
from visionpipe.pipeline.answerer import Answer, Judgement
from visionpipe.pipeline.batch.store import StoredLine
from visionpipe.pipeline.batch.work import no_answer
from visionpipe.pipeline.ledger import Key
from visionpipe.results import ItemResult, Outcome
from visionpipe.stages.quality_policy import QualityPolicy
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox
from visionpipe.values import Note
from visionpipe.wire.batches import BatchLimits, BatchRecord, BatchStatus
from visionpipe.wire.http import ByteStream, HttpRequest


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


def test_a_line_over_the_limit_is_the_items_error(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    (photos / "large.jpg").write_bytes(image_bytes("jpeg", 600, 600))
    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path, limits=BatchLimits(size=3000)).run(photos)}
    failure = results.pop("large.jpg").failure
    assert failure is not None and failure.code == "bytes"
    assert {r.outcome for r in results.values()} == {Outcome.DONE}


def test_a_judge_notes_and_lets_fail(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    def judge(answer: Answer, second: bool) -> Judgement:
        assert second, "nobody is asked again within a batch"
        narrow = "png 8x" in answer.reply.text
        return Judgement((Note("short", "a word"),), "fail" if narrow else "keep")

    with client_for(service) as client:
        results = {r.source: r for r in job(client, tmp_path, judge=judge).run(photos)}
    assert [name for name, r in results.items() if r.outcome is Outcome.FAILED] == ["0000.png"]
    assert all(Note("short", "a word") in r.notes for r in results.values())


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


class Tampered(Mortal):
    """A sender that loses some lines of what it downloads."""

    def __init__(self, service: SandboxHandle) -> None:
        super().__init__(service, 0, answered=False)

    def open(self, request: HttpRequest) -> ByteStream:
        stream = super().open(request)
        return Lossy(stream) if request.url.endswith("/content") else stream


class Lossy:
    """A downloaded file whose first line is broken, whose second is missing, and whose third stands twice."""

    oddities: tuple[str, ...] = ()

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.status = stream.status
        self.headers = stream.headers

    def __iter__(self) -> Iterator[bytes]:
        _, _, third, *rest = b"".join(self._stream).splitlines(keepends=True)
        yield b"".join(
            [b'{"custom_id": \n', third, third, b'{"custom_id":"nobody","response":{"body":{}}}\n']
        )
        yield b"".join(rest)

    def close(self) -> None:
        self._stream.close()


def test_lines_that_are_missing_in_the_answer_are_failures_that_may_pass(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    with client_for(service, sender=Tampered(service)) as client:
        results = list(job(client, tmp_path).run(photos))
    assert Counter(ends(results).values()) == {"done": 4, "failed": 2}
    assert {(r.failure.code, r.failure.retryable) for r in results if r.failure} == {
        ("batch_line_missing", True)
    }
    with client_for(service) as client:
        again = list(job(client, tmp_path, retry_failed=True).run(photos))
    assert set(ends(again).values()) == {"done"}
    assert sorted(lines_at(service)) == [2, 6]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (BatchStatus.FAILED, "batch_failed", "refused the whole batch file: line 3: no JSON"),
        (BatchStatus.EXPIRED, "batch_expired", "expired"),
        (BatchStatus.CANCELLED, "batch_cancelled", "cancelled"),
        (BatchStatus.COMPLETED, "batch_line_missing", "without an answer"),
    ],
)
def test_why_a_line_has_no_answer(status: BatchStatus, code: str, said: str) -> None:
    line = StoredLine(1, Key("a.png", "q", "c" * 64), (), 10.0, False)
    result = no_answer(line, BatchRecord("b1", status, errors=("line 3: no JSON",)), 12.0)
    assert result.failure is not None
    assert (result.failure.code, result.failure.retryable, result.seconds) == (code, True, 2.0)
    assert said in result.failure.reason


def test_poor_answers_are_noted(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    service.set_scenario(
        {"rule": [{"path": "/v4/*", "fault": {"kind": "finish", "reason": "length", "text": "A grey"}}]}
    )
    with client_for(service) as client:
        results = list(job(client, tmp_path, quality=QualityPolicy()).run(photos))
    assert all("truncated" in {note.kind for note in result.notes} for result in results)
    assert len(ends(results)) == 6
