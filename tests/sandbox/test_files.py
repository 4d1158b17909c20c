"""Files and batches: a JSONL file in, states over time, a JSONL file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.sandbox.calls import chat, form, image, send, text, upload
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

FILES = "/api/paas/v4/files"
BATCHES = "/api/paas/v4/batches"
ENDPOINT = "/v4/chat/completions"


MODEL = "glm-4v-plus-0111"


def line(custom_id: str, body: Any = None, *, model: str = MODEL, **changes: Any) -> bytes:
    asked = {**(body or chat()), "model": model}
    row = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": asked}
    return orjson.dumps({**row, **changes})


def batch_of(sandbox: SandboxHandle, *lines: bytes, **fields: Any) -> Any:
    file = upload(sandbox, "in.jsonl", "batch", b"\n".join(lines)).json
    return send(sandbox, BATCHES, {"input_file_id": file["id"], "endpoint": ENDPOINT, **fields}).json


def ask(sandbox: SandboxHandle, batch: Any) -> Any:
    return send(sandbox, f"{BATCHES}/{batch['id']}").json


def rows(sandbox: SandboxHandle, file_id: str) -> dict[str, Any]:
    content = send(sandbox, f"{FILES}/{file_id}/content").body
    return {row["custom_id"]: row for row in map(orjson.loads, content.splitlines())}


def test_upload_list_read_delete(sandbox: SandboxHandle) -> None:
    data = line("request-1") + b"\n"
    file = upload(sandbox, "in.jsonl", "batch", data).json
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(data), "in.jsonl", "batch")
    other = upload(sandbox, "page.pdf", "agent", b"%PDF").json
    assert send(sandbox, f"{FILES}/{file['id']}").json == file
    assert send(sandbox, f"{FILES}/{file['id']}/content").body == data
    assert send(sandbox, f"{FILES}/{other['id']}/content").code == "1210"
    listed = send(sandbox, f"{FILES}?purpose=batch").json
    assert listed["data"][0] == file and other not in listed["data"]
    first = send(sandbox, f"{FILES}?limit=1").json
    assert first["has_more"] and first["data"] == [other]
    assert send(sandbox, f"{FILES}?limit=1&after={other['id']}").json["data"] == [file]
    assert send(sandbox, f"{FILES}?order=asc&after={file['id']}").json["data"] == [other]
    for identity in (file["id"], other["id"]):
        assert send(sandbox, f"{FILES}/{identity}", method="DELETE").json["deleted"] is True
    assert send(sandbox, f"{FILES}/{file['id']}").code == "1214"


def test_refused_files(sandbox: SandboxHandle) -> None:
    assert upload(sandbox, "in.txt", "batch", b"{}").code == "1214"
    assert upload(sandbox, "in.jsonl", "anything", b"{}").code == "1214"
    big = upload(sandbox, "big.jsonl", "batch", b" " * 100_000_001)
    assert (big.status, big.code) == (435, "1214")
    assert send(sandbox, FILES, {"purpose": "batch"}).code == "1210"
    body, media_type = form({}, "in.jsonl", b"{}")
    assert send(sandbox, FILES, body, headers={"Content-Type": media_type}).code == "1213"
    cut = send(sandbox, FILES, body[:30], headers={"Content-Type": media_type})
    assert cut.status == 400
    assert send(sandbox, FILES, body, headers={"Content-Type": "multipart/form-data"}).code == "1210"
    assert send(sandbox, f"{FILES}?limit=0").code == "1214"
    assert send(sandbox, f"{FILES}?limit=many").code == "1214"


def test_a_batch_from_file_to_files(sandbox: SandboxHandle) -> None:
    lines = [
        line("request-1"),
        line("request-2", chat(text(""))),
        b"",
        line("request-3", chat(text("Hello"), temperature=9)),
        line("request-4", chat(image(), text("And this?"))),
    ]
    batch = batch_of(sandbox, *lines, metadata={"run": "7"})
    assert batch["status"] == "validating" and batch["metadata"] == {"run": "7"}
    states = [ask(sandbox, batch) for _ in range(4)]
    assert [state["status"] for state in states] == ["validating", "in_progress", "finalizing", "completed"]
    assert states[2]["output_file_id"] is None
    done = states[3]
    assert done["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    assert done["completed_at"] >= done["created_at"] and ask(sandbox, batch) == done
    out, errors = rows(sandbox, done["output_file_id"]), rows(sandbox, done["error_file_id"])
    assert set(out) == {"request-1", "request-4"} and set(errors) == {"request-2", "request-3"}
    answer = out["request-1"]["response"]
    assert answer["status_code"] == 200 and "png 40x30" in answer["body"]["choices"][0]["message"]["content"]
    assert errors["request-2"]["response"]["body"]["error"]["code"] == "1214"
    assert send(sandbox, f"{FILES}/{batch['input_file_id']}").code == "1214"  # deleted, as is the default
    assert send(sandbox, BATCHES).json["data"][0] == done


def test_the_input_may_be_kept_and_lines_meet_faults(sandbox: SandboxHandle) -> None:
    sandbox.set_scenario(
        {"rule": [{"path": ENDPOINT, "count": 1, "fault": {"kind": "error", "code": "1305"}}]}
    )
    batch = batch_of(sandbox, line("request-1"), line("request-2"), auto_delete_input_file=False)
    done = [ask(sandbox, batch) for _ in range(4)][-1]
    assert rows(sandbox, done["error_file_id"])["request-1"]["response"]["status_code"] == 429
    assert set(rows(sandbox, done["output_file_id"])) == {"request-2"}
    assert send(sandbox, f"{FILES}/{batch['input_file_id']}").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"no json"],
        [b"[]"],
        [line("request-1"), line("request-1")],
        [line("short")],
        [line("request-a", url="/v1/chat/completions")],
        [line("request-a", method="GET")],
        [line("request-a"), line("request-b", model="glm-4v-plus")],
    ],
)
def test_a_file_that_is_no_batch_fails(sandbox: SandboxHandle, lines: list[bytes]) -> None:
    batch = batch_of(sandbox, *lines)
    assert batch["status"] == "validating"
    ask(sandbox, batch)
    failed = ask(sandbox, batch)
    assert failed["status"] == "failed" and failed["errors"]["data"][0]["message"]
    assert failed["output_file_id"] is None


def test_a_batch_is_cancelled_until_it_has_ended(sandbox: SandboxHandle) -> None:
    batch = batch_of(sandbox, line("request-1"))
    cancel = f"{BATCHES}/{batch['id']}/cancel"
    assert send(sandbox, cancel, {}).json["status"] == "cancelling"
    assert ask(sandbox, batch)["status"] == "cancelled"
    assert send(sandbox, cancel, {}).code == "1210"


def test_refused_batches(sandbox: SandboxHandle) -> None:
    file = upload(sandbox, "in.jsonl", "batch", line("request-a")).json
    tuning = upload(sandbox, "in.jsonl", "fine-tune", line("request-a")).json
    good = {"input_file_id": file["id"], "endpoint": ENDPOINT}
    for change, code in (
        ({"endpoint": "/v1/chat/completions"}, "1214"),
        ({"endpoint": None}, "1213"),
        ({"input_file_id": "none"}, "1214"),
        ({"input_file_id": ["x"]}, "1214"),
        ({"input_file_id": tuning["id"]}, "1214"),
        ({"metadata": {str(n): n for n in range(17)}}, "1214"),
    ):
        assert send(sandbox, BATCHES, {**good, **change}).code == code
    assert send(sandbox, f"{BATCHES}/none").code == "1214"


def test_a_batch_goes_on_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    with running_sandbox(state=state) as sandbox:
        batch = batch_of(sandbox, *(line(f"request-{n}") for n in range(300)))
    with running_sandbox(state=state, task_polls=0) as sandbox:
        for _ in range(5_000):
            shown = ask(sandbox, batch)
            if shown["status"] == "completed":
                break
            assert shown["status"] == "in_progress"
        assert shown["request_counts"] == {"total": 300, "completed": 300, "failed": 0}
        assert len(rows(sandbox, shown["output_file_id"])) == 300


def test_a_tuned_model_exists_once_its_job_has_succeeded(tmp_path: Path) -> None:
    jobs = "/api/paas/v4/fine_tuning/jobs"
    state = tmp_path / "state.sqlite"
    with running_sandbox(state=state) as sandbox:
        file = upload(sandbox, "train.jsonl", "fine-tune", b"{}").json
        asked = {"model": "glm-4v-flash", "training_file": file["id"], "suffix": "mine"}
        job = send(sandbox, jobs, asked).json
        shown = [send(sandbox, f"{jobs}/{job['id']}").json for _ in range(3)]
        assert [one["status"] for one in shown] == ["queued", "running", "succeeded"]
        name = shown[2]["fine_tuned_model"]
        assert send(sandbox, body=chat(model=name)).status == 200
        events = send(sandbox, f"{jobs}/{job['id']}/events").json["data"]
        assert [event["message"] for event in events][::2] == ["The job is succeeded.", "The job is queued."]
        assert send(sandbox, f"{jobs}/{job['id']}/cancel", {}).code == "1210"
        assert send(sandbox, jobs).json["data"][0]["id"] == job["id"]
        other = send(sandbox, jobs, asked).json
        assert send(sandbox, f"{jobs}/{other['id']}/cancel", {}).json["status"] == "cancelled"
        assert send(sandbox, f"{jobs}/{other['id']}", method="DELETE").json["deleted"]
        assert send(sandbox, f"{jobs}/{other['id']}").code == "1214"
        for change, code in (
            ({"model": "none"}, "1211"),
            ({"model": 1}, "1214"),
            ({"training_file": None}, "1213"),
            ({"suffix": 1}, "1214"),
        ):
            assert send(sandbox, jobs, {**asked, **change}).code == code
        batch_file = upload(sandbox, "in.jsonl", "batch", b"{}").json["id"]
        assert send(sandbox, jobs, {**asked, "training_file": batch_file}).code == "1214"
    with running_sandbox(state=state) as sandbox:
        assert send(sandbox, body=chat(image(), image(), text(), model=name)).code == "1210"
        assert send(sandbox, body=chat(model=name)).status == 200


def test_the_tokenizer_counts(sandbox: SandboxHandle) -> None:
    counted = send(sandbox, "/api/paas/v4/tokenizer", chat(image(), text("Hello there"))).json["usage"]
    assert counted["image_tokens"] > 0 and counted["video_tokens"] == 0 and counted["prompt_tokens"] > 0
    assert counted["total_tokens"] == counted["prompt_tokens"] + counted["image_tokens"]
    told = send(sandbox, body=chat(image(), text("Hello there"))).json["usage"]
    assert told["prompt_tokens"] == counted["total_tokens"]
    assert send(sandbox, "/api/paas/v4/tokenizer", chat(model="glm-4v-plus-0111")).code == "1212"
