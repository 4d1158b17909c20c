"""The storyboard as a browser shows it, and the subtitles as its own parser reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from html import unescape
from pathlib import Path

import pytest

from tests.clip_maker import texture, write_clip
from visionpipe.clips.load import load_video
from visionpipe.media import Video
from visionpipe.sinks.timelines import to_storyboard, to_vtt
from visionpipe.values import Timecode
from visionpipe.video.timeline import Span, Timeline
from visionpipe.video.watch import make_thumbnails

pytestmark = pytest.mark.system

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
]
READER = """<!doctype html>
<video><track default kind="subtitles" src="data:text/vtt;charset=utf-8,{vtt}"></video>
<pre id="seen"></pre><script>
const track = document.querySelector("track");
track.track.mode = "showing";
track.onload = () => {{
  const cues = Array.from(track.track.cues, c => [c.startTime, c.endTime, c.getCueAsHTML().textContent]);
  document.getElementById("seen").textContent = JSON.stringify(cues);
}};
track.onerror = () => {{ document.getElementById("seen").textContent = "refused"; }};
</script>"""


def shown(page: Path, profile: Path, *more: str) -> str:
    """The page's DOM after its scripts have run."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "this test needs Debian's package chromium"
    command = [chromium, *QUIET, f"--user-data-dir={profile}", *more, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout


@pytest.fixture
def timeline() -> Timeline:
    base = Fraction(1, 12_800)
    texts = ["A rabbit <sleeps> & dreams.", "它醒来了。", "It walks off --> slowly."]
    spans = tuple(
        Span(i, i, Timecode(i * 12_800, base), Timecode((i + 1) * 12_800, base), text)
        for i, text in enumerate(texts)
    )
    return Timeline("clip.mp4", Timecode(38_400, base), spans, summary="A rabbit <b>wakes</b>.", model="m")


def test_every_span_has_its_picture_and_its_words(tmp_path: Path, timeline: Timeline) -> None:
    video = load_video(write_clip(tmp_path / "clip.mp4", [texture(i // 25, (128, 64)) for i in range(75)]))
    assert isinstance(video, Video)
    page = tmp_path / "board.html"
    script = """<script>addEventListener("load", () => document.body.append(JSON.stringify(
      Array.from(document.images, i => [i.naturalWidth, i.getBoundingClientRect().width > 50]))));</script>"""
    board = to_storyboard(timeline, make_thumbnails(video, timeline, max_side=64))
    page.write_text(board.replace("</body>", script + "</body>"), "utf-8")
    dom = shown(page, tmp_path / "profile")
    assert "[[64,true],[64,true],[64,true]]" in dom
    assert "A rabbit &lt;sleeps&gt; &amp; dreams." in dom
    assert "A rabbit &lt;b&gt;wakes&lt;/b&gt;." in dom


def test_a_browser_reads_the_subtitles(tmp_path: Path, timeline: Timeline) -> None:
    from urllib.parse import quote

    page = tmp_path / "reader.html"
    page.write_text(READER.format(vtt=quote(to_vtt(replace(timeline, local=True)))), "utf-8")
    dom = shown(page, tmp_path / "profile")
    seen = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.DOTALL)
    assert seen is not None
    assert json.loads(unescape(seen[1])) == [
        [0, 1, "A rabbit <sleeps> & dreams."],
        [1, 2, "它醒来了。"],
        [2, 3, "It walks off --> slowly."],
    ]
