"""Fixtures for pytest, which finds them by itself where visionpipe is installed.

``sandbox`` is one server for the whole run, reset before every test that asks for it. ``scripted_client``
makes clients whose answers the test gives, ``recorded_client`` clients that a recording beside the test
answers; ``pytest --record-replies`` asks the service and writes the recordings anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from visionpipe.testing import RecordedClient, ScriptedClient
    from visionpipe.testing.sandbox import SandboxHandle


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("visionpipe").addoption(
        "--record-replies",
        action="store_true",
        help="ask the service in tests that use recorded_client, and write their recordings anew",
    )


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxHandle]:
    """The server behind ``sandbox``."""
    from visionpipe.testing.sandbox import running_sandbox

    with running_sandbox() as handle:
        yield handle


@pytest.fixture
def sandbox(sandbox_server: SandboxHandle) -> SandboxHandle:
    """A running sandbox without faults, with an empty log."""
    sandbox_server.reset()
    return sandbox_server


@pytest.fixture
def scripted_client() -> Iterator[Callable[..., ScriptedClient]]:
    """Makes a ``visionpipe.testing.ScriptedClient``, with its arguments, and closes it after the test."""
    from visionpipe.testing import ScriptedClient

    with ExitStack() as clients:
        yield lambda answers, *args, **options: clients.enter_context(
            ScriptedClient(answers, *args, **options)
        )


@pytest.fixture
def recorded_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., RecordedClient]]:
    """Makes a ``visionpipe.testing.RecordedClient`` and closes it after the test.

    Its recording is ``recordings/NAME.json`` beside the test's file, ``NAME`` the test's own or the one given
    as ``name``; arguments are the client's, but for ``path`` and ``record``.
    """
    from visionpipe.testing import RecordedClient

    own = re.sub(r"[^\w.\[\]-]", "_", request.node.name)

    def make(model: str | None = None, *, name: str = own, **options: Any) -> RecordedClient:
        path = request.path.parent / "recordings" / f"{name}.json"
        record = bool(request.config.getoption("--record-replies"))
        return clients.enter_context(RecordedClient(path, model, record=record, **options))

    with ExitStack() as clients:
        yield make
