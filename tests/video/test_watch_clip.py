"""A client's watching: whole where there is a way, within the model's limits, in the original's time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.clip_maker import texture, write_clip
from visionpipe.client import Client
from visionpipe.clips.load import load_video
from visionpipe.errors import MediaLimitError, ParameterError, UnsupportedError
from visionpipe.media import Video
from visionpipe.registry.records import VideoRules
from visionpipe.sources.publish import FolderPublisher
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox
from visionpipe.video.for_client import options_for, parts_within
from visionpipe.video.spans import WatchOptions

SMALL = """
[[model]]
id = "small-videos"
base = "glm-4.6v"
endpoints = ["bigmodel"]
[model.video]
below_bytes = {limit}
"""
NUMBERED = "\n".join(f"{number}: Scene number {number}." for number in range(1, 9))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight seconds, a cut every second, about 1.5 MB."""
    size = (320, 240)
    shots = [texture(second, size) for second in range(8)]
    pictures = [shots[number // 25] for number in range(200)]
    lossless = {"preset": "ultrafast", "qp": "0"}
    for number, picture in enumerate(pictures):
        pictures[number] = picture.copy()
        pictures[number][::2] = texture(100 + number, size)[::2] // 8 + picture[::2] // 8 * 7
    return write_clip(tmp_path / "clip.mp4", pictures, options=lossless, group=25)


def client_of(sandbox: SandboxHandle, catalog: Path | None = None) -> Client:
    model = "small-videos" if catalog else "glm-4.6v"
    base_url = f"bigmodel+{sandbox.base_url}"
    return Client(model, base_url=base_url, api_key=sandbox.key, catalog=catalog)


def test_a_model_that_takes_video_is_shown_the_clip_itself(clip: Path, tmp_path: Path) -> None:
    publisher = FolderPublisher(tmp_path, "https://clips.example")
    with running_sandbox(answers="script") as sandbox, client_of(sandbox) as client:
        sandbox.set_scenario({"answer": [{"text": NUMBERED}]})
        timeline = client.watch(clip, publisher=publisher)
        shown = [[item["kind"] for item in record["media"]] for record in sandbox.log()]
    assert [span.text for span in timeline.spans] == [f"Scene number {n}." for n in range(1, 9)]
    assert {span.seen_by for span in timeline.spans} == {"video"}
    assert shown == [["video"], []]


def test_over_the_limit_the_clip_is_refused_split_or_shown_by_frames(clip: Path, tmp_path: Path) -> None:
    limit = clip.stat().st_size // 3 + 400_000
    catalog = tmp_path / "own.toml"
    catalog.write_text(SMALL.format(limit=limit))
    with (
        running_sandbox(answers="script", lenient=True, overlay=catalog) as sandbox,
        client_of(sandbox, catalog) as client,
    ):
        sandbox.set_scenario({"answer": [{"text": NUMBERED}]})
        with pytest.raises(MediaLimitError) as caught:
            client.watch(clip, inline_video=True)
        assert "split" in caught.value.cure
        assert sandbox.stats()["requests"] == 0
        split = client.watch(clip, inline_video=True, over_limit="split")
        sent = [item for record in sandbox.log() for item in record["media"]]
        sandbox.reset()
        framed = client.watch(clip, inline_video=True, over_limit="frames")
        kinds = {item["kind"] for record in sandbox.log() for item in record["media"]}
    assert len(sent) > 1
    assert all(item["kind"] == "video" and item["size"] < limit for item in sent)
    for timeline in (split, framed):
        assert timeline.spans[0].start.exact == 0
        assert timeline.spans[-1].end == timeline.duration == load_video(clip).duration  # type: ignore[union-attr]  # a path is no link
        assert all(a.end == b.start for a, b in pairwise(timeline.spans))
    assert [round(span.start.exact * 25) for span in split.spans] == [25 * n for n in range(8)]
    assert kinds == {"image"}


def test_each_way_of_bringing_a_clip_within_the_limits(clip: Path, tmp_path: Path) -> None:
    video = load_video(clip)
    assert isinstance(video, Video)
    rules = VideoRules(below_bytes=video.size // 2)
    assert parts_within(video, VideoRules(), "refuse", tmp_path) == (video,)
    assert parts_within(video, rules, "frames", tmp_path) == ()
    [smaller] = parts_within(video, rules, "transcode", tmp_path)
    assert smaller.size < video.size // 2
    assert smaller.frame_count == video.frame_count
    matroska = write_clip(tmp_path / "other.mkv", [texture(n) for n in range(10)])
    moved = load_video(matroska)
    assert isinstance(moved, Video)
    [remuxed] = parts_within(moved, VideoRules(), "refuse", tmp_path / "moved")
    assert remuxed.container == "mp4"


def test_a_journal_file_saves_the_second_asking(clip: Path, tmp_path: Path) -> None:
    journal = tmp_path / "clip.journal"
    with running_sandbox() as sandbox, client_of(sandbox) as client:
        first = client.watch(clip, journal=journal)
        asked = sandbox.stats()["requests"]
        assert client.watch(clip, journal=journal).spans == first.spans
        assert sandbox.stats()["requests"] == asked
        client.watch(clip, journal=journal, temperature=0.1)
        assert sandbox.stats()["requests"] == 2 * asked


def test_a_linked_clip_has_no_timeline() -> None:
    with Client("glm-4.6v", plan_only=True) as client, pytest.raises(UnsupportedError, match="not known"):
        client.watch("https://clips.example/a.mp4")


def test_every_span_is_told_of_once(clip: Path) -> None:
    seen: list[int] = []
    with running_sandbox() as sandbox, client_of(sandbox) as client:
        timeline = client.watch(clip, on_span=lambda span: seen.append(span.index))
    assert sorted(seen) == list(range(len(timeline.spans)))


def test_what_is_wished_for_holds_and_more_than_the_model_takes_is_an_error() -> None:
    with Client("glm-4.6v", plan_only=True) as client:
        wished = WatchOptions(max_images=3, token_budget=1000, tokens_per_image=7)
        made = options_for(client.settings, wished)
        assert (made.max_images, made.token_budget, made.tokens_per_image) == (3, 1000, 7)
        open_ = options_for(client.settings)
        assert open_.tokens_per_image is not None
        assert open_.token_budget is not None
        with pytest.raises(ParameterError, match="wished for") as refused:
            options_for(client.settings, WatchOptions(token_budget=open_.token_budget + 1))
        assert refused.value.subject == "token_budget"
    with (
        Client("glm-4v-flash", plan_only=True) as one,
        pytest.raises(ParameterError, match="takes 1 pictures"),
    ):
        options_for(one.settings, WatchOptions(max_images=2))
    with pytest.raises(ParameterError):
        WatchOptions(max_images=0)


def test_what_no_copy_can_hold_is_re_encoded_where_that_is_allowed(tmp_path: Path) -> None:
    raw = load_video(Path(__file__).parents[1] / "clips" / "cases" / "raw.h264")
    assert isinstance(raw, Video)
    rules = VideoRules(below_bytes=10**6)
    with pytest.raises(UnsupportedError):
        parts_within(raw, rules, "refuse", tmp_path)
    assert parts_within(raw, rules, "frames", tmp_path) == ()
    [made] = parts_within(raw, rules, "transcode", tmp_path)
    assert (made.container, made.frame_count) == ("mp4", raw.frame_count)


def test_a_question_takes_a_clip_in_one_piece(clip: Path, tmp_path: Path) -> None:
    limit = clip.stat().st_size // 3 + 400_000
    catalog = tmp_path / "own.toml"
    catalog.write_text(SMALL.format(limit=limit))
    with running_sandbox(lenient=True, overlay=catalog) as sandbox, client_of(sandbox, catalog) as client:
        with pytest.raises(ParameterError, match=r"client\.watch"):
            client.ask("What?", clip, inline_video=True, over_limit="split")
        assert sandbox.stats()["requests"] == 0
