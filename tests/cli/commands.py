"""Run the command line as a user does: a process of its own, without keys."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from PIL import Image as pillow

SAMPLES = Path(__file__).parent.parent.parent / "samples"
KEYS = ("BIGMODEL_API_KEY", "ZHIPUAI_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY", "VISIONPIPE_API_KEY")


def visionpipe(
    *arguments: str | Path, folder: Path, env: dict[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """The finished process, with stdout and stderr as text."""
    return subprocess.run(
        [sys.executable, "-m", "visionpipe", *map(str, arguments)],
        cwd=folder,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


@dataclass(frozen=True)
class Finished:
    """A command that ran in this process."""

    returncode: int
    stdout: str
    stderr: str


Here = Callable[..., Finished]
"""``here(*arguments, folder=..., env=...)``: as ``visionpipe``, without a process of its own."""


def here(capfd: pytest.CaptureFixture[str]) -> Here:
    """Runs the command line in this process, where nothing asks for one of its own."""

    def run(*arguments: str | Path, folder: Path, env: dict[str, str] | None = None) -> Finished:
        from visionpipe.cli.app import status_of

        capfd.readouterr()
        with chdir(folder), patch.dict(os.environ, environment(env), clear=True):
            status = status_of([str(argument) for argument in arguments])
        shown = capfd.readouterr()
        return Finished(status, shown.out, shown.err)

    return run


def cat(more: int = 0, format: str = "JPEG") -> bytes:
    """A photo that the embedded engine can name, encoded; no two are alike for different ``more`` pixels."""
    out = io.BytesIO()
    with pillow.open(SAMPLES / "chelsea.png") as photo:
        photo.convert("RGB").resize((320 + more, 213)).save(out, format)
    return out.getvalue()


def environment(env: dict[str, str] | None = None) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in KEYS} | (env or {})


def lines(path: Path) -> dict[str, dict[str, Any]]:
    """A JSONL output by path; fails on a path that stands twice."""
    found = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    by_path = {line["path"]: line for line in found}
    assert len(by_path) == len(found)
    return by_path
