"""The sample for local servers runs as a user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson

from tests.loopback import Answer, Loopback
from visionpipe.testing.sandbox import SandboxHandle

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def run(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLES / "local_server.py"), *arguments, str(SAMPLES / "coffee.png")]
    environment = {**os.environ, "VISIONPIPE_API_KEY": key}
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=30, env=environment, check=False
    )


def test_it_streams_an_answer(sandbox: SandboxHandle) -> None:
    done = run(sandbox.openai_url, "glm-4.6v", key=sandbox.key)
    assert (done.returncode, done.stderr) == (0, "")
    assert "png" in done.stdout and "(glm-4.6v, attempts: 1)" in done.stdout


def test_it_explains_what_the_server_lacks(loopback: Loopback) -> None:
    words = "image input is not supported - hint: you may need to provide the mmproj"
    loopback.script(Answer(500, orjson.dumps({"error": {"code": 500, "message": words}})))
    done = run(f"llamacpp+{loopback.url}", "some-model")
    assert done.returncode == 1
    assert "--mmproj FILE" in done.stderr
    assert len(loopback.requests) == 1
