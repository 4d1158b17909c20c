"""``visionpipe mcp`` as an agent's program uses it: the protocol's own client, over both transports."""

from __future__ import annotations

import asyncio
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from tests.clip_maker import texture, write_clip
from visionpipe.testing.sandbox import SandboxHandle

SAMPLES = Path(__file__).parent.parent.parent / "samples"
NAMES = {"describe", "ask", "read_text", "extract", "compare", "watch", "check", "models"}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    for name in ("coffee.png", "horse.png"):
        shutil.copy(SAMPLES / name, folder)
    (tmp_path / "secret.png").write_bytes((SAMPLES / "camera.png").read_bytes())
    return folder


def environment(sandbox: SandboxHandle | None) -> dict[str, str]:
    """With no service named the embedded engine answers."""
    own = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    if sandbox is None:
        return own
    return {**own, "VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}", "VISIONPIPE_API_KEY": sandbox.key}


def over_stdio(root: Path, env: Mapping[str, str], *options: str) -> StdioServerParameters:
    command = ["-m", "visionpipe", "mcp", "--root", str(root), *options]
    return StdioServerParameters(command=sys.executable, args=command, env=dict(env), cwd=root)


@contextmanager
def served(root: Path, env: Mapping[str, str], *options: str) -> Iterator[str]:
    """The address of a server over HTTP, which is interrupted at the end and must end well."""
    command = [sys.executable, "-m", "visionpipe", "mcp", "--root", str(root), "--http", "--port", "0"]
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, encoding="utf-8", env=dict(env), cwd=root
    ) as process:
        assert process.stderr is not None
        try:
            said = ""
            while not said.startswith("MCP "):
                said = process.stderr.readline()
                assert said, "the server ended"
            yield said.split()[1]
        finally:
            process.send_signal(2)
            rest = process.stderr.read()
        assert "Traceback" not in rest
    assert process.returncode == 0


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def structured(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def call_all(client: Client) -> None:
    """Every tool, with paths as they are written below the root."""
    assert {tool.name for tool in (await client.list_tools()).tools} == NAMES
    reply = structured(await client.call_tool("describe", {"images": ["coffee.png"]}))
    assert reply["text"]
    assert {"usage", "cost", "adjustments", "notes", "model"} <= reply.keys()

    steps: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total))

    images = ["coffee.png", "horse.png"]
    each = structured(
        await client.call_tool("describe", {"images": images, "each": True}, progress_callback=on_progress)
    )
    assert [item["image"] for item in each["items"]] == images
    assert steps == [(1, 2), (2, 2)]
    assert structured(await client.call_tool("ask", {"question": "What is it?", "images": images}))["text"]
    assert structured(await client.call_tool("read_text", {"images": ["coffee.png"]}))["items"][0]["text"]
    assert structured(await client.call_tool("compare", {"images": images}))["text"]
    found = structured(await client.call_tool("check", {"images": images}))
    assert [item["fate"] for item in found["items"]] == ["send", "send"]
    assert structured(await client.call_tool("models", {}))["asked"]["model"]
    steps.clear()
    clip = await client.call_tool(
        "watch", {"clip": "clip.mp4", "longest": 1.0}, progress_callback=on_progress
    )
    timeline = structured(clip)
    assert len(steps) == len(timeline["spans"]) > 1
    assert all(span["text"] for span in timeline["spans"])


async def meet_errors(client: Client, root: Path) -> None:
    """What cannot be done is a result that says why, and what to do."""
    (root / "link.png").symlink_to(root.parent / "secret.png")
    for outside in ("../secret.png", str(root.parent / "secret.png"), "link.png", "file:///etc/passwd"):
        refused = await client.call_tool("describe", {"images": [outside]})
        assert refused.is_error
        assert "outside of the folders" in text_of(refused)
        assert refused.structured_content is not None
        assert refused.structured_content["error"]["code"] == "outside_roots"
    with (root / "huge.png").open("wb") as huge:
        huge.truncate(5 << 30)
    (root / "huge.jpg").write_bytes((SAMPLES / "china.jpg").read_bytes())
    with (root / "huge.jpg").open("r+b") as huge:
        huge.truncate(5 << 30)
    for image in ("huge.png", "missing.png"):
        failed = await client.call_tool("ask", {"question": "What?", "images": [image]})
        assert failed.is_error
        assert image in text_of(failed) and "Traceback" not in text_of(failed)
    mixed = structured(
        await client.call_tool("describe", {"images": ["coffee.png", "missing.png"], "each": True})
    )
    assert "text" in mixed["items"][0]
    assert mixed["items"][1]["error"]["cure"]
    wrong = await client.call_tool("ask", {"question": 7, "images": []})
    assert wrong.is_error and "Traceback" not in text_of(wrong)


def test_every_tool_over_stdio_and_http_at_the_sandbox(root: Path, sandbox: SandboxHandle) -> None:
    write_clip(root / "clip.mp4", [texture(number // 25) for number in range(75)])
    env = environment(sandbox)

    async def use(server: StdioServerParameters | str) -> None:
        async with Client(server) as client:
            await call_all(client)
            arguments = {"schema": SCHEMA, "images": ["coffee.png"]}
            sandbox.set_scenario({"answer": [{"text": '{"name": "a cup"}'}]})
            assert structured(await client.call_tool("extract", arguments))["value"] == {"name": "a cup"}
            sandbox.reset()
            missing = await client.call_tool("describe", {"images": ["coffee.png"], "model": "glm-9v"})
            assert missing.is_error
            assert "glm-9v" in text_of(missing)

    asyncio.run(use(over_stdio(root, env)))
    with served(root, env) as url:
        asyncio.run(use(url))


def test_every_tool_by_the_embedded_engine(root: Path) -> None:
    write_clip(root / "clip.mp4", [texture(number // 25) for number in range(75)])

    async def use() -> None:
        async with Client(over_stdio(root, environment(None))) as client:
            await call_all(client)
            await meet_errors(client, root)
            missing = await client.call_tool("describe", {"images": ["coffee.png"], "model": "glm-4.6v"})
            assert missing.is_error
            assert "Set BIGMODEL_API_KEY" in text_of(missing)

    asyncio.run(use())


def test_errors_over_http_and_a_private_address(root: Path, sandbox: SandboxHandle) -> None:
    async def use(url: str) -> None:
        async with Client(url) as client:
            await meet_errors(client, root)
            private = await client.call_tool("describe", {"images": [f"{sandbox.url}/stats"]})
            assert private.is_error
            assert "not public" in text_of(private) or "private" in text_of(private)

    with served(root, environment(sandbox)) as url:
        asyncio.run(use(url))


def test_a_linked_clip_is_watched_where_its_address_is_allowed(
    root: Path, sandbox: SandboxHandle, tmp_path: Path
) -> None:
    write_clip(tmp_path / "clip.mp4", [texture(number // 25) for number in range(75)])
    (tmp_path / "no.mp4").write_text("no clip")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))

    async def use(url: str, *options: str) -> list[CallToolResult]:
        async with Client(over_stdio(root, environment(sandbox), *options)) as client:
            names = ("clip.mp4", "no.mp4", "missing.mp4")
            return [
                await client.call_tool("watch", {"clip": f"{url}/{name}", "longest": 1.0}) for name in names
            ]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        watched, broken, missing = asyncio.run(use(url, "--allow-private"))
        refused = asyncio.run(use(url))
        server.shutdown()
    assert len(structured(watched)["spans"]) > 1
    assert broken.is_error and missing.is_error
    assert "404" in text_of(missing)
    for one in refused:
        assert one.is_error
        assert "not public" in text_of(one) or "private" in text_of(one)


def test_a_budget_holds_over_all_calls(root: Path, sandbox: SandboxHandle) -> None:
    async def use() -> None:
        server = over_stdio(root, environment(sandbox), "--budget-requests", "2")
        async with Client(server) as client:
            images = ["coffee.png"] * 4
            done = structured(await client.call_tool("describe", {"images": images, "each": True}))
            refused = [item for item in done["items"] if "error" in item]
            assert {item["error"]["code"] for item in refused} == {"budget"}
            assert len(refused) == 2
            last = await client.call_tool("extract", {"schema": SCHEMA, "images": images[:1]})
            assert last.is_error and "--budget" in text_of(last)

    asyncio.run(use())
    assert len(sandbox.log()) == 2


def test_over_http_only_programs_with_the_token_are_let_in(root: Path, sandbox: SandboxHandle) -> None:
    async def use(url: str) -> None:
        headers = {"Authorization": "Bearer word"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert structured(await client.call_tool("describe", {"images": ["coffee.png"]}))["text"]

    env = {**environment(sandbox), "VISIONPIPE_MCP_TOKEN": "word"}
    with served(root, env) as url:
        asyncio.run(use(url))
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        allowed = {"Authorization": "Bearer word"}
        for status, headers in (
            (401, {}),
            (401, {"Authorization": "Bearer other"}),
            (403, {**allowed, "Origin": "http://evil.example"}),
            (403, {**allowed, "Host": "evil.example"}),
        ):
            assert httpx.post(url, json=body, headers=headers).status_code == status


def test_what_the_command_refuses(root: Path) -> None:
    for words, options in (
        ("no such folder", ("--root", str(root / "none"))),
        ("it is no folder", ("--root", str(root / "coffee.png"))),
        ("others could reach it without a token", ("--http", "--host", "0.0.0.0")),
    ):
        command = [sys.executable, "-m", "visionpipe", "mcp", *options]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment(None), check=False
        )
        assert (done.returncode, words in done.stderr, done.stdout) == (2, True, ""), done.stderr
