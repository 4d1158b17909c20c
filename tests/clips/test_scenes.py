"""Scenes: cuts where the clip was cut, none where it was not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.clip_maker import Picture, flat, shade, texture, write_clip
from visionpipe.clips.cuts import SceneRules
from visionpipe.clips.load import load_video
from visionpipe.clips.scenes import Scene, find_scenes
from visionpipe.media import Video

B_FRAMES = {"preset": "fast", "bf": "3", "b-pyramid": "normal", "crf": "18", "sc_threshold": "0"}
SIZE = (128, 96)


def scenes(path: Path, rules: SceneRules | None = None) -> tuple[Video, tuple[Scene, ...]]:
    video = load_video(path)
    assert isinstance(video, Video)
    found = find_scenes(video, rules)
    assert found[0].start.pts == 0
    assert found[-1].end == video.duration
    assert all(a.end == b.start for a, b in pairwise(found))
    return video, found


def starts(found: Sequence[Scene], rate: int = 25) -> list[int]:
    return [round(s.start.exact * rate) for s in found[1:]]


def moving(seed: int, count: int) -> list[Picture]:
    """A texture that moves a little from picture to picture."""
    still = texture(seed, (SIZE[0] * 2, SIZE[1]))
    return [np.ascontiguousarray(still[:, i * 2 : i * 2 + SIZE[0]]) for i in range(count)]


def faded(picture: Picture, towards: int, count: int) -> list[Picture]:
    levels = np.linspace(0, 1, count)
    return [np.asarray(picture * (1 - k) + towards * k, np.uint8) for k in levels]


CODINGS: dict[str, tuple[str, dict[str, str], int]] = {
    "plain.mp4": ("libx264", {"preset": "ultrafast"}, 12),
    "b_frames.mp4": ("libx264", B_FRAMES, 250),
    "b_frames.mkv": ("libx264", B_FRAMES, 250),
    "hevc.mp4": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}, 250),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, 250),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}, 30),
}


@pytest.mark.parametrize("name", CODINGS)
def test_hard_cuts_are_found_at_the_very_picture(tmp_path: Path, name: str) -> None:
    codec, options, group = CODINGS[name]
    pictures = moving(1, 23) + moving(2, 30) + moving(3, 19) + moving(4, 28)
    path = write_clip(tmp_path / name, pictures, codec=codec, options=options, group=group)
    _, found = scenes(path)
    assert starts(found) == [23, 53, 72]
    assert [s.begins_with for s in found] == [None, "hard", "hard", "hard"]


def test_a_static_clip_is_one_scene(tmp_path: Path) -> None:
    video, found = scenes(write_clip(tmp_path / "a.mp4", [shade(90)] * 100, rate=10))
    assert len(found) == 1
    assert found[0].seconds == (Fraction(0), Fraction(10))
    assert video.duration_s == 10


def test_one_picture_is_one_scene(tmp_path: Path) -> None:
    _, found = scenes(write_clip(tmp_path / "a.mp4", [shade(90)]))
    assert len(found) == 1


def test_motion_is_no_cut(tmp_path: Path) -> None:
    _, found = scenes(write_clip(tmp_path / "a.mp4", moving(5, 60), options=B_FRAMES))
    assert len(found) == 1


@pytest.mark.parametrize("colour", [0, 255])
def test_a_fade_parts_two_scenes_in_its_middle(tmp_path: Path, colour: int) -> None:
    one, two = texture(1, SIZE), texture(2, SIZE)
    pictures = [one] * 25 + faded(one, colour, 15) + [shade(colour, SIZE)] * 4
    pictures += faded(two, colour, 15)[::-1] + [two] * 25
    _, found = scenes(write_clip(tmp_path / "a.mp4", pictures, options=B_FRAMES))
    assert [s.begins_with for s in found] == [None, "fade"]
    assert starts(found)[0] in range(40, 45)
    _, without = scenes(tmp_path / "a.mp4", SceneRules(fades=False))
    assert len(without) == 1


def test_fading_in_at_the_start_and_out_at_the_end_parts_nothing(tmp_path: Path) -> None:
    one = texture(1, SIZE)
    pictures = [*faded(one, 0, 20)[::-1], *[one] * 30, *faded(one, 0, 20), *[shade(0, SIZE)] * 20]
    _, found = scenes(write_clip(tmp_path / "a.mp4", pictures))
    assert len(found) == 1


def test_a_cut_to_black_and_from_it_are_two_cuts(tmp_path: Path) -> None:
    pictures = [texture(1, SIZE)] * 25 + [shade(0, SIZE)] * 25 + [texture(2, SIZE)] * 25
    _, found = scenes(write_clip(tmp_path / "a.mp4", pictures))
    assert starts(found) == [25, 50]


def test_a_flash_is_no_cut(tmp_path: Path) -> None:
    pictures = moving(1, 30) + [shade(255, SIZE)] * 2 + moving(1, 60)[32:]
    _, found = scenes(write_clip(tmp_path / "a.mp4", pictures))
    assert len(found) == 1


def test_scenes_of_like_brightness_are_told_apart_by_colour(tmp_path: Path) -> None:
    pictures = [flat((200, 60, 60), SIZE)] * 25 + [flat((60, 130, 60), SIZE)] * 25
    _, found = scenes(write_clip(tmp_path / "a.mp4", pictures))
    assert starts(found) == [25]


def test_no_scene_is_shorter_than_asked_for(tmp_path: Path) -> None:
    pictures = [p for seed in range(10) for p in [texture(seed, SIZE)] * 10]
    path = write_clip(tmp_path / "a.mp4", pictures)
    _, found = scenes(path, SceneRules(min_length=0.3))
    assert starts(found) == list(range(10, 100, 10))
    _, longer = scenes(path, SceneRules(min_length=0.8))
    assert len(longer) > 1
    assert all(end - start >= Fraction(4, 5) for start, end in (s.seconds for s in longer))


def test_cuts_of_a_variable_rate_clip_are_in_its_own_time(tmp_path: Path) -> None:
    stamps = [i * 40 for i in range(25)] + [2000 + i * 100 for i in range(25)]
    path = write_clip(
        tmp_path / "a.mkv",
        [texture(1, SIZE)] * 25 + [texture(2, SIZE)] * 25,
        pts=stamps,
        time_base=Fraction(1, 1000),
    )
    _, found = scenes(path)
    assert [s.start.pts for s in found] == [0, 2000]


def test_times_count_from_the_first_picture(tmp_path: Path) -> None:
    _, found = scenes(write_clip(tmp_path / "a.ts", moving(1, 30) + moving(2, 30), options=B_FRAMES))
    assert starts(found) == [30]


def photo(name: str) -> Picture:
    """A sample photo at twice the size of a picture."""
    with Pillow.open(Path(__file__).parents[2] / "samples" / name) as image:
        return np.asarray(image.convert("RGB").resize((2 * SIZE[0], 2 * SIZE[1])), np.uint8)


def window(picture: Picture, x: int, y: int = 48) -> Picture:
    return np.ascontiguousarray(picture[y : y + SIZE[1], x : x + SIZE[0]])


def between(kind: str, one: Picture, two: Picture, share: float) -> Picture:
    """On the way from one picture to the next."""
    if kind == "dissolve":
        return np.asarray(one * (1 - share) + two * share, np.uint8)
    edge = round(share * (SIZE[0] if kind == "wipe" else SIZE[1]))
    if kind == "wipe":
        return np.concatenate([two[:, :edge], one[:, edge:]], axis=1)
    return np.concatenate([one[: SIZE[1] - edge], two[SIZE[1] - edge :]], axis=0)


@pytest.mark.parametrize("kind", ["dissolve", "wipe", "upwards"])
@pytest.mark.parametrize("length", [10, 17, 25])
def test_a_gradual_change_is_a_cut_in_its_middle(tmp_path: Path, kind: str, length: int) -> None:
    cat, house = photo("chelsea.png"), photo("china.jpg")
    pictures = [window(cat, 30 + i // 3) for i in range(40)]
    pictures += [
        between(kind, window(cat, 43 + i // 3), window(house, 50), (i + 1) / (length + 1))
        for i in range(length)
    ]
    pictures += [window(house, 50)] * 40
    path = write_clip(tmp_path / "a.mp4", pictures, options=B_FRAMES)
    _, found = scenes(path)
    assert [s.begins_with for s in found] == [None, "gradual"]
    assert abs(starts(found)[0] - (40 + length / 2)) <= 4
    _, without = scenes(path, SceneRules(gradual=False))
    assert len(without) == 1


def pan(step: float) -> list[Picture]:
    house = photo("china.jpg")
    places = [abs((i * step + 128) % 256 - 128) for i in range(90)]
    return [window(house, round(place)) for place in places]


def whip_pan() -> list[Picture]:
    house = photo("china.jpg")
    return [window(house, max(0, min(128, (i - 40) * 13))) for i in range(90)]


def shaken() -> list[Picture]:
    flower = photo("flower.jpg")
    walk = np.cumsum(np.random.default_rng(3).normal(0, 4, (90, 2)), axis=0).clip(-40, 40)
    return [window(flower, 64 + round(x), 48 + round(y)) for x, y in walk]


def lamp() -> list[Picture]:
    cat = window(photo("chelsea.png"), 60)
    return [np.asarray(cat * min(1.0, max(0.3, (i - 30) / 15)), np.uint8) for i in range(90)]


def flashes() -> list[Picture]:
    cat = window(photo("chelsea.png"), 60)
    bright = {20: 1.8, 50: 2.4, 51: 1.8, 52: 1.3, 75: 2.2, 76: 2.2}
    return [np.asarray((cat * bright.get(i, 1.0)).clip(0, 255), np.uint8) for i in range(90)]


NO_CUT = {
    "slow pan": lambda: pan(0.7),
    "pan": lambda: pan(2),
    "quick pan": lambda: pan(6),
    "whip pan": whip_pan,
    "handheld": shaken,
    "lamp": lamp,
    "flashes": flashes,
}


@pytest.mark.parametrize("name", NO_CUT)
def test_what_is_taken_for_a_gradual_change_is_none(tmp_path: Path, name: str) -> None:
    _, found = scenes(write_clip(tmp_path / "a.mp4", NO_CUT[name](), options=B_FRAMES))
    assert starts(found) == []
