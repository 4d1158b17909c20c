"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback import Loopback, serving

pytest_plugins = ["visionpipe.testing.pytest_plugin"]


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A scriptable HTTP server on loopback; it answers ``{}`` until told otherwise."""
    with serving() as server:
        yield server
