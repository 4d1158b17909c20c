"""The sandbox as pytest fixtures. Switch them on in a ``conftest.py``:

    pytest_plugins = ["visionpipe.testing.pytest_plugin"]

``sandbox`` is one server for the whole run, reset before every test that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from visionpipe.testing.sandbox import SandboxHandle, running_sandbox


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxHandle]:
    """The server behind ``sandbox``."""
    with running_sandbox() as handle:
        yield handle


@pytest.fixture
def sandbox(sandbox_server: SandboxHandle) -> SandboxHandle:
    """A running sandbox without faults, with an empty log."""
    sandbox_server.reset()
    return sandbox_server
