"""Publishing to a real S3-protocol server on loopback, to a folder, and by a function."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

import pytest

from tests.clip_maker import shade, write_clip
from tests.s3_store import S3Store
from visionpipe.clips.load import load_video
from visionpipe.errors import ConfigurationError, ConnectionFailedError, ParameterError, UnreadableSourceError
from visionpipe.media import Content, FileContent, Image, LinkedImage, MemoryContent, Video
from visionpipe.sources.publish import (
    FolderPublisher,
    FunctionPublisher,
    StorePublisher,
    publish_image,
    publish_video,
)

SUFFIX = "mp4"


def on_disk(path: Path, data: bytes) -> FileContent:
    path.write_bytes(data)
    found = path.stat()
    return FileContent(str(path), found.st_size, found.st_mtime_ns)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
        return body


@pytest.fixture
def options(s3_store: S3Store) -> dict[str, Any]:
    return s3_store.options


@pytest.fixture
def bucket(s3_store: S3Store) -> str:
    return s3_store.bucket


def test_what_is_published_is_fetched_from_a_presigned_url(
    tmp_path: Path, bucket: str, options: dict[str, Any]
) -> None:
    publisher = StorePublisher(f"s3://{bucket}/clips", options=options, expires_s=60)
    data = os.urandom(300_000)
    content = on_disk(tmp_path / "a.mp4", data)
    first = publisher.publish(content, SUFFIX)
    assert first.uploaded
    assert first.key == f"{bucket}/clips/{hashlib.sha256(data).hexdigest()}.mp4"
    assert "Signature" in first.url
    assert "xpires" in first.url
    assert fetched(first.url) == data
    assert (first.size, first.expires_s) == (300_000, 60)
    again = publisher.publish(MemoryContent(data), SUFFIX)
    assert (again.uploaded, again.key) == (False, first.key)
    publisher.remove(first)
    publisher.remove(first)
    with pytest.raises(urllib.error.HTTPError):
        fetched(again.url)
    assert publisher.publish(content, SUFFIX).uploaded


UPLOAD = """
import json, resource, sys
from pathlib import Path
from visionpipe.sources.publish import StorePublisher
from visionpipe.media import FileContent, MemoryContent

path, target, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
publisher = StorePublisher(target, options=options)
publisher.publish(MemoryContent(b"warm"), "mp4")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = path.stat()
published = publisher.publish(FileContent(str(path), found.st_size, found.st_mtime_ns), "mp4")
print(published.uploaded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_goes_up_in_constant_memory(
    tmp_path: Path, bucket: str, options: dict[str, Any]
) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(160 * 1024**2)
    command = [sys.executable, "-c", UPLOAD, str(path), f"s3://{bucket}", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    uploaded, growth_kib = done.stdout.split()
    assert uploaded == "True"
    assert int(growth_kib) < 64 * 1024


def test_sweeping_leaves_other_files_alone(tmp_path: Path, bucket: str, options: dict[str, Any]) -> None:
    now = [0.0]
    publisher = StorePublisher(f"s3://{bucket}/p", options=options, clock=lambda: now[0])
    one = publisher.publish(MemoryContent(b"one"), SUFFIX)
    import s3fs  # type: ignore[import-untyped]  # it ships no types

    store = s3fs.S3FileSystem(**options)
    store.pipe_file(f"{bucket}/p/mine.txt", b"keep")
    assert publisher.sweep(older_than_s=3600) == 0
    now[0] = store.modified(one.key).timestamp() + 3601
    assert publisher.sweep(older_than_s=3600) == 1
    assert [Path(p).name for p in store.find(f"{bucket}/p", refresh=True)] == ["mine.txt"]


def test_a_public_base_url_needs_no_signature(tmp_path: Path) -> None:
    publisher = StorePublisher(
        f"file://{tmp_path}/store", base_url="https://cdn.example.org/v/", options={"auto_mkdir": True}
    )
    published = publisher.publish(MemoryContent(b"data"), SUFFIX)
    name = hashlib.sha256(b"data").hexdigest() + ".mp4"
    assert published.url == f"https://cdn.example.org/v/{name}"
    assert (tmp_path / "store" / name).read_bytes() == b"data"


def test_stores_that_cannot(tmp_path: Path, options: dict[str, Any]) -> None:
    content: Content = MemoryContent(b"data")
    with pytest.raises(ConfigurationError, match="base_url"):
        StorePublisher(f"file://{tmp_path}/store", options={"auto_mkdir": True}).publish(content, SUFFIX)
    with pytest.raises(ConfigurationError, match="store"):
        StorePublisher("nosuchprotocol://x")
    with pytest.raises(ConfigurationError, match="bucket"):
        StorePublisher("s3://no-such-bucket-here", options=options).publish(content, SUFFIX)
    with pytest.raises(ParameterError):
        StorePublisher("s3://b", options=options, expires_s=0)


def test_a_folder_behind_a_web_server(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    (folder / "my clips").mkdir(parents=True)
    publisher = FolderPublisher(folder, "https://example.org/media/")
    inside = on_disk(folder / "my clips" / "a b.mp4", b"data")
    there = publisher.publish(inside, SUFFIX)
    assert there.url == "https://example.org/media/my%20clips/a%20b.mp4"
    publisher.remove(there)
    assert (folder / "my clips" / "a b.mp4").exists()

    outside = on_disk(tmp_path / "c.mp4", b"other")
    copied = publisher.publish(outside, SUFFIX)
    assert (copied.uploaded, publisher.publish(outside, SUFFIX).uploaded) == (True, False)
    assert (folder / copied.key).read_bytes() == b"other"
    publisher.remove(copied)
    assert not (folder / copied.key).exists()


def test_a_function_of_the_caller_s(tmp_path: Path) -> None:
    video = load_video(write_clip(tmp_path / "a.mp4", [shade(9)] * 3))
    assert isinstance(video, Video)
    seen: list[bytes] = []

    def upload(file: IO[bytes], suffix: str) -> str:
        seen.append(file.read())
        return f"https://x.org/1.{suffix}"

    publisher = FunctionPublisher(upload)
    link = publish_video(video, publisher)
    assert (link.url, link.size) == ("https://x.org/1.mp4", video.size)
    assert seen == [(tmp_path / "a.mp4").read_bytes()]
    image = Image("a.jpg", MemoryContent(b"jpeg"), "jpeg", 1, 1)
    assert publish_image(image, publisher) == LinkedImage("https://x.org/1.jpg")
    publisher.remove(publisher.publish(image.content, "jpg"))


def test_a_file_that_changed_is_not_published(tmp_path: Path) -> None:
    content = on_disk(tmp_path / "a.mp4", b"data")
    publisher = FolderPublisher(tmp_path / "www", "https://example.org")
    (tmp_path / "a.mp4").write_bytes(b"other data")
    with pytest.raises(UnreadableSourceError, match="changed"):
        publisher.publish(content, SUFFIX)
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(UnreadableSourceError, match=r"missing|gone|no such|does not exist"):
        publisher.publish(content, SUFFIX)


def test_a_store_out_of_reach_may_be_tried_later(options: dict[str, Any]) -> None:
    dead = {
        **options,
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 1}},
    }
    with pytest.raises(ConnectionFailedError) as failed:
        StorePublisher("s3://b", options=dead).publish(MemoryContent(b"data"), SUFFIX)
    assert failed.value.retryable
