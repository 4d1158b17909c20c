"""A clip becomes a timeline: the container's times, the model's words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clip_maker import shade, texture, write_clip
from tests.video.asker import Answers
from visionpipe.clips.load import load_video
from visionpipe.errors import AuthenticationError, ContentPolicyError, ParameterError, ServerError
from visionpipe.media import Image, LinkedVideo, Media, Video
from visionpipe.reply import Reply
from visionpipe.values import Money, Timecode, Usage
from visionpipe.video.spans import SqliteSpanJournal, WatchOptions, WholeClip
from visionpipe.video.timeline import Span, Timeline
from visionpipe.video.watch import watch


def loaded(path: Path) -> Video:
    video = load_video(path)
    assert isinstance(video, Video)
    return video


@pytest.fixture
def clip(tmp_path: Path) -> Video:
    """4 s: three scenes, cut at 1 s and at 2 s."""
    pictures = [p for seed, count in [(1, 25), (2, 25), (3, 50)] for p in [texture(seed)] * count]
    return loaded(write_clip(tmp_path / "clip.mp4", pictures))


def covers(timeline: Timeline) -> bool:
    spans = timeline.spans
    return (
        spans[0].start.pts == 0
        and spans[-1].end == timeline.duration
        and all(a.end == b.start for a, b in pairwise(spans))
    )


def test_times_from_the_container_words_from_the_model(clip: Video) -> None:
    asker = Answers()
    timeline = watch(clip, asker, WatchOptions(max_images=4))
    assert covers(timeline)
    assert [str(s.start) for s in timeline.spans] == ["0:00:00.000", "0:00:01.000", "0:00:02.000"]
    assert [s.text for s in timeline.spans] == ["words 1", "words 2", "words 3"]
    assert timeline.summary == "words 4"
    assert timeline.usage == Usage(40, 8)
    assert timeline.cost == Money(Decimal("0.04"), "CNY")
    assert (timeline.model, timeline.local) == ("a-model", False)
    assert all(s.start <= f < s.end for s in timeline.spans for f in s.frames)
    summing, media = asker.calls[-1]
    assert media == ()
    assert "0:00:01.000 - 0:00:02.000: words 2" in summing
    assert Timeline.from_json(json.loads(json.dumps(timeline.to_json()))) == timeline


def test_as_many_frames_as_the_model_takes(clip: Video) -> None:
    for max_images, sheets, shown in [
        (8, False, 4),
        (2, False, 2),
        (1, False, 1),
        (1, True, 1),
        (None, False, 4),
    ]:
        asker = Answers()
        options = WatchOptions(
            max_images=max_images, sheets=sheets, frames_per_second=2, longest=9, summary=False
        )
        timeline = watch(clip, asker, options)
        assert len(asker.calls[-1][1]) == shown
        assert timeline.spans[-1].seen_by == ("sheet" if sheets else "frames")
        assert len(timeline.spans[-1].frames) == (4 if sheets else shown)


def test_the_token_budget_is_kept(clip: Video) -> None:
    asker = Answers()
    watch(
        clip, asker, WatchOptions(max_images=9, frames_per_second=9, tokens_per_image=100, token_budget=250)
    )
    assert [len(media) for _, media in asker.calls[:3]] == [2, 2, 2]


def test_a_still_clip_has_a_frame_in_every_span(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "still.mkv", [shade(90)] * 2, pts=[0, 9], rate=1)
    timeline = watch(loaded(path), Answers(), WatchOptions(longest=2.5))
    assert covers(timeline)
    assert len(timeline.spans) == 4
    assert all(len(s.frames) >= 1 for s in timeline.spans)


def test_one_picture_is_one_span_and_its_own_summary(tmp_path: Path) -> None:
    asker = Answers()
    timeline = watch(loaded(write_clip(tmp_path / "one.mp4", [shade(90)])), asker)
    assert len(timeline.spans) == len(asker.calls) == 1
    assert timeline.summary == "words 1"


def test_chinese_prompts(clip: Video) -> None:
    asker = Answers()
    watch(clip, asker, WatchOptions(language="zh"))
    assert all("请用" in prompt for prompt, _ in asker.calls)


def test_the_embedded_engine_is_not_asked_to_sum_up(clip: Video) -> None:
    asker = Answers(local=True)
    timeline = watch(clip, asker)
    assert len(asker.calls) == 3
    assert timeline.local
    assert timeline.summary == "3 spans: words 1 words 2 words 3"


def test_a_long_summary_goes_by_groups(clip: Video) -> None:
    asker = Answers()
    watch(clip, asker, WatchOptions(longest=0.5, max_images=1, summary_characters=80))
    spans = [prompt for prompt, media in asker.calls if media]
    summing = [prompt for prompt, media in asker.calls if not media]
    assert len(spans) == 8
    assert len(summing) >= 3
    assert all(len(prompt) < 400 for prompt in summing)


def test_several_at_once_give_the_same_timeline(clip: Video) -> None:
    def say(prompt: str, media: Sequence[Media]) -> str:
        return media[0].name if media else "summary"

    one = watch(clip, Answers(say), WatchOptions(longest=0.2))
    many = watch(clip, Answers(say), WatchOptions(longest=0.2, concurrency=4))
    assert many == one


def failing(error: Exception, on: int) -> tuple[Answers, list[int]]:
    count = [0]

    def say(prompt: str, media: Sequence[Media]) -> str:
        count[0] += 1
        if count[0] == on or on == 0:
            raise error
        return f"words {count[0]}"

    return Answers(say), count


def test_a_span_that_fails_keeps_its_place(clip: Video) -> None:
    error = ContentPolicyError("refused", cure="Leave it out.")
    timeline = watch(clip, failing(error, on=2)[0])
    assert covers(timeline)
    assert [s.text for s in timeline.spans] == ["words 1", "", "words 3"]
    (failed,) = timeline.failed
    assert failed.failure is not None
    assert failed.failure.error == "ContentPolicyError"
    assert Timeline.from_json(timeline.to_json()) == timeline


def test_what_would_fail_every_span_stops_the_clip(clip: Video) -> None:
    asker, count = failing(AuthenticationError("wrong key", cure="Check it."), on=1)
    with pytest.raises(AuthenticationError):
        watch(clip, asker)
    assert count == [1]
    for concurrency in (1, 2):
        with pytest.raises(ServerError):
            watch(
                clip,
                failing(ServerError("down", cure="Wait."), on=0)[0],
                WatchOptions(concurrency=concurrency),
            )


def test_finished_spans_are_not_asked_again(clip: Video, tmp_path: Path) -> None:
    error = ContentPolicyError("refused", cure="Leave it out.")
    options = WatchOptions(longest=0.5, identity="m")
    with SqliteSpanJournal(tmp_path / "j.sqlite") as journal:
        first = watch(clip, failing(error, on=3)[0], options, journal=journal)
    told: list[Span] = []
    with SqliteSpanJournal(tmp_path / "j.sqlite") as journal:
        asker = Answers(lambda prompt, media: "again")
        second = watch(clip, asker, options, journal=journal, on_span=told.append)
        third = watch(clip, nobody := Answers(), options, journal=journal)
    assert [len(media) for _, media in asker.calls] == [1, 0]
    expected = [s.text if s.index != 2 else "again" for s in first.spans]
    assert [s.text for s in second.spans] == expected
    assert sorted(s.index for s in told) == list(range(8))
    assert nobody.calls == []
    assert third.spans == second.spans
    assert third.summary == second.summary


def test_another_model_or_clip_is_asked_anew(clip: Video, tmp_path: Path) -> None:
    with SqliteSpanJournal(tmp_path / "j.sqlite") as journal:
        for identity, calls in [("a", 4), ("a", 0), ("b", 4)]:
            asker = Answers()
            watch(clip, asker, WatchOptions(identity=identity), journal=journal)
            assert len(asker.calls) == calls
        other = loaded(write_clip(tmp_path / "other.mp4", [texture(9)] * 100))
        watch(other, asker := Answers(), WatchOptions(identity="a"), journal=journal)
        assert asker.calls


KILLED = """
import os, sys
from pathlib import Path
from visionpipe.clips.load import load_video
from visionpipe.reply import Reply
from visionpipe.video.spans import WatchOptions
from visionpipe.video.spans import SqliteSpanJournal
from visionpipe.video.watch import watch

clip, journal, log, die_after = sys.argv[1:]
asked = 0

def ask(prompt, media, /):
    global asked
    if media:
        with open(log, "a") as out:
            out.write(media[0].name + "\\n")
        if asked == int(die_after):
            os._exit(9)
        asked += 1
    return Reply("words", "m")

with SqliteSpanJournal(Path(journal)) as kept:
    timeline = watch(load_video(clip), ask, WatchOptions(longest=0.1), journal=kept)
print(len(timeline.spans), all(s.text for s in timeline.spans))
"""


def test_killed_in_the_middle_of_sixty_spans_and_started_again(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [texture(i // 75) for i in range(150)])
    log = tmp_path / "asked.txt"

    def run(die_after: int) -> subprocess.CompletedProcess[str]:
        arguments = [str(clip), str(tmp_path / "j.sqlite"), str(log), str(die_after)]
        command = [sys.executable, "-c", KILLED, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
        )

    assert run(27).returncode == 9
    assert len(log.read_text().splitlines()) == 28
    again = run(10_000)
    assert again.stdout.split() == ["60", "True"], again.stderr
    asked = log.read_text().splitlines()
    # Only the one that was being asked when the run was killed is asked twice.
    assert len(asked) == 61
    assert asked[27] == asked[28]
    assert len(set(asked)) == 60


def test_a_video_model_is_asked_once_and_its_gaps_by_frames(clip: Video) -> None:
    def say(prompt: str, media: Sequence[Media]) -> str:
        if media and isinstance(media[0], LinkedVideo):
            return "1: A first thing.\n0:02 - 0:04 A last thing.\n0:30 Something else."
        return "by frames" if media else "summary"

    asker = Answers(say)
    whole = WholeClip((clip,), lambda part: LinkedVideo("https://example.org/" + Path(part.name).name))
    timeline = watch(clip, asker, whole=whole)
    assert [(s.text, s.seen_by) for s in timeline.spans] == [
        ("A first thing.", "video"),
        ("by frames", "frames"),
        ("A last thing.", "video"),
    ]
    assert covers(timeline)
    assert [n.kind for n in timeline.spans[2].notes] == ["time_snapped"]
    assert [n.kind for n in timeline.notes] == ["time_outside_clip", "not_told"]
    assert asker.calls[0][1] == (LinkedVideo("https://example.org/clip.mp4"),)
    assert "2: 0:00:01.000 - 0:00:02.000" in asker.calls[0][0]
    assert isinstance(asker.calls[1][1][0], Image)
    assert timeline.cost == Money(Decimal("0.03"), "CNY")


def test_parts_are_told_in_their_own_time_and_land_in_the_original_s(clip: Video) -> None:
    parts = (
        replace(clip, name="part 1", duration_s=1.5),
        replace(clip, name="part 2", duration_s=2.5, offset=Timecode.at(1.5, clip.time_base)),
    )

    def say(prompt: str, media: Sequence[Media]) -> str:
        return f"1: {media[0].name}, first\n2: {media[0].name}, second"

    asker = Answers(say)
    timeline = watch(clip, asker, WatchOptions(summary=False), whole=WholeClip(parts, lambda part: part))
    assert [s.text for s in timeline.spans] == ["part 1, first", "part 2, first", "part 2, second"]
    assert "1: 0:00:00.000 - 0:00:00.500\n2: 0:00:00.500 - 0:00:02.500" in asker.calls[1][0]


def test_bad_options() -> None:
    with pytest.raises(ParameterError, match="frames_per_span"):
        WatchOptions(frames_per_span=0)
    with pytest.raises(ParameterError, match="concurrency"):
        WatchOptions(concurrency=0)


def test_costs_of_two_currencies_are_not_added(clip: Video) -> None:
    currencies = iter(["CNY", "USD", "CNY", "CNY"])

    def ask(prompt: str, media: Sequence[Media], /) -> Reply:
        return Reply("words", "m", Usage(1, 1), Money(Decimal(1), next(currencies)))

    assert watch(clip, ask).cost is None
