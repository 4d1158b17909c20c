"""Fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.loopback import Loopback, serving
from tests.s3_store import S3Store, new_store, serving_s3

pytest_plugins = ["visionpipe.testing.pytest_plugin", "pytester"]


# How fast a machine makes examples says nothing about the code, so no test fails by the clock.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def hearing_hang_ups() -> None:
    """Under nohup the tests would inherit a SIGHUP that nobody hears, and so would the commands they run."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A scriptable HTTP server on loopback; it answers ``{}`` until told otherwise."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """One S3-protocol server for all tests of a process."""
    with serving_s3() as endpoint:
        yield endpoint


@pytest.fixture
def s3_store(s3_endpoint: str) -> Iterator[S3Store]:
    """A bucket that no other test sees."""
    with new_store(s3_endpoint) as store:
        yield store
