"""Where pyarrow is not installed, every command that needs it for a directory of parts says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.kill_drill import ROOT, make_images

WITHOUT = """
import runpy, sys
sys.modules["pyarrow"] = None
sys.argv = ["visionpipe", *sys.argv[1:]]
runpy.run_module("visionpipe", run_name="__main__")
"""


@pytest.mark.parametrize(
    "command",
    [
        ["caption", "in", "-o", "out/"],
        ["merge", "out/"],
        ["export", "out/", "-o", "a.csv"],
        ["status", "out/"],
        ["review", "out/", "--no-browser"],
    ],
    ids=lambda command: command[0],
)
def test_it_is_named_with_what_brings_it(tmp_path: Path, command: list[str]) -> None:
    make_images(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, *command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert "out/: a directory of parts needs pyarrow, which is not installed. Install it: " in ended.stderr
    assert ended.returncode == 2
