"""Counts of tokens, fine-tuning jobs and batches: what is sent, and what of the answers is read."""

from __future__ import annotations

import tomllib
from typing import Any

import orjson
import pytest

from visionpipe.errors import ParameterError, UnreadableAnswerError
from visionpipe.media import Text
from visionpipe.registry.lookup import Registry
from visionpipe.request import Message, Parameters, Request
from visionpipe.wire import batches, tuning
from visionpipe.wire.batches import BatchRecord, BatchStatus
from visionpipe.wire.chat import TokenCount, encode_count, read_count
from visionpipe.wire.http import Body
from visionpipe.wire.tuning import TuningEvent, TuningJob

GLM = Registry.load().endpoint("bigmodel")
JOB = {"id": "ft-1", "status": "running", "model": "m", "error": None, "trained_tokens": 9}


def sent(body: Body) -> Any:
    return orjson.loads(b"".join(piece for piece in body.pieces if isinstance(piece, bytes)))


def test_only_what_is_counted_is_sent() -> None:
    tool: dict[str, Any] = {"type": "function", "function": {"name": "look"}}
    message = Message("user", (Text("Hi."),))
    request = Request("m", (message,), Parameters(temperature=0.5), tools=(tool,), tool_choice="auto")
    assert sent(encode_count(request, GLM)).keys() == {"model", "messages", "tools"}
    assert sent(encode_count(Request("m", (message,)), GLM)).keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("usage", "count"),
    [
        ({"prompt_tokens": 5, "image_tokens": 7, "total_tokens": 12}, TokenCount(5, 7, 0, 12)),
        ({"prompt_tokens": 5, "video_tokens": 9}, TokenCount(5, 0, 9, 14)),
        ({"image_tokens": 7, "total_tokens": 12}, TokenCount(5, 7, 0, 12)),
    ],
)
def test_a_count_is_complete_whatever_is_left_out(usage: dict[str, int], count: TokenCount) -> None:
    assert read_count(orjson.dumps({"usage": usage})) == count
    assert (count + count).to_json()["total_tokens"] == 2 * count.total_tokens


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"usage":{"image_tokens":7}}'])
def test_no_count(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_count(body)


def test_fine_tuning_jobs() -> None:
    body = sent(
        tuning.encode_job(
            "m", "f", validation_file=None, suffix=None, hyperparameters={"n_epochs": 2}, request_id="vp-1"
        )
    )
    assert body == {
        "model": "m",
        "training_file": "f",
        "hyperparameters": {"n_epochs": 2},
        "request_id": "vp-1",
    }
    running = tuning.read_job(orjson.dumps(JOB))
    assert running == TuningJob("ft-1", "running", "m", trained_tokens=9)
    assert not running.done
    failed = {**JOB, "status": "failed", "error": {"message": "too few lines"}}
    page = tuning.read_jobs(orjson.dumps({"data": [JOB, failed], "has_more": True}))
    assert (page.items[1].done, page.items[1].error, page.after) == (True, "too few lines", "ft-1")
    events = tuning.read_events(b'{"data":[{"id":"e","message":"begun","created_at":3},{}]}')
    assert events.items == (TuningEvent("e", "begun", 3), TuningEvent("", ""))
    assert tuning.cancel_path("a/b") == "/fine_tuning/jobs/a%2Fb/cancel"
    assert tuning.events_path("a", after="e", limit=2) == "/fine_tuning/jobs/a/events?after=e&limit=2"
    assert tuning.list_path(after=None, limit=None) == "/fine_tuning/jobs"


def test_a_tuned_models_entry_is_toml_whatever_its_name() -> None:
    entry = tomllib.loads(tuning.catalog_entry('m:"7"\\', "m"))
    assert entry == {"model": [{"id": 'm:"7"\\', "base": "m"}]}


def test_a_batch_is_made_of_a_file() -> None:
    body = sent(batches.encode_batch("f", {"who": "me"}, delete_input=False))
    assert (body["input_file_id"], body["metadata"], body["auto_delete_input_file"]) == (
        "f",
        {"who": "me"},
        False,
    )
    assert "metadata" not in sent(batches.encode_batch("f", None, delete_input=True))
    with pytest.raises(ParameterError, match="17 keys"):
        batches.encode_batch("f", {str(n): "" for n in range(17)}, delete_input=True)
    assert batches.cancel_path("b 1") == "/batches/b%201/cancel"
    assert batches.list_path(after="b", limit=2) == "/batches?after=b&limit=2"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"status": "completed", "request_counts": {"total": 3, "completed": 2, "failed": 1}},
            BatchRecord("b", BatchStatus.COMPLETED, total=3, completed=2, failed=1),
        ),
        ({"status": "dozing", "request_counts": 3}, BatchRecord("b", BatchStatus.IN_PROGRESS, total=3)),
        (
            {"status": "failed", "errors": {"data": [{"line": 2, "message": "no JSON"}, {}, 7]}},
            BatchRecord("b", BatchStatus.FAILED, errors=("line 2: no JSON", "no reason given")),
        ),
        (
            {"status": "failed", "errors": [{"code": "1210"}], "metadata": {"n": 7}},
            BatchRecord("b", BatchStatus.FAILED, errors=("1210",), metadata={"n": "7"}),
        ),
    ],
)
def test_a_batch_in_each_form(fields: dict[str, Any], expected: BatchRecord) -> None:
    record = batches.read_batch(orjson.dumps({"id": "b", **fields}))
    assert record == expected
    assert record.done == (record.status in {BatchStatus.COMPLETED, BatchStatus.FAILED})
    page = batches.read_batches(orjson.dumps({"data": [{"id": "b", **fields}], "has_more": False}))
    assert (page.items, page.after) == ((expected,), None)


@pytest.mark.parametrize("body", [b'{"id":"b"}', b'{"status":"failed"}', b'{"id":true,"status":"failed"}'])
def test_a_batch_without_id_or_status(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        batches.read_batch(body)
