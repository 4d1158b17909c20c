"""Places in stores wherever a path may stand, and what is missing for one named at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import s3fs  # type: ignore[import-untyped]  # it ships no types

from tests.cli.commands import Here, here
from tests.loopback import Answer, Loopback, Seen
from tests.s3_store import S3Store
from visionpipe.errors import ConfigurationError, UnreadableSourceError, VisionPipeError
from visionpipe.files.stores import Store, open_store
from visionpipe.images.load import load_image
from visionpipe.media import Image, MemoryContent
from visionpipe.sources.find import Source
from visionpipe.sources.publish import StorePublisher
from visionpipe.sources.shards import Unit, items_of
from visionpipe.testing.images import jpeg_bytes

PHOTO = jpeg_bytes(40, 30)
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


@pytest.fixture
def bucket(s3_store: S3Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Store, dict[str, str]]]:
    """Its address, the store, and the environment in which an address is enough."""
    words = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    words["AWS_ENDPOINT_URL"] = str(s3_store.options["endpoint_url"])
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{s3_store.bucket}"
    yield address, open_store(address), words


def test_a_picture_of_a_store_is_loaded_by_its_address(bucket: tuple[str, Store, dict[str, str]]) -> None:
    address, store, _ = bucket
    store.put("a/b.jpg", PHOTO)
    image = load_image(f"{address}/a/b.jpg")
    assert isinstance(image, Image)
    assert (image.width, image.height, image.name) == (40, 30, f"{address}/a/b.jpg")
    with pytest.raises(UnreadableSourceError, match="no such file or bucket"):
        load_image(f"{address}/a/c.jpg")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "the store knows no credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "out of reach"),
    ],
)
def test_an_environment_that_is_set_right_afterwards_is_seen(
    wrong: dict[str, str | None], words: str, s3_store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    right["AWS_ENDPOINT_URL"] = str(s3_store.options["endpoint_url"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = f"s3://{s3_store.bucket}/"
    picture = MemoryContent(PHOTO)
    # As one that was left by somebody else in this process.
    s3fs.S3FileSystem.clear_instance_cache()
    for name, value in (right | wrong).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    for ask in (
        lambda: open_store(address).put("a", PHOTO),
        lambda: StorePublisher(address).publish(picture, "jpg"),
    ):
        with pytest.raises(VisionPipeError, match=words):
            ask()
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    store = open_store(address)
    store.put("a", PHOTO)
    assert store.read("a") == PHOTO
    assert StorePublisher(address).publish(picture, "jpg").uploaded


def test_describe_and_video_take_places_in_a_store(
    bucket: tuple[str, Store, dict[str, str]], run: Here, tmp_path: Path
) -> None:
    address, store, env = bucket
    store.put("cat.png", (SAMPLES / "chelsea.png").read_bytes())
    store.put("clips/bunny.mp4", (SAMPLES / "bigbuckbunny.mp4").read_bytes())
    store.put("clips/notes.txt", b"x")
    done = run("describe", f"{address}/cat.png", folder=tmp_path, env=env)
    assert "a cat" in done.stdout
    done = run("video", f"{address}/clips/", "-o", "bunny.srt", folder=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "1 clip: 1 done" in done.stdout + done.stderr
    assert (tmp_path / "bunny.srt").exists()
    done = run("video", f"{address}/clips/none.mp4", folder=tmp_path, env=env)
    assert done.returncode == 1
    assert "no such file" in done.stderr


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [
        ("gs://b/o/", "gcsfs", "cloud"),
        ("s3://b/o/", "s3fs", "cloud"),
        ("hf://datasets/o/d/", "huggingface_hub", "hf"),
    ],
)
def test_a_store_whose_package_is_missing_names_its_extra(address: str, package: str, extra: str) -> None:
    from fsspec.registry import (  # type: ignore[import-untyped]  # it ships no types
        _registry,
    )

    scheme = address.partition(":")[0]
    with (
        patch.dict(_registry, {}, clear=False),
        patch.dict("sys.modules", {package: None}),
        pytest.raises(ConfigurationError) as met,
    ):
        _registry.pop(scheme, None)
        open_store(address)
    assert met.value.code == "missing_extra"
    assert f"[{extra}]" in str(met.value.cure)


def test_a_store_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(VisionPipeError, match="cannot be used"):
        open_store("nowhere://b/")


def test_a_store_of_this_process_is_read_and_written() -> None:
    store = open_store("memory://here/")
    assert store.put("a.txt", b"1")
    assert not store.put("a.txt", b"2", new=True)
    with store.writing("b.txt") as file:
        file.write(b"3")
    with pytest.raises(ZeroDivisionError), store.writing("c.txt") as file:
        file.write(b"4")
        raise ZeroDivisionError
    assert {found.name: store.read(found.name) for found in store.find()} == {"a.txt": b"1", "b.txt": b"3"}


def test_a_data_set_of_hugging_face_is_read_as_a_folder_is(loopback: Loopback) -> None:
    file = {"type": "file", "path": "data/a.jpg", "size": len(PHOTO), "oid": "0a1b"}
    headers = {"content-type": "application/json"}

    def hub(seen: Seen) -> Answer:
        if "/resolve/" in seen.path:
            return Answer(body=PHOTO, headers={"etag": '"0a1b"', "x-repo-commit": "f" * 40})
        if "/tree/" in seen.path:
            return Answer(body=json.dumps([file]).encode(), headers=headers)
        return Answer(body=json.dumps({"id": "o/d", "sha": "f" * 40}).encode(), headers=headers)

    loopback.script(answer=hub)
    address = "hf://datasets/o/d/data"
    store = open_store(address, {"endpoint": loopback.url, "token": False})
    (one,) = items_of([Unit(address, store, "")])
    assert isinstance(one, Source)
    assert (one.name, one.version, one.image.read()) == (f"{address}/a.jpg", "0a1b", PHOTO)
