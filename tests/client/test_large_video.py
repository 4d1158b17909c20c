"""The largest clips: sent as base64, or put into a store, by a client that stays small all the while."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clip_maker import texture, write_clip
from tests.s3_store import S3Store
from visionpipe.testing.sandbox import running_sandbox

MEGABYTES = 190
MOST_MORE_MB = 16
"""Of resident memory, for a clip of 190 MB instead of 1 MB: what interpreter and libraries take differs."""

CLIENT = """
import json, sys
from visionpipe.client import Client
from visionpipe.sources.publish import StorePublisher

given = json.load(sys.stdin)
options = given["options"]
if "store" in given:
    options["publisher"] = StorePublisher(given["target"], options=given["store"], expires_s=60)
with Client(given["model"], base_url=given["base_url"], api_key=given["key"]) as client:
    client.ask("What happens?", given["clip"], **options)
with open("/proc/self/status") as status:
    [peak] = [line for line in status if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


def filled(path: Path, megabytes: int) -> Path:
    """A clip that plays, of so many MB in all: the rest is a box that players pass over."""
    write_clip(path, [texture(n) for n in range(25)])
    rest = megabytes * 1_000_000 - path.stat().st_size
    with path.open("ab") as file:
        file.write(rest.to_bytes(4, "big") + b"free")
        left = rest - 8
        noise = os.urandom(1 << 20)
        while left:
            left -= file.write(noise[: min(left, len(noise))])
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return filled(tmp_path / "clip.mp4", MEGABYTES)


def peak_megabytes(**given: Any) -> int:
    """Runs one call in a process of its own; its largest resident size."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLIENT],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_190_megabytes_inline_arrive_unchanged_from_a_small_client(clip: Path, tmp_path: Path) -> None:
    small = filled(tmp_path / "small.mp4", 1)
    with running_sandbox(lenient=True) as sandbox:
        given = {"model": "glm-4.6v", "base_url": f"bigmodel+{sandbox.base_url}", "key": sandbox.key}
        options = {"inline_video": True}
        least = peak_megabytes(**given, clip=str(small), options=options)
        peak = peak_megabytes(**given, clip=str(clip), options=options)
        record = sandbox.log()[-1]
    [video] = record["media"]
    with clip.open("rb") as file:
        assert video["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    assert video["size"] == MEGABYTES * 1_000_000
    assert peak - least < MOST_MORE_MB, (peak, least)


def test_190_megabytes_are_published_and_fetched_from_a_presigned_url(clip: Path, s3_store: S3Store) -> None:
    with running_sandbox(fetch_links=True) as sandbox:
        peak_megabytes(
            model="glm-4v-plus-0111",
            base_url=f"bigmodel+{sandbox.base_url}",
            key=sandbox.key,
            clip=str(clip),
            options={},
            store=s3_store.options,
            target=f"s3://{s3_store.bucket}/today",
        )
        [record] = sandbox.log()
    [video] = record["media"]
    with clip.open("rb") as file:
        assert video["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    assert video["form"] == "url"
    assert record["bytes_in"] < 1000
