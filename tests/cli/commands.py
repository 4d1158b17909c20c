"""Run the command line as a user does: a process of its own, without keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

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


def environment(env: dict[str, str] | None = None) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in KEYS} | (env or {})


def lines(path: Path) -> dict[str, dict[str, Any]]:
    """A JSONL output by path; fails on a path that stands twice."""
    found = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    by_path = {line["path"]: line for line in found}
    assert len(by_path) == len(found)
    return by_path
