"""``visionpipe sandbox`` as a process of its own: it serves, says where, and ends on a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from visionpipe.cli.sandbox import sandbox
from visionpipe.errors import ConfigurationError

COMMAND = [
    sys.executable,
    "-c",
    "import typer; from visionpipe.cli.sandbox import sandbox; typer.run(sandbox)",
]


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("[[answer]]\ntext = 'hello'\n")
    options = [
        "--port",
        "0",
        "--answers",
        "script",
        "--scenario",
        str(scenario),
        "--log",
        str(tmp_path / "l"),
    ]
    with subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(4)]
            told = {line.split()[0]: line.split()[1] for line in lines}
            body = orjson.dumps({"model": "glm-4.6v", "messages": [{"role": "user", "content": "Hi"}]})
            request = urllib.request.Request(
                told["GLM"] + "/chat/completions", body, {"Authorization": f"Bearer {told['key']}"}
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                assert orjson.loads(response.read())["choices"][0]["message"]["content"] == "hello"
            with urllib.request.urlopen(told["stats"], timeout=10) as response:
                assert orjson.loads(response.read())["requests"] == 1
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()
    assert rest == "1 requests, 1 at most in flight, refused: none\n"
    assert len((tmp_path / "l").read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "published key"),
        (["--host", "example.com"], "not an IP address"),
        (["--host", "203.0.113.7", "--key", "a.b"], "cannot be had"),
        (["--scenario", "none.toml"], "cannot be read"),
    ],
)
def test_what_it_refuses(options: list[str], words: str) -> None:
    app = typer.Typer()
    app.command()(sandbox)
    result = CliRunner().invoke(app, [*options, "--port", "0"])
    assert isinstance(result.exception, ConfigurationError)
    assert words in str(result.exception)


def test_a_key_must_have_the_form_of_the_service() -> None:
    app = typer.Typer()
    app.command()(sandbox)
    result = CliRunner().invoke(app, ["--key", "nodot", "--port", "0"])
    assert isinstance(result.exception, ConfigurationError)
    assert "id.secret" in str(result.exception)
