"""A sandbox set to break, and clients set to be quick about it: what every test of a fault has in common."""

from __future__ import annotations

from typing import Any

from tests.client.faces import Clock
from visionpipe.stages.retry import RetryPolicy
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.http import Timeouts

TEXT = "A grey cat sleeps on a red sofa by the window."
"""Four frames of twelve characters and less, then one with the finish_reason, then [DONE]."""

DEADLINE = 5.0
"""Seconds: the client's own, in every test."""

THRICE = RetryPolicy(attempts=3, seconds=1e9, jitter=0)


def struck(
    sandbox: SandboxHandle, fault: dict[str, Any], *, text: str = TEXT, clock: Clock | None = None, **how: Any
) -> dict[str, Any]:
    """Let ``sandbox`` strike; ``how`` holds the rule's other keys, and ``timeouts`` of the client.

    Returns the arguments of a client that tries three times, waits on ``clock``, and gives up after
    ``DEADLINE`` seconds at most.
    """
    limits = {"total": DEADLINE, **how.pop("timeouts", {})}
    sandbox.set_scenario({"seed": 7, "answer": [{"text": text}], "rule": [{"fault": fault, **how}]})
    clock = clock or Clock()
    return {
        "base_url": f"bigmodel+{sandbox.base_url}",
        "api_key": sandbox.key,
        "model": "glm-4.6v",
        "defaults": {"thinking": "off"},
        "retry": THRICE,
        "timeouts": Timeouts(**limits),
        "clock": clock,
        "sleep": clock.sleep,
    }


def requests(sandbox: SandboxHandle) -> int:
    """How many requests have come, those included that are still open."""
    count: int = sandbox.stats()["requests"]
    return count


def request_ids(sandbox: SandboxHandle) -> list[str]:
    """The ids that requests carried, where they were read."""
    return [record["request_id"] for record in sandbox.log() if record["request_id"]]
