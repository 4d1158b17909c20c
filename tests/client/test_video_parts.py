"""Clips among the sources: what is refused before a byte is sent, what is sent, and in which form."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clip_maker import shade, texture, write_clip
from tests.s3_store import S3Store
from visionpipe.client import AsyncClient, Client
from visionpipe.client.preparation import Preparer
from visionpipe.clips.load import load_video
from visionpipe.errors import BadImageError, BadVideoError, MediaLimitError, UnsupportedError
from visionpipe.media import Image, LinkedImage, LinkedVideo, Text, Video
from visionpipe.sources.publish import FolderPublisher, StorePublisher
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

LIMIT = 200 * 1024**2
TAKES_VIDEO = "glm-4.6v"
VIDEO_FIRST = "glm-4v-plus-0111"
NO_VIDEO = "glm-4v-flash"
SMALL_VIDEOS = "glm-4v-plus"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four seconds in two scenes."""
    first, second = [texture(1)] * 50, [texture(2)] * 50
    return write_clip(tmp_path / "clip.mp4", [*first, *second])


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(lenient=True) as running:
        yield running


def client_of(sandbox: SandboxHandle, model: str = TAKES_VIDEO) -> Client:
    return Client(model, base_url=f"bigmodel+{sandbox.base_url}", api_key=sandbox.key)


def planning(model: str) -> Client:
    return Client(model, plan_only=True)


def padded(path: Path, size: int) -> Path:
    """The clip with a sparse ``free`` box at its end, so that it has ``size`` bytes and still plays."""
    rest = size - path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(rest.to_bytes(4, "big") + b"free")
        file.truncate(size)
    return path


def test_the_largest_clip_is_accepted_and_the_next_refused_before_a_byte_is_sent(
    sandbox: SandboxHandle, clip: Path, tmp_path: Path
) -> None:
    padded(clip, LIMIT - 1)
    publisher = FolderPublisher(tmp_path, "https://clips.example")
    with client_of(sandbox) as client:
        prepared = client.prepare("What happens?", clip, inline_video=True)
        assert prepared.media == (load_video(clip),)
        client.ask("What happens?", clip, publisher=publisher)
        [record] = sandbox.log()
        assert [item["link"] for item in record["media"]] == ["https://clips.example/clip.mp4"]

        padded(clip, LIMIT + 8)
        os.truncate(clip, LIMIT)
        for options in ({"publisher": publisher}, {"inline_video": True}):
            with pytest.raises(MediaLimitError, match="209,715,200 bytes") as caught:
                client.ask("What happens?", clip, **options)
            assert caught.value.code == "video_bytes"
            assert all(way in caught.value.cure for way in ("frames", "split", "transcode"))
    assert sandbox.stats()["requests"] == 1


@pytest.mark.parametrize("model", [NO_VIDEO, "visionpipe-local"])
def test_a_model_without_video_is_not_sent_any(clip: Path, model: str) -> None:
    base_url = "embedded" if model == "visionpipe-local" else None
    with (
        Client(model, plan_only=True, base_url=base_url) as client,
        pytest.raises(UnsupportedError, match="takes no video") as caught,
    ):
        client.prepare("What happens?", clip)
    assert "over_limit='frames'" in caught.value.cure
    assert caught.value.subject == str(clip)


def test_the_clip_is_the_first_part_whatever_was_given_first(sandbox: SandboxHandle, clip: Path) -> None:
    with client_of(sandbox, VIDEO_FIRST) as client:
        request = client.prepare("Why?", clip, inline_video=True).single("request")
        assert [type(part) for part in request.messages[-1].parts] == [Video, Text]
        linked = client.prepare("Why?", "https://clips.example/a.MP4?sign=1").single("request")
        assert linked.messages[-1].parts[0] == LinkedVideo("https://clips.example/a.MP4?sign=1")
        client.ask("Why?", clip, inline_video=True)
    [record] = sandbox.log()
    assert [(item["kind"], item["size"]) for item in record["media"]] == [("video", clip.stat().st_size)]


def test_a_file_needs_a_way_to_the_service(clip: Path) -> None:
    with planning(TAKES_VIDEO) as client, pytest.raises(UnsupportedError, match="by its link") as caught:
        client.prepare("What happens?", clip)
    for way in ("publisher", "over_limit='frames'", "client.watch", "inline_video=True"):
        assert way in caught.value.cure


@pytest.mark.parametrize("form", ["path", "text", "bytes", "file", "data_uri", "value"])
def test_a_clip_is_told_by_its_content(clip: Path, form: str) -> None:
    nameless = clip.rename(clip.with_suffix(".dat"))
    data = nameless.read_bytes()
    sources: dict[str, Any] = {
        "path": nameless,
        "text": str(nameless),
        "bytes": data,
        "data_uri": f"data:video/mp4;base64,{base64.b64encode(data).decode()}",
        "value": load_video(nameless),
    }
    with planning(TAKES_VIDEO) as client, nameless.open("rb") as file:
        source = file if form == "file" else sources[form]
        [video] = client.prepare("What?", source, inline_video=True).media
    assert isinstance(video, Video)
    assert (video.container, video.frame_count, video.size) == ("mp4", 100, len(data))


def test_what_is_neither_image_nor_clip_stays_an_error(tmp_path: Path) -> None:
    text, empty = tmp_path / "notes.mp4", tmp_path / "empty.mp4"
    text.write_text("not a clip")
    empty.write_bytes(b"")
    with planning(TAKES_VIDEO) as client:
        with pytest.raises(BadImageError):
            client.prepare("What?", text)
        with pytest.raises(BadVideoError):
            client.prepare("What?", empty)


def test_frames_stand_in_for_a_clip_and_the_answer_says_which_it_rests_on(clip: Path) -> None:
    with running_sandbox(answers="script") as sandbox, client_of(sandbox) as client:
        sandbox.set_scenario({"answer": [{"text": "In the second half. [3, 4]"}]})
        prepared = client.prepare("When does it change?", clip, over_limit="frames")
        assert [part.format for part in prepared.media if isinstance(part, Image)] == ["jpeg"] * 4
        times = [str(frame.time) for frame in prepared.frames]
        reply = client.send(prepared)
        [record] = sandbox.log()
    assert times == ["0:00:00.480", "0:00:01.480", "0:00:02.480", "0:00:03.480"]
    assert reply.text == "In the second half."
    assert [(n.kind, n.detail) for n in reply.notes] == [("rests_on", "0:00:02.480, 0:00:03.480")]
    assert {a.kind for a in reply.adjustments} == {"sampled"}
    assert [item["kind"] for item in record["media"]] == ["image"] * 4


def test_a_model_of_one_image_gets_one_sheet(clip: Path) -> None:
    with planning(NO_VIDEO) as client:
        prepared = client.prepare("What?", clip, over_limit="frames")
    assert (len(prepared.media), len(prepared.frames)) == (1, 4)
    assert {a.kind for a in prepared.adjustments} >= {"sampled", "contact_sheet"}


def test_the_embedded_engine_gets_one_frame(clip: Path) -> None:
    with Client(base_url="embedded") as client:
        assert len(client.prepare("What?", clip, over_limit="frames").media) == 1
        assert client.ask("What?", clip, over_limit="frames").local


def test_a_clip_in_another_container_is_moved_to_one_that_the_model_takes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", [shade(n) for n in range(25)])
    with planning(VIDEO_FIRST) as client:
        prepared = client.prepare("What?", clip, inline_video=True)
        [video] = prepared.media
        assert isinstance(video, Video)
        assert video.container == "mp4"
        assert "converted" in [a.kind for a in prepared.adjustments]
        with pytest.raises(UnsupportedError, match="the container is mkv"):
            client.prepare("What?", clip, inline_video=True, repair=False)


def test_seconds_over_the_models_are_refused_and_shown_by_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", [shade(n * 7) for n in range(31)], rate=1)
    with planning(SMALL_VIDEOS) as client:
        with pytest.raises(MediaLimitError, match="may last 30 s"):
            client.prepare("What?", clip, inline_video=True)
        assert len(client.prepare("What?", clip, inline_video=True, over_limit="frames").frames) == 5


def test_a_clip_that_is_too_large_is_made_smaller_where_that_is_allowed(tmp_path: Path) -> None:
    clip = padded(write_clip(tmp_path / "clip.mp4", [texture(n) for n in range(10)]), 20 * 1024**2)
    with planning(SMALL_VIDEOS) as client:
        prepared = client.prepare("What?", clip, inline_video=True, over_limit="transcode")
        [video] = prepared.media
        assert isinstance(video, Video)
        assert video.size < 20 * 1024**2
    assert "re-encoded" in [a.kind for a in prepared.adjustments]


def test_a_links_size_is_asked_for_only_on_request(sandbox: SandboxHandle) -> None:
    link = "https://clips.example/large.mp4"
    asked: list[str] = []

    def content_length(url: str, *, timeout_s: float, allow_private: bool) -> int | None:
        asked.append(url)
        return LIMIT

    with planning(TAKES_VIDEO) as client:
        preparer = Preparer(client.settings, content_length=content_length)
        assert preparer.prepare("What?", [link], {}).media == (LinkedVideo(link),)
        assert asked == []
        with pytest.raises(MediaLimitError, match="209,715,200"):
            preparer.prepare("What?", [link], {"probe_links": True})
    assert asked == [link]


def test_a_link_cannot_be_shown_by_frames() -> None:
    with (
        planning(NO_VIDEO) as client,
        pytest.raises(UnsupportedError, match="frames cannot be made of a link"),
    ):
        client.prepare("What?", LinkedVideo("https://clips.example/a"), over_limit="frames")


def test_what_a_store_was_given_the_service_fetches_whole(clip: Path, s3_store: S3Store) -> None:
    publisher = StorePublisher(f"s3://{s3_store.bucket}/today", options=s3_store.options, expires_s=60)
    photo = jpeg_bytes(40, 30)
    with running_sandbox(fetch_links=True, url_only=True) as sandbox:
        with client_of(sandbox, VIDEO_FIRST) as client:
            reply = client.ask("What happens?", clip, publisher=publisher)
            client.ask("What is it?", photo, publisher=publisher, model=NO_VIDEO)
        fetched, image = (item for record in sandbox.log() for item in record["media"])
    assert fetched["form"] == image["form"] == "url"
    assert "?" not in fetched["link"]
    assert fetched["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert image["sha256"] == hashlib.sha256(photo).hexdigest()
    assert [a.kind for a in reply.adjustments] == ["published"]


def test_nothing_is_published_before_the_call_is_checked(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "public"
    publisher = FolderPublisher(folder, "https://clips.example")
    with planning(TAKES_VIDEO) as client, pytest.raises(UnsupportedError, match="one kind at a time"):
        client.prepare("What?", clip, jpeg_bytes(8, 8), publisher=publisher)
    assert not folder.exists()


def test_images_go_out_as_links_where_the_model_wants_them(tmp_path: Path) -> None:
    publisher = FolderPublisher(tmp_path / "public", "https://pictures.example")
    with planning(NO_VIDEO) as client:
        prepared = client.prepare("What?", jpeg_bytes(8, 8), publisher=publisher)
    [link] = prepared.media
    assert isinstance(link, LinkedImage)
    assert [a.kind for a in prepared.adjustments] == ["published"]


def test_watching_and_asking_with_both_clients(sandbox: SandboxHandle, clip: Path) -> None:
    async def awaited() -> tuple[Any, Any, Any]:
        async with AsyncClient(
            TAKES_VIDEO, base_url=f"bigmodel+{sandbox.base_url}", api_key=sandbox.key
        ) as client:
            return (
                await client.watch(clip),
                await client.ask_clip("What?", clip),
                await client.ask("What?", clip, over_limit="frames"),
            )

    with client_of(sandbox) as client:
        plain = (
            client.watch(clip),
            client.ask_clip("What?", clip),
            client.ask("What?", clip, over_limit="frames"),
        )
    timeline, answer, reply = asyncio.run(awaited())
    assert plain[0].spans == timeline.spans
    assert plain[1].frames == answer.frames
    assert plain[2].text == reply.text
    assert timeline.spans[0].start.exact == 0
    assert timeline.spans[-1].end == timeline.duration


def test_a_conversation_goes_on_about_its_clip(sandbox: SandboxHandle, clip: Path, tmp_path: Path) -> None:
    publisher = FolderPublisher(tmp_path, "https://clips.example")
    with client_of(sandbox) as client:
        talk = client.conversation(publisher=publisher)
        talk.ask("What happens?", clip)
        talk.ask("And then?")
        talk.save(tmp_path / "talk.json")
        again = client.conversation(load=tmp_path / "talk.json")
        again.ask("At last?")
    links = [[item["link"] for item in record["media"]] for record in sandbox.log()]
    assert links == [["https://clips.example/clip.mp4"]] * 3


def test_many_clips_at_once_and_one_given_up(clip: Path) -> None:
    async def main(sandbox: SandboxHandle) -> tuple[list[int], str]:
        base_url = f"bigmodel+{sandbox.base_url}"
        async with AsyncClient(TAKES_VIDEO, base_url=base_url, api_key=sandbox.key) as client:
            # More than asyncio has threads to lend, so that none of them may wait for another.
            told = await asyncio.gather(*(client.watch(clip) for _ in range(12)))
            sandbox.set_scenario({"rule": [{"fault": {"kind": "hold"}}]})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.watch(clip), 0.5)
            sandbox.set_scenario({})
            return [len(timeline.spans) for timeline in told], (await client.ask("Still there?")).text

    with running_sandbox() as sandbox:
        spans, text = asyncio.run(main(sandbox))
    assert spans == [2] * 12
    assert text
