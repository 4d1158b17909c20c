"""Each sample runs as a user would run it: as a script, with endpoint and key from the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

SAMPLES = Path(__file__).parent.parent.parent / "samples"
STRANGER = "some-text-model"


@pytest.fixture(scope="module")
def service() -> Iterator[SandboxHandle]:
    """A sandbox that lets no script wait: tasks and batches are through at once."""
    with running_sandbox(task_polls=0, models=(STRANGER,)) as sandbox:
        yield sandbox


@pytest.fixture
def run(service: SandboxHandle, tmp_path: Path) -> Any:
    """Runs a sample with arguments, in an empty folder; gives its completed process."""
    service.reset()
    (tmp_path / "samples").symlink_to(SAMPLES)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
        "VISIONPIPE_BASE_URL": f"bigmodel+{service.base_url}",
        "VISIONPIPE_API_KEY": service.key,
        "PYTHONWARNINGS": "error",
    }

    def started(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SAMPLES / name), *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env=environment,
            cwd=tmp_path,
            check=False,
        )

    return started


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_stream(run: Any, service: SandboxHandle) -> None:
    text, thought, figures = lines(run("stream.py"))
    assert text.startswith("I see 1 image: png 600x400")
    assert thought == "(it thought: I look at 1 item(s).)"
    assert figures.startswith("(glm-4.6v-flash, Usage(")
    assert service.log()[0]["stream"] is True


def test_stream_broken_in_the_middle(run: Any, service: SandboxHandle) -> None:
    service.set_scenario(
        {"answer": [{"text": "A cup. " * 9}], "rule": [{"fault": {"kind": "reset", "when": "frame"}}]}
    )
    done = run("stream.py")
    assert done.returncode == 1
    assert done.stdout.startswith("A cup. ")
    assert "characters. Try again" in done.stderr


def test_conversation(run: Any, tmp_path: Path) -> None:
    printed = lines(run("conversation.py"))
    assert len(printed) == 5
    assert printed[-1] == "(4 messages in talk.json)"
    saved = orjson.loads((tmp_path / "talk.json").read_bytes())
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"] * 2


def test_tools(run: Any, service: SandboxHandle) -> None:
    service.set_scenario(
        {
            "answer": [
                {"calls": [{"name": "price_of", "arguments": '{"drink": "Espresso"}'}]},
                {"text": "2.20 EUR."},
            ]
        }
    )
    called, answer, figures = lines(run("tools.py"))
    assert called == 'price_of({"drink": "Espresso"}) -> {"drink":"Espresso","price":2.2,"currency":"EUR"}'
    assert answer == "2.20 EUR."
    assert figures.startswith("(2 requests, ")


def test_web_search(run: Any) -> None:
    printed = lines(run("tools.py", "--search", STRANGER, "Who won?"))
    assert printed[1:] == [
        "- Result 1 for: Who won?: https://example.com/1",
        "- Result 2 for: Who won?: https://example.com/2",
    ]


def test_extraction(run: Any, service: SandboxHandle) -> None:
    page = (
        '```json\n{"language": "en", "lines": [{"text": "Title", "heading": true}, {"text": "Text."}]}\n```'
    )
    service.set_scenario({"answer": [{"text": "I see a page."}, {"text": page}]})
    first, title, text, note = lines(run("extraction.py"))
    assert (first, title, text) == ("en, 2 lines", "# Title", "Text.")
    assert note.startswith("(reasked: the first answer did not fit the schema")
    service.set_scenario({"answer": [{"text": "I see a page."}]})
    done = run("extraction.py")
    assert done.returncode == 1
    assert "does not fit the schema, twice" in done.stderr


def test_tasks(run: Any) -> None:
    ids = lines(run("tasks.py", "submit", "samples/coffee.png", "samples/chelsea.png"))
    assert len(ids) == 2
    first, second = lines(run("tasks.py", "fetch", *ids))
    assert first.startswith(f"{ids[0]}: I see 1 image: png 600x400")
    assert second.startswith(f"{ids[1]}: I see 1 image: png 451x300")


def test_batch_job(run: Any, service: SandboxHandle, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("coffee.png", "rocket.jpg"):
        (photos / name).write_bytes((SAMPLES / name).read_bytes())
    printed = sorted(lines(run("batch_job.py", "photos", "captions.journal")))
    assert [line.partition(": I see 1 image")[1] for line in printed] == [": I see 1 image"] * 2
    asked = service.stats()["requests"]
    assert sorted(lines(run("batch_job.py", "photos", "captions.journal"))) == printed
    assert service.stats()["requests"] == asked


def test_agents(run: Any) -> None:
    answer, total = lines(run("agents.py", "receipt_recognition_agent", "https://example.com/r.png"))
    assert answer
    assert total
    later, result = lines(run("agents.py", "async_agent", "https://example.com/r.png"))
    assert later.startswith("(it answers later, as ")
    assert result


def test_mcp_client(run: Any) -> None:
    printed = run("mcp_client.py").stdout
    assert "describe: " in printed and "models: " in printed
    assert "answer: I see 1 image: png" in printed
    assert "refused: ../outside.png: it is outside of the folders" in printed


def test_fastapi_app(service: SandboxHandle) -> None:
    service.reset()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "VISIONPIPE_BASE_URL": f"bigmodel+{service.base_url}",
        "VISIONPIPE_API_KEY": service.key,
        "PYTHONWARNINGS": "error",
    }
    command = [sys.executable, str(SAMPLES / "fastapi_app.py"), str(port)]
    picture = (SAMPLES / "coffee.png").read_bytes()

    async def ask_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=120) as http:

            async def post(content: bytes) -> httpx.Response:
                return await http.post("/describe", files={"image": content})

            asked = [post(picture) for _ in range(200)]
            return list(await asyncio.gather(*asked, post(b"no picture")))

    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        while "running on" not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1], said
        try:
            *answers, refused = asyncio.run(ask_all())
        finally:
            process.send_signal(signal.SIGINT)
            said += process.stderr.read().splitlines(keepends=True)
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["text"].startswith("I see 1 image") for answer in answers)
    assert refused.status_code == 422 and refused.json()["cure"]
    assert len(service.log()) == 200
    assert "Traceback" not in "".join(said)
    assert [line for line in said if line.startswith("app: ")] == [
        "app: client opened\n",
        "app: client closed\n",
    ]


def test_every_sample_has_its_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in SAMPLES.glob("*.py") if f'"{path.name}"' not in tests] == []
