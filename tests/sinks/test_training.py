"""Texts for trainers, read back as trainers read them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sinks.sample_results import BROKEN, CAT
from visionpipe.results import ItemResult
from visionpipe.sinks.opening import SinkOptions, open_sink
from visionpipe.sinks.sink import export
from visionpipe.sinks.training import ImageFolderSink, KohyaSink
from visionpipe.stages.plain_text import TextForm
from visionpipe.testing.images import jpeg_bytes

PREAMBLE = "Here is a caption:\n\n**An orange cat** sleeps."
FENCED = '```json\n{"tags": ["cat", "orange fur"]}\n```'


def results(folder: Path) -> list[ItemResult]:
    """A caption with preamble and bold, a fenced list of tags, and a failure."""
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg"):
        (folder / name).write_bytes(jpeg_bytes(32, 24))
    return [
        replace(CAT, source="a.jpg", caption=PREAMBLE, data=None),
        replace(CAT, source="sub/b.jpg", caption=FENCED, data={"tags": ["cat", "orange fur"]}),
        BROKEN,
    ]


def kohya_captions(metadata: Path, folder: Path) -> dict[str, str]:
    """As kohya's fine-tuning data set reads it: a key is a path that is there, else one below the folder."""
    read: dict[str, str] = {}
    for key, entry in json.loads(metadata.read_text("utf-8")).items():
        path = key if os.path.exists(key) else str(folder / key)  # noqa: PTH110  as it does
        caption, tags = entry.get("caption"), entry.get("tags")
        if caption is None:
            caption = tags
        elif tags:
            caption = caption + tags
        assert caption is not None
        assert len(caption) > 0
        read[path] = caption
    return read


def image_folder(metadata: Path) -> list[dict[str, Any]]:
    """As ImageFolder reads it: every line has ``file_name``, relative to it, and the same other columns."""
    rows = [json.loads(line) for line in metadata.read_text("utf-8").splitlines()]
    assert len({tuple(sorted(row)) for row in rows}) == 1
    for row in rows:
        assert (metadata.parent / row["file_name"]).is_file()
    return rows


def test_kohyas_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    form = TextForm(prefix="sks, ")
    sink = KohyaSink(tmp_path / "meta.json", locate=lambda source: folder / source, form=form)
    written, refused = export(results(folder), sink)
    assert (written, refused) == (3, ())
    assert kohya_captions(tmp_path / "meta.json", folder) == {
        str(folder / "a.jpg"): "sks, An orange cat sleeps.",
        str(folder / "sub/b.jpg"): "sks, cat, orange fur",
    }
    assert sink.tidied == {"preamble_removed": 1, "markdown_removed": 2, "list_joined": 1}
    export([], KohyaSink(tmp_path / "empty.json"))
    assert json.loads((tmp_path / "empty.json").read_bytes()) == {}


def test_the_metadata_of_an_image_folder(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    sink = ImageFolderSink(tmp_path / "photos/metadata.jsonl", locate=lambda source: folder / source)
    rows = results(folder)
    written, refused = export([*rows, replace(CAT, source="../other.jpg")], sink)
    assert (written, [error.code for error in refused]) == (3, ["outside_folder"])
    assert image_folder(folder / "metadata.jsonl") == [
        {"file_name": "a.jpg", "text": "An orange cat sleeps."},
        {"file_name": "sub/b.jpg", "text": "cat, orange fur"},
    ]


def test_text_sidecars_are_one_clean_line(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    options = SinkOptions(
        locate=lambda source: folder / source, text=TextForm(prefix="sks, ", suffix=", photo")
    )
    export(results(folder), open_sink("txt:", options))
    assert (folder / "a.txt").read_text() == "sks, An orange cat sleeps., photo\n"
    assert (folder / "sub/b.txt").read_text() == "sks, cat, orange fur, photo\n"


@pytest.mark.parametrize("spec", ["kohya:meta.json", "imagefolder:photos/metadata.jsonl"])
def test_it_is_chosen_by_its_kind_and_leaves_nothing_when_given_up(
    tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = results(tmp_path / "photos")
    sink = open_sink(spec, SinkOptions(locate=lambda source: tmp_path / "photos" / source))
    sink.write(rows[0])
    sink.flush()
    sink.abort()
    assert not Path(spec.partition(":")[2]).exists()
    assert not list(tmp_path.rglob("*.part"))
