"""A question over a clip, and the frames its answer rests on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clip_maker import texture, write_clip
from tests.video.asker import Answers
from visionpipe.clips.load import load_video
from visionpipe.media import Video
from visionpipe.video.question import ask_clip, cited_numbers, without_citations


@pytest.fixture
def clip(tmp_path: Path) -> Video:
    video = load_video(write_clip(tmp_path / "clip.mp4", [texture(i // 25) for i in range(100)]))
    assert isinstance(video, Video)
    return video


def test_the_answer_names_pictures_and_the_container_their_times(clip: Video) -> None:
    asker = Answers(lambda prompt, media: "It wakes in the third one. [3, 9]")
    answer = ask_clip(clip, "When does it wake?", asker, max_images=8)
    assert len(answer.frames) == 4
    assert answer.reply.text == "It wakes in the third one."
    assert [str(f.time) for f in answer.rests_on] == ["0:00:02.480"]
    assert [n.detail for n in answer.reply.notes if n.kind == "rests_on"] == ["0:00:02.480"]
    prompt, media = asker.calls[0]
    assert prompt.endswith("When does it wake?")
    assert "3: 0:00:02.480" in prompt
    assert len(media) == 4
    assert "sampled" in [a.kind for a in answer.reply.adjustments]


def test_no_citation_is_no_evidence(clip: Video) -> None:
    answer = ask_clip(clip, "何时？", Answers(lambda p, m: "不知道。"), max_images=1, language="zh")
    assert answer.rests_on == ()
    assert len(answer.frames) == 1
    assert answer.reply.text == "不知道。"


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("a [1]", [1]),
        ("[2, 4] b", [2, 4]),
        ("【2，3】", [2, 3]),
        ("[2-4]", [2, 3, 4]),
        ("[pictures 1; 2]", [1, 2]),
        ("[x] (1)", []),
    ],
)
def test_citations(text: str, numbers: list[int]) -> None:
    assert cited_numbers(text) == numbers


@pytest.mark.parametrize(
    "text, left, numbers",
    [
        (
            "The plate reads [1984]; jersey [10]. Code a[0]. [2]",
            "The plate reads [1984]; jersey [10]. Code a[0].",
            [2],
        ),
        ("It wakes. [2], [3]", "It wakes.", [2, 3]),
        ("It wakes [2].", "It wakes.", [2]),
        ("它醒了【2、3】。", "它醒了。", [2, 3]),
        ("It wakes. [1-9]", "It wakes.", [1, 2, 3, 4]),
        ("It wakes. [pictures 2 and 4]", "It wakes.", [2, 4]),
        ("It says [9].", "It says [9].", []),
        ("It says [1-99999999999].", "It says [1-99999999999].", []),
        ("The list is a[2]", "The list is a[2]", []),
        ("See [jersey 2]", "See [jersey 2]", []),
        ("It [2] wakes and [3] goes.", "It [2] wakes and [3] goes.", [2, 3]),
        ("[2]", "[2]", [2]),
        ("", "", []),
    ],
)
def test_only_citations_as_asked_for_are_taken_out(text: str, left: str, numbers: list[int]) -> None:
    assert without_citations(text, 4) == (left, numbers)


@given(st.text(alphabet="[]【】0123456789,-–、 a.。", max_size=80), st.integers(1, 16))
def test_citations_name_pictures_that_were_shown(text: str, count: int) -> None:
    left, numbers = without_citations(text, count)
    assert all(1 <= n <= count for n in numbers)
    assert len(left) <= len(text)
