"""The main job against other services than BigModel, from the command line."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import orjson

from tests.cli.commands import lines, visionpipe
from tests.loopback import Answer, Seen, serving
from visionpipe.testing.images import image_bytes

KEY = {"VISIONPIPE_API_KEY": "sk-0123456789abcdef"}


def photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02}.png").write_bytes(image_bytes("png", 8 + number, 8))
    return folder


def answer(seen: Seen) -> Answer:
    usage = {
        "prompt_tokens": 1200,
        "completion_tokens": 20,
        "total_tokens": 1220,
        "prompt_tokens_details": {"cached_tokens": 200},
    }
    message = {"role": "assistant", "content": "A grey square."}
    body: dict[str, Any] = {
        "model": seen.json()["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": usage,
    }
    return Answer(body=orjson.dumps(body))


def test_qwen_at_dashscope_with_thinking_off_and_a_budget(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 3)
    with serving(answer=answer) as loopback:
        url = f"dashscope+http://127.0.0.1:{loopback.port}/compatible-mode/v1"
        asked = ["-m", "qwen3-vl-plus", "--base-url", url, "--thinking", "off", "--budget", "1 CNY"]
        done = visionpipe("caption", folder, "-o", "out.jsonl", *asked, folder=tmp_path, env=KEY)
        assert done.returncode == 0, done.stderr
        bodies = [seen.json() for seen in loopback.requests]
        assert {seen.path for seen in loopback.requests} == {"/compatible-mode/v1/chat/completions"}
    assert all(body["enable_thinking"] is False and body["max_tokens"] > 0 for body in bodies)
    found = lines(tmp_path / "out.jsonl")
    assert [line["caption"] for line in found.values()] == ["A grey square."] * 3
    # 1,000 tokens at 1 yuan a million, 200 from the cache at 0.2, and 20 written at 10.
    assert {line["cost"]["amount"] for line in found.values()} == {"0.00124"}
    assert "0.00372 CNY" in done.stderr


def test_an_empty_account_stops_the_job_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 25)
    lock, left = threading.Lock(), [3]

    def until_empty(seen: Seen) -> Answer:
        with lock:
            left[0] -= 1
            if left[0] >= 0:
                return answer(seen)
        return Answer(402, orjson.dumps({"error": {"message": "Insufficient Balance"}}))

    with serving(answer=until_empty) as loopback:
        command: list[str | Path] = [
            "caption",
            folder,
            "-o",
            "out.jsonl",
            "-m",
            "m",
            "--base-url",
            loopback.url,
        ]
        stopped = visionpipe(*command, folder=tmp_path, env=KEY)
        assert stopped.returncode == 1
        assert "25 items: 3 done, 22 not started" in stopped.stderr
        assert "the account has no balance for this call (the service says: Insufficient" in stopped.stderr
        before, left[0] = len(loopback.requests), 1000
        again = visionpipe(*command, folder=tmp_path, env=KEY)
        assert again.returncode == 0, again.stderr
        assert "25 items: 25 done" in again.stderr
        assert len(loopback.requests) - before == 22


def test_a_gateways_header_goes_with_every_request_and_is_written_nowhere(tmp_path: Path) -> None:
    photos(tmp_path / "in", 3)
    value = "gw-8841c0ffee5a"
    with serving(answer=answer) as server:
        command = ["caption", "in", "-o", "out.jsonl", "-m", "glm-4.6v", "--base-url", f"zai+{server.url}"]
        done = visionpipe(*command, "--header", f"X-Gateway-Key={value}", folder=tmp_path, env=KEY)
        assert done.returncode == 0, done.stderr
        assert [seen.headers["x-gateway-key"] for seen in server.requests] == [value] * 3
        # The header is no part of the question: with another one nothing is asked again.
        again = visionpipe(*command, "--header", "X-Gateway-Key=other", folder=tmp_path, env=KEY)
        assert (again.returncode, len(server.requests)) == (0, 3), again.stderr
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert value not in done.stderr
    assert value.encode() not in written
    for wrong in (f"X-Gateway-Key: {value}", f"={value}", f"Authorization={value}", f"X={value}\nY: z"):
        refused = visionpipe(*command, "--header", wrong, folder=tmp_path, env=KEY)
        assert (refused.returncode, value in refused.stderr) == (2, False), refused.stderr
