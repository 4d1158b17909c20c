"""Tar shards from a bucket, two processes behind one gate, parts in the bucket, merged and exported; a kill
costs no item."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer, serving_redis
from tests.s3_store import S3Store
from visionpipe.files.stores import open_store
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

pytestmark = pytest.mark.system
ROOT = Path(__file__).parent.parent.parent


def fill(store: S3Store, shards: int, images: int) -> None:
    for shard in range(shards):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for number in range(images):
                data = jpeg_bytes(8 + shard, 8 + number)
                info = tarfile.TarInfo(f"{number:03}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        open_store(f"s3://{store.bucket}/shards/", store.options).put(f"{shard:03}.tar", out.getvalue())


@contextmanager
def serving(limit: int, latency: float) -> Iterator[SandboxHandle]:
    with running_sandbox(answers="saw") as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": latency}}]})
        sandbox.set_limits(per_model=limit)
        yield sandbox


class Here:
    """Commands against one bucket, one service and one gate."""

    def __init__(self, folder: Path, store: S3Store, sandbox: SandboxHandle, gate: str) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if "API_KEY" not in name},
            "PYTHONPATH": str(ROOT),
            "VISIONPIPE_API_KEY": sandbox.key,
            "VISIONPIPE_BASE_URL": sandbox.base_url,
            "VISIONPIPE_GATE": gate,
            "AWS_ACCESS_KEY_ID": store.options["key"],
            "AWS_SECRET_ACCESS_KEY": store.options["secret"],
            "AWS_ENDPOINT_URL": store.options["endpoint_url"],
        }

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "visionpipe", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipes)

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out + err


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with serving_redis() as server:
        yield server


def test_two_processes_share_a_bucket_of_shards_a_limit_and_a_directory_of_parts(
    tmp_path: Path, s3_store: S3Store, redis_server: RedisServer
) -> None:
    shards, images = 4, 12
    fill(s3_store, shards, images)
    bucket = f"s3://{s3_store.bucket}"
    with serving(limit=6, latency=0.1) as sandbox:
        here = Here(tmp_path, s3_store, sandbox, redis_server.url)
        job = ["caption", f"{bucket}/shards/{{000..003}}.tar", "-o", f"{bucket}/out/", "--model", "glm-4.6v"]
        both = [here.begin(*job, "--shard", f"{number}/2", "--concurrency", "16") for number in range(2)]
        for process in both:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
        stats = sandbox.stats()
        assert stats["requests"] - stats["per_code"].get("1302", 0) == shards * images
        code, told = here.run(*job)
        assert code == 0, told
        assert f"{shards * images} done" in told
        assert sandbox.stats()["requests"] == stats["requests"], "nothing is asked again"
        code, told = here.run("merge", f"{bucket}/out/")
        assert code == 0 and f"{shards * images} items" in told, told
        code, told = here.run("export", f"{bucket}/out/", "-o", "captions.jsonl")
        assert code == 0, told
        rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
        assert Counter(row["outcome"] for row in rows) == {"done": shards * images}
        assert len({row["path"] for row in rows}) == shards * images
        code, told = here.run("gate", redis_server.url)
        assert code == 0 and "0 of" in told, told


def test_a_killed_process_costs_no_item_and_at_most_its_requests_under_way(
    tmp_path: Path, s3_store: S3Store, redis_server: RedisServer
) -> None:
    fill(s3_store, 2, 30)
    bucket = f"s3://{s3_store.bucket}"
    with serving(limit=6, latency=0.1) as sandbox:
        here = Here(tmp_path, s3_store, sandbox, redis_server.url)
        job = ["caption", f"{bucket}/shards/*.tar", "-o", f"{bucket}/out/", "--model", "glm-4.6v"]
        killed = here.begin(*job, "--concurrency", "8")
        until = time.monotonic() + 120
        while sandbox.stats()["requests"] < 20:
            assert time.monotonic() < until and killed.poll() is None
            time.sleep(0.02)
        killed.kill()
        killed.communicate()
        code, told = here.run(*job, "--concurrency", "8")
        assert code == 0, told
        assert "60 done" in told
        stats = sandbox.stats()
        asked = stats["requests"] - stats["per_code"].get("1302", 0)
        assert 60 <= asked <= 60 + 16


def test_a_place_that_cannot_be_used_is_an_error_before_the_first_request(
    tmp_path: Path, s3_store: S3Store
) -> None:
    fill(s3_store, 1, 2)
    bucket = f"s3://{s3_store.bucket}"
    with serving(limit=6, latency=0.0) as sandbox:
        here = Here(tmp_path, s3_store, sandbox, "")
        for source, output, gate in (
            (f"{bucket}/shards/{{000..001}}.tar", f"{bucket}/out/", ""),
            (f"{bucket}/shards/000.tar", "s3://no-such-bucket-here/out/", ""),
            (f"{bucket}/shards/000.tar", f"{bucket}/out/", "redis://127.0.0.1:1/0"),
        ):
            gated = ["--gate", gate] if gate else []
            code, told = here.run("caption", source, "-o", output, "--model", "glm-4.6v", *gated)
            assert code in (1, 2), told
            assert "Traceback" not in told
        assert sandbox.stats()["requests"] == 0
