"""Fixtures of the batch jobs' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.batch_jobs import album
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox


@pytest.fixture
def service() -> Iterator[SandboxHandle]:
    """A sandbox with nothing stored in it."""
    with running_sandbox() as handle:
        yield handle


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six different pictures."""
    return album(tmp_path / "photos", 6)
