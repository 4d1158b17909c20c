"""The gallery's file: one page, nothing from outside, nothing that escapes its place."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.sinks.sample_results import BROKEN, CAT, RESULTS
from visionpipe.images.thumbnail import thumbnail
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.sink import export
from visionpipe.values import Note


def page(path: Path, results: tuple[ItemResult, ...]) -> str:
    export(results, HtmlSink(path / "out.html", locate=lambda source: path / source))
    return (path / "out.html").read_text("utf-8")


def items(text: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="items">\n(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return [json.loads(line) for line in found.group(1).split("\n") if line]


def test_every_result_is_an_item(tmp_path: Path) -> None:
    shown = items(page(tmp_path, RESULTS))
    assert [item["path"] for item in shown] == [result.source for result in RESULTS]
    assert shown[0]["caption"] == CAT.caption
    assert shown[2]["local"] is True
    assert shown[3]["reason"] == "the service failed </script>"
    assert shown[3]["cure"] == "Try again in a moment."
    assert shown[4]["reason"] == "sidecar present"


def test_data_is_shown_where_there_is_no_caption(tmp_path: Path) -> None:
    (item,) = items(page(tmp_path, (replace(CAT, caption="", data={"a": 1}),)))
    assert item["caption"] == '{"a":1}'


def test_nothing_a_model_says_becomes_markup(tmp_path: Path) -> None:
    nasty = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \"'&"
    result = replace(BROKEN, source=nasty, caption=nasty, notes=(Note("refusal", nasty),), model=nasty)
    text = page(tmp_path, (result,))
    assert text.count("<script") == 2
    assert "<img" not in text
    (item,) = items(text)
    assert item["path"] == nasty


def test_the_policy_allows_only_the_pages_own_script_and_style(tmp_path: Path) -> None:
    text = page(tmp_path, RESULTS)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy.group(1)
    assert "default-src 'none'" in policy.group(1)
    assert "https://" not in text.replace("https://example.org/a.jpg?size=2", "")


def test_a_picture_has_a_thumbnail_and_a_link(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (600, 300), "navy").save(tmp_path / "photos" / "a b#.png")
    text = page(tmp_path, (ItemResult("photos/a b#.png", Outcome.DONE, caption="Blue."),))
    (item,) = items(text)
    assert item["link"] == "photos/a%20b%23.png"
    data = base64.b64decode(item["thumbnail"].removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (256, 128))


def test_a_thumbnail_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200), "green").save(path, exif=exif)
    data = thumbnail(path, 100)
    assert data is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (50, 100)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_every_kind_of_pixel_has_a_thumbnail(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "F") else "a.png")
    Image.new(mode, (10, 10)).save(path)
    assert thumbnail(path, 8) is not None


def test_what_is_no_picture_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    truncated = tmp_path / "b.jpg"
    Image.effect_noise((64, 64), 50).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:900])
    assert thumbnail(tmp_path / "a.txt", 8) is None
    assert thumbnail(truncated, 8) is None


def test_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "a.png")
    assert thumbnail(tmp_path / "a.png", 8) is None


def test_an_aborted_gallery_leaves_nothing(tmp_path: Path) -> None:
    sink = HtmlSink(tmp_path / "out.html")
    sink.write(CAT)
    sink.flush()
    sink.abort()
    sink.abort()
    assert list(tmp_path.iterdir()) == []
