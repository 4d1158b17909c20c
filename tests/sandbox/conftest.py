"""One sandbox for all of these tests, reset before each."""

from __future__ import annotations

from visionpipe.testing.pytest_plugin import sandbox, sandbox_server

__all__ = ["sandbox", "sandbox_server"]
