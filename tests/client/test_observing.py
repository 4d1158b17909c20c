"""What an operator sees: the log, every try, and OpenTelemetry's spans and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import visionpipe as vp
from visionpipe.cli.app import status_of
from visionpipe.logs import shown_source
from visionpipe.testing.sandbox import SandboxHandle

COFFEE = Path(__file__).parent.parent.parent / "samples" / "coffee.png"
QUICK = vp.RetryPolicy(first_wait=0.001, jitter=0)
ONE_FAILS = {"rule": [{"count": 1, "fault": {"kind": "error", "code": "1234", "status": 503}}]}


class Telemetry:
    """What the program's exporters were given since ``clear``."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([self.reader]))

    def spans(self) -> list[ReadableSpan]:
        own = [span for span in self.exporter.get_finished_spans() if span.instrumentation_scope is not None]
        return [span for span in own if span.instrumentation_scope.name == "visionpipe"]  # type: ignore[union-attr]  # above

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        data = self.reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "sum", getattr(point, "value", None)))
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture(scope="session")
def exporters() -> Telemetry:
    """A program's providers are set once, so they are one for all tests of a process."""
    return Telemetry()


@pytest.fixture
def telemetry(exporters: Telemetry) -> Telemetry:
    exporters.exporter.clear()
    return exporters


@pytest.fixture
def client(sandbox: SandboxHandle) -> Iterator[vp.Client]:
    with vp.Client(base_url=sandbox.base_url, api_key=sandbox.key, retry=QUICK) as made:
        yield made


def ask_async(sandbox: SandboxHandle, **options: Any) -> vp.Reply:
    async def ask() -> vp.Reply:
        async with vp.AsyncClient(
            base_url=sandbox.base_url, api_key=sandbox.key, retry=QUICK, **options
        ) as client:
            return await client.ask("What is it?", COFFEE)

    return asyncio.run(ask())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_span_tree_of_a_retried_call(
    sandbox: SandboxHandle, telemetry: Telemetry, client: vp.Client, asynchronous: bool
) -> None:
    sandbox.set_scenario(ONE_FAILS)
    reply = ask_async(sandbox) if asynchronous else client.ask("What is it?", COFFEE)
    assert len(reply.attempts) == 2
    first, second, call = telemetry.spans()
    assert call.name == f"chat {reply.model}" and call.parent is None
    told = dict(call.attributes or {})
    assert reply.usage is not None
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"]
    assert told["gen_ai.request.model"] == told["gen_ai.response.model"] == reply.model
    assert told["gen_ai.usage.input_tokens"] == reply.usage.prompt_tokens
    assert told["gen_ai.usage.output_tokens"] == reply.usage.completion_tokens
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert (told["visionpipe.images"], told["visionpipe.attempts"]) == (1, 2)
    assert "visionpipe.cost" in told
    for child in (first, second):
        assert child.name == "POST"
        assert child.parent is not None and call.context is not None
        assert child.parent.span_id == call.context.span_id
    assert first.attributes is not None and second.attributes is not None
    assert first.attributes["http.response.status_code"] == 503
    assert first.status.status_code is trace.StatusCode.ERROR
    assert second.attributes["http.request.resend_count"] == 1
    assert second.status.status_code is trace.StatusCode.UNSET
    everything = " ".join(span.to_json() for span in telemetry.spans())
    assert sandbox.key not in everything and "What is it?" not in everything


def test_metrics_of_calls_and_errors(sandbox: SandboxHandle, telemetry: Telemetry, client: vp.Client) -> None:
    reply = client.ask("What is it?", COFFEE)
    kinds = {labels["gen_ai.token.type"] for labels, _ in telemetry.points("gen_ai.client.token.usage")}
    assert kinds == {"input", "output"}
    assert any(
        labels.get("gen_ai.response.model") == reply.model and seconds > 0
        for labels, seconds in telemetry.points("gen_ai.client.operation.duration")
    )
    assert sum(count for _, count in telemetry.points("visionpipe.client.images")) >= 1
    before = len(telemetry.spans())
    with pytest.raises(vp.VisionPipeError) as caught:
        client.ask("What is it?", COFFEE, model="glm-9v")
    *_, call = telemetry.spans()
    assert len(telemetry.spans()) == before + 2
    assert dict(call.attributes or {})["error.type"] == caught.value.code


def test_a_stream_ends_its_span_when_it_is_read_or_left(telemetry: Telemetry, client: vp.Client) -> None:
    with client.stream("What is it?", COFFEE) as stream:
        assert telemetry.spans()[-1].name == "POST"
        "".join(stream)
    call = telemetry.spans()[-1]
    assert stream.reply.usage is not None
    assert dict(call.attributes or {})["gen_ai.usage.input_tokens"] == stream.reply.usage.prompt_tokens
    with client.stream("What is it?", COFFEE):
        pass
    assert len([span for span in telemetry.spans() if span.name.startswith("chat ")]) == 2


def test_a_job_tells_of_its_waits(sandbox: SandboxHandle, telemetry: Telemetry, client: vp.Client) -> None:
    assert [result.outcome for result in vp.Pipeline("What?", client=client).run([COFFEE])] == [
        vp.Outcome.DONE
    ]
    assert telemetry.points("visionpipe.gate.wait")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_every_try_is_told_and_logged(
    sandbox: SandboxHandle, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    caplog.set_level(logging.DEBUG, "visionpipe")
    sandbox.set_scenario(ONE_FAILS)
    told: list[vp.AttemptMade] = []
    if asynchronous:
        reply = ask_async(sandbox, on_attempt=told.append)
    else:
        with vp.Client(
            base_url=sandbox.base_url, api_key=sandbox.key, retry=QUICK, on_attempt=told.append
        ) as client:
            reply = client.ask("What is it?", COFFEE)
    assert [attempt.request_id for attempt in reply.attempts] == [each.request_id for each in told]
    failed, answered = told
    assert isinstance(failed.error, vp.ServiceError) and failed.error.status == 503
    assert failed.wait is not None
    assert (answered.error, answered.wait, answered.number, answered.model) == (None, None, 2, reply.model)
    lines = [record.getMessage() for record in caplog.records if record.name == "visionpipe.client"]
    assert [line.split()[0] for line in lines] == ["attempt"] * 2
    assert "status=503" in lines[0] and reply.request_id in lines[1]
    assert all(sandbox.key not in line and "What is it?" not in line and len(line) < 400 for line in lines)


def test_log_json_has_a_line_an_event(sandbox: SandboxHandle, tmp_path: Path) -> None:
    (tmp_path / "coffee.png").write_bytes(COFFEE.read_bytes())
    environment = {
        **os.environ,
        "VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}",
        "VISIONPIPE_API_KEY": sandbox.key,
    }
    command = [sys.executable, "-m", "visionpipe", "--log-json", "caption", "coffee.png", "-o", "out.jsonl"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    lines = [line for line in told if line["event"] != "level_changed"]
    assert {line["level"] for line in told} == {"INFO"}
    assert [line["event"] for line in lines] == ["run_started", "item_ended", "run_ended"]
    assert (lines[1]["source"], lines[1]["outcome"]) == ("coffee.png", "done")
    assert (lines[2]["done"], lines[2]["logger"]) == (1, "visionpipe.pipeline")


def test_verbose_tells_each_try_and_no_key_prompt_or_image(sandbox: SandboxHandle, tmp_path: Path) -> None:
    (tmp_path / "coffee.png").write_bytes(COFFEE.read_bytes())
    environment = {
        **os.environ,
        "VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}",
        "VISIONPIPE_API_KEY": sandbox.key,
    }

    def told(*options: str) -> list[str]:
        command = [
            sys.executable,
            "-m",
            "visionpipe",
            *options,
            "describe",
            "coffee.png",
            "-p",
            "What is it?",
        ]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if "attempt" in line]

    (line,) = told("-v", "--log-json")
    found = json.loads(line)
    assert (found["level"], found["event"], found["number"]) == ("DEBUG", "attempt", 1)
    (words,) = told("--verbose")
    assert "DEBUG visionpipe.client attempt" in words
    for one in (line, words):
        assert sandbox.key not in one and "What is it?" not in one and len(one) < 600
    assert told("--log-json") == []


def test_the_log_hides_what_a_link_may_hold_and_ends_with_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown_source("https://me:pass@host/a.jpg?sig=secret#x") == "https://host/a.jpg"
    assert shown_source("a?b.jpg") == "a?b.jpg"
    assert status_of(["--log-json", "models", "--json"]) == 0
    assert capsys.readouterr().err == ""
    assert not logging.getLogger("visionpipe").isEnabledFor(logging.INFO)
