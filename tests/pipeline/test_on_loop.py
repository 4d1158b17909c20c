"""A job with a client asks about all its items on one event loop, which nothing of the caller's holds up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.loopback import Answer as HttpAnswer
from tests.loopback import Loopback, Seen, serving
from tests.pipeline.kill_drill import ROOT, make_images
from visionpipe.client import Client
from visionpipe.pipeline.answerer import Answer, Judgement
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.results import Outcome

MODEL = "glm-4.6v"
REPLY = HttpAnswer(
    body=b'{"id":"1","model":"glm-4.6v","choices":[{"index":0,"finish_reason":"stop","message":'
    b'{"role":"assistant","content":"A small picture."}}]}'
)


class Counting:
    """Answers, having counted; from the first on, or when it is told to."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._count = 0
        self.all_came = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, seen: Seen) -> HttpAnswer:
        with self._lock:
            self._count += 1
            if self._count == self._wanted:
                self.all_came.set()
        assert self.may_answer.wait(60)
        return REPLY


def client_for(server: Loopback) -> Client:
    return Client(MODEL, base_url=f"bigmodel+{server.url}", api_key="id.secret")


def test_a_judge_that_waits_holds_up_no_request(tmp_path: Path) -> None:
    make_images(tmp_path / "in", 12)
    counting = Counting(12)
    counting.may_answer.set()

    def judge(answer: Answer, second: bool) -> Judgement:
        # The other requests are sent meanwhile, or this one waits in vain.
        assert counting.all_came.wait(60)
        return Judgement()

    with serving(answer=counting) as server, client_for(server) as client:
        job = Pipeline("What?", client=client, judge=judge, concurrency=12, limiter=Limiter(12, start=12))
        results = list(job.run(tmp_path / "in"))
    assert [result.outcome for result in results] == [Outcome.DONE] * 12


def test_an_aborted_job_gives_its_places_back(tmp_path: Path) -> None:
    make_images(tmp_path / "in", 12)
    counting = Counting(4)
    limiter = Limiter(4, start=4)
    with serving(answer=counting) as server, client_for(server) as client:
        run = Pipeline("What?", client=client, concurrency=8, limiter=limiter).run(tmp_path / "in")
        results = threading.Thread(target=list, args=(run,))
        results.start()
        try:
            assert counting.all_came.wait(60)
            assert limiter.state.busy == 4
            run.abort()
            results.join(60)
            until = time.monotonic() + 60
            while limiter.state.busy and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            counting.may_answer.set()
    assert limiter.state.busy == 0
    assert run.summary is not None
    assert run.summary.done == 0


@pytest.mark.parametrize("concurrency", [1, 3, 200])
def test_any_number_at_once_answers_all(tmp_path: Path, concurrency: int) -> None:
    make_images(tmp_path / "in", 40)
    with serving(REPLY) as server, client_for(server) as client:
        job = Pipeline("What?", client=client, journal=tmp_path / "j", concurrency=concurrency)
        first, second = (list(job.run(tmp_path / "in")) for _ in range(2))
        assert len(server.requests) == 40
    assert sorted(result.source for result in first) == sorted(result.source for result in second)
    assert {result.outcome for result in [*first, *second]} == {Outcome.DONE}


LOOKING_UP = """
import runpy, socket, sys, time

def look_up(*given, **more):
    print("looking up", flush=True)
    time.sleep(600)

socket.getaddrinfo = look_up
sys.argv = ["visionpipe", "caption", "in", "-o", "out.jsonl", "-p", "What?", "--model", "glm-4.6v"]
sys.argv += ["--base-url", "bigmodel+https://service.example/v4"]
runpy.run_module("visionpipe", run_name="__main__")
"""


def test_a_second_interrupt_waits_for_no_name_that_is_looked_up(tmp_path: Path) -> None:
    make_images(tmp_path / "in", 3)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VISIONPIPE_API_KEY": "id.secret"}
    running = subprocess.Popen(
        [sys.executable, "-c", LOOKING_UP],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline() == "looking up\n"
            running.send_signal(signal.SIGINT)
            assert any("Press Ctrl-C again" in line for line in running.stderr)
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 130
        finally:
            running.kill()
