"""exiftool reads the XMP sidecars, and what it wrote itself is still there afterwards."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sinks.sample_results import CAT, RESULTS, SEA
from tests.sinks.write_golden import GOLDEN
from visionpipe.results import Outcome
from visionpipe.sinks.sink import export
from visionpipe.sinks.xmp import XmpSidecarSink

pytestmark = pytest.mark.system


def exiftool(*arguments: str | Path) -> str:
    done = subprocess.run(["exiftool", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def read(path: Path) -> dict[str, Any]:
    (tags,) = json.loads(exiftool("-json", "-validate", "-warning", path))
    (more,) = json.loads(exiftool("-json", "-XMP:all", path))
    return {**tags, **more}


def test_the_golden_sidecars_are_what_exiftool_understands() -> None:
    for result in RESULTS:
        if result.outcome is Outcome.DONE:
            tags = read((GOLDEN / "xmp" / result.source).with_suffix(".xmp"))
            assert tags["Description"] == result.caption
            assert "Warning" not in tags
    assert read((GOLDEN / "xmp" / SEA.source).with_suffix(".xmp"))["Subject"] == ["海", "船", "sky & sea"]


def test_what_exiftool_wrote_is_kept(tmp_path: Path) -> None:
    sidecar = tmp_path / "photos" / "夏天" / "海.xmp"
    sidecar.parent.mkdir(parents=True)
    exiftool(
        "-XMP-xmp:Rating=4", "-XMP-dc:Subject=holiday", "-XMP-dc:Title=My sea", "-XMP-dc:Creator=Ann", sidecar
    )
    export([SEA], XmpSidecarSink(tmp_path))
    tags = read(sidecar)
    assert (tags["Rating"], tags["Title"], tags["Creator"]) == (4, "My sea", "Ann")
    assert tags["Subject"] == ["holiday", "海", "船", "sky & sea"]
    assert tags["Description"] == SEA.caption
    assert "Warning" not in tags


def test_a_caption_is_renewed_after_exiftool_wrote_the_sidecar_anew(tmp_path: Path) -> None:
    export([CAT], XmpSidecarSink(tmp_path))
    sidecar = tmp_path / "photos" / "cat.xmp"
    exiftool("-overwrite_original", "-api", "Compact=Shorthand", "-XMP-xmp:Rating=3", sidecar)
    export([replace(CAT, caption="Two cats.")], XmpSidecarSink(tmp_path))
    tags = read(sidecar)
    assert (tags["Description"], tags["Rating"]) == ("Two cats.", 3)


def test_a_description_written_with_exiftool_stays(tmp_path: Path) -> None:
    sidecar = tmp_path / "photos" / "cat.xmp"
    sidecar.parent.mkdir()
    exiftool("-XMP-dc:Description=Grandma's cat", sidecar)
    export([CAT], XmpSidecarSink(tmp_path))
    assert read(sidecar)["Description"] == "Grandma's cat"
    assert read(sidecar)["Caption"] == CAT.caption
