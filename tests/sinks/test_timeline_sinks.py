"""A timeline written as subtitles, text and a storyboard; each read back by another program's parser."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.media import Image, MemoryContent
from visionpipe.results import Failure
from visionpipe.sinks.timelines import (
    columns,
    to_csv,
    to_json,
    to_markdown,
    to_srt,
    to_storyboard,
    to_vtt,
    wrapped,
)
from visionpipe.values import Money, Note, Timecode, Usage
from visionpipe.video.timeline import Span, Timeline

BASE = Fraction(1, 12_800)
FAILURE = Failure("ContentPolicyError", "1301", "the content --> was refused", "Leave it out.")


def span(index: int, start: int, end: int, text: str, **more: object) -> Span:
    made = Span(index, index // 2, Timecode(start, BASE), Timecode(end, BASE), text)
    return replace(made, **more)  # type: ignore[arg-type]  # the fields are given by name


TIMELINE = Timeline(
    clip="clips/rabbit.mp4",
    duration=Timecode(67_584, BASE),
    spans=(
        span(
            0, 0, 22_528, "A rabbit <b>sleeps</b> & dreams; an arrow --> points at a very long line of text."
        ),
        span(1, 22_528, 45_056, "", failure=FAILURE),
        span(
            2,
            45_056,
            67_584,
            "=它醒来了，然后慢慢地走出洞口，站在绿色的草地上看着远处的树林。",
            notes=(Note("time_snapped", "x"),),
        ),
    ),
    summary="A rabbit wakes.",
    model="a-model",
    usage=Usage(1, 2),
    cost=Money(Decimal("0.5"), "CNY"),
)
LOCAL = replace(TIMELINE, local=True, spans=tuple(replace(s, local=True) for s in TIMELINE.spans))


def cues(text: str, suffix: str, folder: Path) -> list[tuple[int, int]]:
    """(start, end) in milliseconds as FFmpeg's demuxer reads them."""
    path = folder / f"a{suffix}"
    path.write_text(text, "utf-8")
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        assert stream.time_base == Fraction(1, 1000)
        return [(p.pts or 0, (p.pts or 0) + (p.duration or 0)) for p in file.demux(stream) if p.size]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_another_program_reads_the_cues(tmp_path: Path, suffix: str) -> None:
    text = to_srt(TIMELINE) if suffix == ".srt" else to_vtt(TIMELINE)
    assert cues(text, suffix, tmp_path) == [(0, 1760), (3520, 5280)]


def test_srt_is_written_so() -> None:
    assert to_srt(TIMELINE) == (
        "1\n00:00:00,000 --> 00:00:01,760\n"
        "A rabbit <b>sleeps</b> & dreams; an arrow\n→ points at a very long line of text.\n\n"
        "2\n00:00:03,520 --> 00:00:05,280\n"
        "=它醒来了，然后慢慢地走出洞口，站在绿色的\n草地上看着远处的树林。\n"
    )


def test_vtt_is_written_so() -> None:
    assert to_vtt(LOCAL) == (
        "WEBVTT\n\nNOTE\nLocal analysis by the embedded engine; nothing left the machine.\n\n"
        "NOTE\n0:00:01.760 to 0:00:03.520: the content → was refused\n\n"
        "00:00:00.000 --> 00:00:01.760\n"
        "[local analysis] A rabbit &lt;b&gt;sleeps&lt;/b&gt; &amp;\n"
        "dreams; an arrow --&gt; points at a very long\nline of text.\n\n"
        "00:00:03.520 --> 00:00:05.280\n"
        "=它醒来了，然后慢慢地走出洞口，站在绿色的\n草地上看着远处的树林。\n"
    )


VTT_TIMES = re.compile(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}")
SRT_TIMES = re.compile(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}")


@given(st.lists(st.tuples(st.integers(1, 10**7), st.text(max_size=120)), min_size=1, max_size=6))
def test_no_text_can_break_the_formats(rows: list[tuple[int, str]]) -> None:
    spans: list[Span] = []
    now = 0
    for length, text in rows:
        spans.append(span(len(spans), now, now + length, text))
        now += length
    timeline = replace(TIMELINE, spans=tuple(spans), duration=Timecode(now, BASE))
    worded = sum(bool(s.text.strip()) for s in spans)
    srt, vtt = to_srt(timeline), to_vtt(timeline)
    assert len(SRT_TIMES.findall(srt)) == worded
    assert srt.count("-->") == worded
    assert len(VTT_TIMES.findall(vtt)) == worded
    assert vtt.count("-->") == worded
    blocks = vtt.rstrip("\n").split("\n\n")
    assert len(blocks) == worded + 1
    edges = [edge for line in SRT_TIMES.findall(srt) for edge in line.split(" --> ")]
    assert edges == sorted(edges)


@given(st.text(max_size=300))
def test_lines_are_short_and_nothing_is_lost(text: str) -> None:
    lines = wrapped(text)
    assert all(columns(line) <= 42 for line in lines)
    assert not any("\n" in line or "\r" in line for line in lines)


@pytest.mark.parametrize(
    "text, lines",
    [
        (
            "画面中一只 rabbit 正在 wonderland 的草地上慢慢地醒来，然后 stretches",
            ["画面中一只 rabbit 正在 wonderland 的草地上", "慢慢地醒来，然后 stretches"],
        ),
        ("一" * 20 + "二二，三", ["一" * 20 + "二", "二，三"]),
        ("一" * 21 + "。二", ["一" * 20, "一。二"]),
        ("中 " + "x" * 50, ["中", "x" * 42, "x" * 8]),
    ],
)
def test_mixed_text_is_broken_at_words(text: str, lines: list[str]) -> None:
    assert wrapped(text) == lines


@given(st.text(alphabet="ab 中文，。x-", max_size=120))
def test_no_character_of_mixed_text_is_lost(text: str) -> None:
    assert "".join("".join(wrapped(text)).split()) == "".join(text.split())


def test_no_words_no_cues() -> None:
    silent = replace(TIMELINE, spans=(TIMELINE.spans[1],))
    assert to_srt(silent) == ""
    assert to_vtt(silent).startswith("WEBVTT\n\nNOTE\n")


def test_json_is_read_back() -> None:
    assert Timeline.from_json(json.loads(to_json(TIMELINE))) == TIMELINE


def test_csv_has_a_line_a_span_and_no_formulas() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(TIMELINE))))
    assert [r["span"] for r in rows] == ["1", "2", "3"]
    assert rows[1]["error"] == "the content --> was refused"
    assert rows[2]["text"].startswith("'=它")
    assert (rows[2]["start"], rows[2]["end_s"]) == ("0:00:03.520", "5.280000")


def test_markdown_shows_text_as_text() -> None:
    page = to_markdown(TIMELINE)
    assert "# clips/rabbit.mp4\n" in page
    assert r"\<b\>sleeps\</b\>" in page
    assert "| *failed: the content --\\> was refused* |" in page
    assert page.count("\n| 0:") == 3
    assert "local analysis" in to_markdown(LOCAL)


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_storyboard_is_one_page_that_runs_nothing() -> None:
    image = Image("a#t=1", MemoryContent(b"\xff\xd8jpeg"), "jpeg", 320, 180)
    page = to_storyboard(LOCAL, {0: image, 2: image})
    seen = Seen()
    seen.feed(page)
    assert seen.tags.count("img") == 2
    assert seen.tags.count("li") == 3
    assert "b" not in seen.tags
    assert "script" not in seen.tags
    assert "http" not in page
    assert "A rabbit <b>sleeps</b> & dreams" in seen.text
    assert "failed: the content --> was refused" in seen.text
    assert "local analysis" in seen.text
    assert "snapped to the cuts" in seen.text
