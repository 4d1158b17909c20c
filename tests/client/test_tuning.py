"""Token counts and fine-tuning jobs on both clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.faces import Clock, Face, setup_for
from tests.client.service_faces import Calling
from tests.client.test_tasks import CHINA, sandbox_setup
from tests.loopback import Answer, Loopback
from visionpipe.client import Client
from visionpipe.client.settings import exact_count
from visionpipe.errors import ParameterError, ReplyTimeoutError, UnreadableAnswerError, UnsupportedError
from visionpipe.registry.lookup import Registry
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.chat import TokenCount, read_count


def test_tokens_are_counted_as_they_will_be_billed(call: Calling, face: Face, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox, model="glm-4.6v")
    count = call(setup, "count_tokens", "What is it?", CHINA, CHINA, max_side=400)
    reply = face.ask("What is it?", CHINA, CHINA, setup=setup, max_side=400)
    assert reply.usage is not None
    assert count.total_tokens == reply.usage.prompt_tokens
    assert count.image_tokens > count.prompt_tokens > 0
    assert count.video_tokens == 0


def test_what_is_sent_to_be_counted(call: Calling, loopback: Loopback) -> None:
    loopback.script(Answer(body=b'{"usage":{"prompt_tokens":5,"image_tokens":30}}'))
    count = call(setup_for(loopback, model="glm-4.6v"), "count_tokens", "What?", CHINA, temperature=0.3)
    assert count == TokenCount(5, 30, 0, 35)
    (seen,) = loopback.requests
    assert (seen.path, set(seen.json())) == ("/v1/tokenizer", {"model", "messages"})


def test_a_count_is_read_in_part() -> None:
    assert read_count(b'{"usage":{"total_tokens":40,"image_tokens":30}}') == TokenCount(10, 30, 0, 40)
    assert (TokenCount(1, 2, 3, 6) + TokenCount(1, 0, 0, 1)).to_json()["total_tokens"] == 7
    for body in (b"{}", b'{"usage":{}}', b"<html>"):
        with pytest.raises(UnreadableAnswerError):
            read_count(body)


def test_where_there_is_no_counting(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match=r"no token counting.*glm-4\.6v"):
        call(setup_for(loopback, model="glm-4v-plus-0111"), "count_tokens", "What?", CHINA)
    with pytest.raises(UnsupportedError, match=r"bigmodel"):
        call({"base_url": "embedded"}, "count_tokens", "What?", CHINA)
    assert loopback.requests == []


def test_a_check_counts_exactly_where_it_can(sandbox: SandboxHandle) -> None:
    with Client(**sandbox_setup(sandbox, model="glm-4.6v")) as client:
        prepared = client.prepare("What?", CHINA, max_side=200)
        assert exact_count(client, prepared) == client.count_tokens("What?", CHINA, max_side=200)
    with Client(**sandbox_setup(sandbox, model="glm-4v-plus-0111")) as client:
        assert exact_count(client, client.prepare("What?", CHINA)) is None
    with Client(base_url="embedded") as client:
        assert exact_count(client, client.prepare("What?", CHINA)) is None


def test_a_tuned_model_is_held_to_its_bases_limits(
    call: Calling, face: Face, sandbox: SandboxHandle, tmp_path: Path
) -> None:
    setup = sandbox_setup(sandbox)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_bytes(b"{}\n")
    file = call(setup, "files.upload", pairs, "fine-tune")
    job = call(
        setup,
        "fine_tuning.create",
        "glm-4v-plus-0111",
        file.id,
        suffix="mine",
        hyperparameters={"n_epochs": "auto"},
    )
    assert (job.status, job.done, job.model) == ("queued", False, "glm-4v-plus-0111")
    assert call(setup, "fine_tuning.list").items[0].id == job.id
    with pytest.raises(ParameterError, match="queued"):
        call(setup, "fine_tuning.catalog_entry", job)
    ended = call(setup, "fine_tuning.wait", job)
    assert ended.done and ended.tuned_model is not None
    events = call(setup, "fine_tuning.events", job.id).items
    assert "succeeded" in events[0].message
    overlay = tmp_path / "mine.toml"
    overlay.write_text(call(setup, "fine_tuning.catalog_entry", ended))
    tuned = {**setup, "model": ended.tuned_model, "catalog": overlay}
    assert "jpeg" in face.ask("What is it?", CHINA, setup=tuned).text
    registry = Registry.load([overlay])
    own, base = registry.model(ended.tuned_model), registry.model("glm-4v-plus-0111")
    assert (own.images, own.context_tokens) == (base.images, base.context_tokens)


def test_a_job_is_cancelled(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_bytes(b"{}\n")
    file = call(setup, "files.upload", pairs, "fine-tune")
    job = call(setup, "fine_tuning.create", "glm-4v-plus-0111", file.id)
    assert call(setup, "fine_tuning.cancel", job.id).status == "cancelled"
    assert call(setup, "fine_tuning.get", job.id).done
    assert call(setup, "fine_tuning.wait", job.id).tuned_model is None


def test_a_deadline_for_a_job(call: Calling, loopback: Loopback) -> None:
    loopback.script(Answer(body=b'{"id":"j1","status":"running"}'))
    clock = Clock()
    with pytest.raises(ReplyTimeoutError, match=r"fine_tuning\.wait\('j1'\)"):
        call(setup_for(loopback, clock), "fine_tuning.wait", "j1", 90.0)
    assert clock.now == pytest.approx(90)


def test_a_tuned_model_cannot_be_downloaded(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match="cannot be downloaded: they stay at the service"):
        call(setup_for(loopback), "fine_tuning.download", "glm-4-flash:mine:1")
    assert loopback.requests == []


def test_an_endpoint_without_fine_tuning(call: Calling, loopback: Loopback) -> None:
    elsewhere = {**setup_for(loopback), "base_url": f"zai+{loopback.url}"}
    for method, args in (("list", ()), ("get", ("j1",)), ("cancel", ("j1",)), ("create", ("m", "f"))):
        with pytest.raises(UnsupportedError, match=r"no fine-tuning.*bigmodel"):
            call(elsewhere, f"fine_tuning.{method}", *args)
