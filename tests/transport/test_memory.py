"""A body of 190 MB passes through a sender in constant memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import Loopback

SEND = """
import asyncio, resource, sys
from pathlib import Path
from visionpipe.media import FileContent
from visionpipe.transport._async.http_sender import AsyncHttpSender
from visionpipe.transport._sync.http_sender import HttpSender
from visionpipe.wire.http import Base64Piece, Body, HttpRequest

kind, url, path = sys.argv[1:]
found = Path(path).stat()
small = HttpRequest("POST", "/x", Body((b"{}",)))
content = FileContent(path, found.st_size, found.st_mtime_ns)
large = HttpRequest("POST", "/x", Body((b"<", Base64Piece(content), b">")))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

if kind == "sync":
    sender = HttpSender(url, trust_env=False)
    sender.send(small)
    before = peak()
    status = sender.send(large).status
    sender.close()
else:
    async def run():
        sender = AsyncHttpSender(url, trust_env=False)
        await sender.send(small)
        before = peak()
        status = (await sender.send(large)).status
        await sender.close()
        return before, status
    before, status = asyncio.run(run())
print(status, peak() - before)
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_large_body_is_never_whole_in_memory(kind: str, loopback: Loopback, tmp_path: Path) -> None:
    loopback.keep_bodies = False
    path = tmp_path / "clip.mp4"
    with path.open("wb") as file:
        file.truncate(190_000_000)  # sparse: no disk is needed for it
    run = subprocess.run(
        [sys.executable, "-c", SEND, kind, loopback.url, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    status, growth_mb = map(int, run.stdout.split())
    assert status == 200
    assert loopback.requests[-1].size == (190_000_000 + 2) // 3 * 4 + 2
    assert growth_mb < 20
